// A log and counters that a test can look into. Thread-safe.
#pragma once

#include "adapters/log.hpp"
#include "adapters/metrics.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace rdev::test {

class watched_log final : public log {
public:
  [[nodiscard]] bool enabled(log_level) const override {
    return true;
  }
  void write(log_level, log_message message, std::span<const log_field> fields) override {
    std::string line(message);
    for (const auto& f : fields)
      if (const auto* text = std::get_if<std::string>(&f.value))
        line += " " + std::string(f.name) + "=" + *text;
    std::lock_guard guard(mutex_);
    lines_.push_back(std::move(line));
  }
  [[nodiscard]] bool says(std::string_view piece) const {
    std::lock_guard guard(mutex_);
    return std::any_of(lines_.begin(), lines_.end(), [&](const auto& l) { return l.find(piece) != std::string::npos; });
  }

private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

// Counts under the name of the call and what it is about: `fault_seen audit`, `command_ended completed`, …
class watched_metrics final : public metrics {
public:
  [[nodiscard]] std::int64_t count(const std::string& what) const {
    std::lock_guard guard(mutex_);
    const auto found = counts_.find(what);
    return found == counts_.end() ? 0 : found->second;
  }

  void request_started(std::string_view, std::string_view) override {
  }
  void request_finished(std::string_view, std::string_view, int, std::chrono::nanoseconds) override {
  }
  void stream_opened() override {
    add("stream_opened");
  }
  void stream_closed() override {
    add("stream_closed");
  }
  void auth_accepted() override {
    add("auth_accepted");
  }
  void auth_refused(refusal_code why) override {
    add("auth_refused " + std::string(name_of(why)));
  }
  void rate_limited(std::string_view field) override {
    add("rate_limited " + std::string(field));
  }
  void would_limit(std::string_view field) override {
    add("would_limit " + std::string(field));
  }
  void locked_out(bool in_shadow) override {
    add(in_shadow ? "locked_out in shadow" : "locked_out");
  }
  void anomaly_seen(anomaly_kind kind) override {
    add("anomaly_seen " + std::string(name_of(kind)));
  }
  void command_ended(std::string_view, command_type, command_status status, std::chrono::milliseconds) override {
    add("command_ended " + std::string(name_of(status)));
  }
  void commands_active(std::int64_t n) override {
    put("commands_active", n);
  }
  void queue(const queue_view& now) override {
    put("queue_running", now.running);
  }
  void audit_records(std::int64_t n) override {
    add("audit_records", n);
  }
  void output_stored(std::uint64_t bytes) override {
    add("output_stored", static_cast<std::int64_t>(bytes));
  }
  void webhook_attempted(std::string_view outcome) override {
    add("webhook_attempted " + std::string(outcome));
  }
  void webhooks_pending(std::int64_t deliveries) override {
    put("webhooks_pending", deliveries);
  }
  void dependency(std::string_view name, bool up) override {
    put("dependency " + std::string(name), up ? 1 : 0);
  }
  void circuit(std::string_view name, std::optional<int> state) override {
    put("circuit " + std::string(name), state.value_or(-1));
  }
  void fault_seen(std::string_view where) override {
    add("fault_seen " + std::string(where));
  }
  void actor_restarted(std::string_view name) override {
    add("actor_restarted " + std::string(name));
  }
  void redacted(std::string_view where, std::size_t hits) override {
    add("redacted " + std::string(where), static_cast<std::int64_t>(hits));
  }
  std::string text() override {
    return {};
  }

private:
  void add(const std::string& what, std::int64_t n = 1) {
    std::lock_guard guard(mutex_);
    counts_[what] += n;
  }
  void put(const std::string& what, std::int64_t n) {
    std::lock_guard guard(mutex_);
    counts_[what] = n;
  }

  mutable std::mutex mutex_;
  std::map<std::string, std::int64_t> counts_;
};

} // namespace rdev::test
