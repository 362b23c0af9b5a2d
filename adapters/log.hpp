// Port: the log. One event a line; the adapter decides the form (JSON on stdout). Thread-safe, never throws, never
// blocks for long. No secret is ever passed in: fields take plain values, and rdev::secret has no conversion.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
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

// What a line is about. A literal is a word of the program, and stands in the log as it is: nobody can make a line hide
// by declaring its words a secret. Any other text may have come from outside.
class log_message {
public:
  template <std::size_t N>
  consteval log_message(const char (&literal)[N]) : text_(literal, N - 1), own_(true) {
  }
  template <std::convertible_to<std::string_view> Text>
  requires(!std::is_array_v<Text>) log_message(const Text& text) : text_(text) {
  }
  operator std::string_view() const {
    return text_;
  }
  [[nodiscard]] bool own() const {
    return own_;
  }

private:
  std::string_view text_;
  bool own_ = false;
};

class log {
public:
  virtual ~log() = default;
  [[nodiscard]] virtual bool enabled(log_level level) const = 0;
  virtual void write(log_level level, log_message message, std::span<const log_field> fields) = 0;

  void debug(log_message message, std::initializer_list<log_field> fields = {}) {
    if (enabled(log_level::debug))
      write(log_level::debug, message, {fields.begin(), fields.size()});
  }
  void info(log_message message, std::initializer_list<log_field> fields = {}) {
    write(log_level::info, message, {fields.begin(), fields.size()});
  }
  void warn(log_message message, std::initializer_list<log_field> fields = {}) {
    write(log_level::warn, message, {fields.begin(), fields.size()});
  }
  void error(log_message message, std::initializer_list<log_field> fields = {}) {
    write(log_level::error, message, {fields.begin(), fields.size()});
  }
};

} // namespace rdev
