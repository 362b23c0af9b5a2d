// Port: what is counted, in the words of the domain. The adapter knows the names that Prometheus sees
// (docs/operations/metrics.md). Thread-safe, cheap, never throws.
#pragma once

#include "messages/values/commands.hpp"
#include "messages/values/operations.hpp"
#include "messages/values/refusal.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace rdev {

class metrics {
public:
  virtual ~metrics() = default;

  // ---- HTTP; `route` is the pattern or `unmatched`
  virtual void request_started(std::string_view method, std::string_view route) = 0;
  virtual void request_finished(std::string_view method, std::string_view route, int status,
                                std::chrono::nanoseconds took) = 0;
  virtual void stream_opened() = 0;
  virtual void stream_closed() = 0;
  // ---- keys and limits
  virtual void auth_accepted() = 0;
  virtual void auth_refused(refusal_code why) = 0;       // unauthorized, key_revoked, key_expired, ip_not_allowed
  virtual void rate_limited(std::string_view field) = 0; // key, address, global, ban
  // A rule in shadow mode would have refused this one; fields as above.
  virtual void would_limit(std::string_view field) = 0;
  virtual void locked_out(bool in_shadow) = 0;
  virtual void anomaly_seen(anomaly_kind kind) = 0;
  // ---- commands
  virtual void command_ended(std::string_view project, command_type type, command_status status,
                             std::chrono::milliseconds took) = 0;
  virtual void commands_active(std::int64_t n) = 0;
  virtual void queue(const queue_view& now) = 0;
  virtual void audit_records(std::int64_t n) = 0;
  virtual void output_stored(std::uint64_t bytes) = 0;
  // ---- webhooks
  virtual void webhook_attempted(std::string_view outcome) = 0; // delivered, retry, failed, disabled
  virtual void webhooks_pending(std::int64_t deliveries) = 0;   // of the whole cluster
  // ---- the house
  virtual void dependency(std::string_view name, bool up) = 0;
  // 0 closed, 1 half-open, 2 open; none: there is no such circuit any more.
  virtual void circuit(std::string_view name, std::optional<int> state) = 0;
  virtual void fault_seen(std::string_view where) = 0;
  virtual void actor_restarted(std::string_view name) = 0;
  // Secrets that were taken out of what is written there: log, audit.
  virtual void redacted(std::string_view where, std::size_t hits) = 0;

  // The whole in Prometheus text format 0.0.4.
  virtual std::string text() = 0;
};

} // namespace rdev
