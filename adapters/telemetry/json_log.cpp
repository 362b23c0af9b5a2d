#include "adapters/telemetry/json_log.hpp"

#include "adapters/json/json.hpp"
#include "messages/values/time.hpp"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>

namespace rdev {

namespace {

constexpr std::array<std::string_view, 4> level_names{"debug", "info", "warn", "error"};
constexpr std::array<spdlog::level::level_enum, 4> spdlog_levels{spdlog::level::debug, spdlog::level::info,
                                                                 spdlog::level::warn, spdlog::level::err};

class json_log final : public log {
public:
  explicit json_log(log_level threshold)
      : threshold_(threshold), out_("rdev", std::make_shared<spdlog::sinks::stdout_sink_mt>()) {
    out_.set_pattern("%v");
    out_.set_level(spdlog::level::trace);
    out_.flush_on(spdlog::level::trace);
  }

  [[nodiscard]] bool enabled(log_level level) const override {
    return level >= threshold_;
  }

  void write(log_level level, std::string_view message, std::span<const log_field> fields) override {
    if (!enabled(level))
      return;
    json::writer line;
    line.begin_object();
    line.key("time").string(to_rfc3339(now_utc()));
    line.key("level").string(level_names.at(static_cast<std::size_t>(level)));
    line.key("msg").string(message);
    for (const auto& field : fields) {
      line.key(field.name);
      std::visit([&](const auto& v) { add(line, v); }, field.value);
    }
    line.end_object();
    out_.log(spdlog_levels.at(static_cast<std::size_t>(level)), line.take());
  }

private:
  static void add(json::writer& line, const std::string& v) {
    line.string(v);
  }
  static void add(json::writer& line, std::int64_t v) {
    line.integer(v);
  }
  static void add(json::writer& line, double v) {
    line.number(v);
  }
  static void add(json::writer& line, bool v) {
    line.boolean(v);
  }

  log_level threshold_;
  spdlog::logger out_;
};

} // namespace

std::unique_ptr<log> make_json_log(log_level threshold) {
  return std::make_unique<json_log>(threshold);
}

} // namespace rdev
