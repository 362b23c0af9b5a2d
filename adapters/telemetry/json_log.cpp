#include "adapters/telemetry/json_log.hpp"

#include "adapters/json/json.hpp"
#include "messages/values/time.hpp"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

namespace rdev {

namespace {

constexpr std::size_t buffer_bytes = 64 * 1024;
constexpr auto longest_wait = std::chrono::milliseconds(5); // of a line for the others that are written with it

constexpr std::array<std::string_view, 4> level_names{"debug", "info", "warn", "error"};
constexpr std::array<spdlog::level::level_enum, 4> spdlog_levels{spdlog::level::debug, spdlog::level::info,
                                                                 spdlog::level::warn, spdlog::level::err};

// Made by rdev itself: who asked, why they were refused, and the checkpoints of the audit log. Whoever declares such a
// text a secret must not make it disappear.
constexpr std::array<std::string_view, 9> evidence{"client_ip", "network", "key_prefix", "code",     "hash",
                                                   "at",        "key",     "kept_from",  "signature"};

bool is_evidence(std::string_view field) {
  return std::find(evidence.begin(), evidence.end(), field) != evidence.end();
}

class json_log final : public log {
public:
  json_log(log_level threshold, std::optional<censor> hides)
      : threshold_(threshold), hides_(std::move(hides)),
        out_("rdev", std::make_shared<spdlog::sinks::stdout_sink_mt>()) {
    out_.set_pattern("%v");
    out_.set_level(spdlog::level::trace);
    out_.flush_on(spdlog::level::warn);
    std::setvbuf(stdout, nullptr, _IOFBF, buffer_bytes);
    flusher_ = std::jthread([this](const std::stop_token& stop) { flush_now_and_then(stop); });
  }
  json_log(const json_log&) = delete;
  json_log& operator=(const json_log&) = delete;
  ~json_log() override {
    flusher_.request_stop();
    note_unwritten();
    flusher_.join();
    out_.flush();
  }

  [[nodiscard]] bool enabled(log_level level) const override {
    return level >= threshold_;
  }

  void write(log_level level, log_message message, std::span<const log_field> fields) override {
    if (!enabled(level))
      return;
    thread_local json::writer line; // keeps its memory
    line.begin_object();
    line.key("time").string(to_rfc3339(now_utc()));
    line.key("level").string(level_names.at(static_cast<std::size_t>(level)));
    line.key("msg");
    message.own() ? add(line, std::string_view(message)) : add_clean(line, message);
    for (const auto& field : fields) {
      line.key(field.name);
      const auto* text = std::get_if<std::string>(&field.value);
      if (text != nullptr && !is_evidence(field.name))
        add_clean(line, *text);
      else
        std::visit([&](const auto& v) { add(line, v); }, field.value);
    }
    line.end_object();
    out_.log(spdlog_levels.at(static_cast<std::size_t>(level)), line.take());
    note_unwritten();
  }

private:
  void note_unwritten() {
    if (!unwritten_.exchange(true))
      unwritten_.notify_one();
  }
  void flush_now_and_then(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      unwritten_.wait(false);
      std::this_thread::sleep_for(longest_wait);
      unwritten_ = false;
      out_.flush();
    }
  }

  // Before it is escaped: an escape could hide a secret.
  void add_clean(json::writer& line, std::string_view v) const {
    const auto clean = hides_ ? hides_->redact(v) : std::nullopt;
    line.string(clean ? *clean : v);
  }
  static void add(json::writer& line, std::string_view v) {
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
  std::optional<censor> hides_;
  spdlog::logger out_;
  std::atomic<bool> unwritten_{false};
  std::jthread flusher_; // last: it uses all of the above
};

} // namespace

std::unique_ptr<log> make_json_log(log_level threshold, std::optional<censor> hides) {
  return std::make_unique<json_log>(threshold, std::move(hides));
}

} // namespace rdev
