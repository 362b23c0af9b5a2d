// Port: the log. One event a line; the adapter decides the form (JSON on stdout). Thread-safe, never throws, never
// blocks for long. No secret is ever passed in: fields take plain values, and rdev::secret has no conversion.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace rdev {

enum class log_level : std::uint8_t { debug, info, warn, error };

struct log_field {
  using content = std::variant<std::string, std::int64_t, double, bool>;
  // Built in its place: g++ 12 takes a variant that is moved for one that was never set.
  template <class T>
  log_field(std::string_view n, T&& v) : name(n), value(std::forward<T>(v)) {
  }
  std::string_view name;
  content value;
};

class log {
public:
  virtual ~log() = default;
  [[nodiscard]] virtual bool enabled(log_level level) const = 0;
  virtual void write(log_level level, std::string_view message, std::span<const log_field> fields) = 0;

  void debug(std::string_view message, std::initializer_list<log_field> fields = {}) {
    if (enabled(log_level::debug))
      write(log_level::debug, message, {fields.begin(), fields.size()});
  }
  void info(std::string_view message, std::initializer_list<log_field> fields = {}) {
    write(log_level::info, message, {fields.begin(), fields.size()});
  }
  void warn(std::string_view message, std::initializer_list<log_field> fields = {}) {
    write(log_level::warn, message, {fields.begin(), fields.size()});
  }
  void error(std::string_view message, std::initializer_list<log_field> fields = {}) {
    write(log_level::error, message, {fields.begin(), fields.size()});
  }
};

} // namespace rdev
