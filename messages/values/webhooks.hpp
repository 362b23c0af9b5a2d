// Webhooks: who is told what happens, and what was delivered (docs/webhooks.md).
#pragma once

#include "messages/values/ids.hpp"
#include "messages/values/secret.hpp"
#include "messages/values/time.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev {

// Every event there is (contract, Webhooks).
inline constexpr std::array<std::string_view, 20> all_event_names{
    "command.queued",    "command.started", "command.completed", "command.failed",    "command.cancelled",
    "command.timed_out", "command.lost",    "key.created",       "key.rotated",       "key.revoked",
    "key.expiring",      "auth.lockout",    "auth.anomaly",      "project.created",   "project.started",
    "project.stopped",   "project.deleted", "project.unhealthy", "project.recovered", "webhook.disabled"};
// Sent to one endpoint when somebody asks for it, whatever that endpoint's filters are.
inline constexpr std::string_view test_event_name = "webhook.test";

// A filter names one event, all of a kind (`command.*`), or all (`*`). Whether it can ever match one.
bool valid_event_filter(std::string_view filter);

enum class webhook_status : std::uint8_t {
  active,
  failing,  // its last attempts failed; they go on
  paused,   // by its owner: deliveries are kept
  disabled, // by rdev, because it is gone or has failed for too long: deliveries are kept
};
std::string_view name_of(webhook_status status);

// An endpoint as it is stored; its secret is not part of it.
struct webhook {
  webhook_id id;
  std::string url;
  std::vector<std::string> events;                  // filters
  std::optional<std::vector<std::string>> projects; // none = all, and what belongs to no project
  std::string description;
  bool enabled = true;
  bool ordered = false;        // one delivery at a time, in order; a retry keeps the following ones waiting
  std::string disabled_reason; // empty unless rdev has disabled it
  std::optional<timestamp> failing_since;
  timestamp created_at{};
  std::optional<key_id> created_by;
  int revision = 0; // grows with every change by a user, and when rdev disables it

  [[nodiscard]] webhook_status status() const {
    if (!enabled)
      return disabled_reason.empty() ? webhook_status::paused : webhook_status::disabled;
    return failing_since ? webhook_status::failing : webhook_status::active;
  }
};

enum class delivery_status : std::uint8_t {
  pending,
  delivered,
  failed,  // the last attempt of its schedule failed
  blocked, // its endpoint is paused or disabled: it is kept, and sent when that ends
};
std::string_view name_of(delivery_status status);
std::optional<delivery_status> delivery_status_from(std::string_view name);

struct delivery_attempt {
  timestamp at{};
  std::optional<int> status; // of HTTP; none: there was no answer
  std::chrono::milliseconds latency{0};
  std::string error; // empty when it was delivered
  std::string body;  // the first bytes of the answer, as text
};

// One event for one endpoint.
struct delivery {
  delivery_id id;
  webhook_id webhook;
  std::string event;
  message_id message;        // the same for every attempt, and for every endpoint: `webhook-id`
  std::int64_t sequence = 0; // counts the deliveries of an endpoint from 1, in the order of the events
  delivery_status status = delivery_status::pending;
  timestamp created_at{};
  std::vector<delivery_attempt> attempts; // oldest first
  std::optional<timestamp> next_attempt_at;
};

// What happened, as it is told.
struct event_fact {
  message_id id;
  std::string event;
  timestamp at{};
  std::optional<std::string> project;
  std::optional<command_id> command;
  std::string command_type; // of `command`; empty without one
  std::optional<key_id> key;
  std::string data = "{}"; // a JSON object with the rest
};

// Secrets that a delivery is signed with: the present one, and during a rotation the former one as well.
struct signing_secrets {
  secret current; // the bytes, not their text
  std::optional<secret> former;
};

} // namespace rdev
