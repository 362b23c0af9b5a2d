// What is written about commands and projects while they live, and what the store answers to it.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/values/commands.hpp"
#include "messages/values/operations.hpp"
#include "messages/values/output.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rdev {

struct completion {
  command_id id;
  std::int64_t token = 0;
  command_result result;                              // finished_at and started_at are the store's
  std::optional<std::chrono::milliseconds> ended_ago; // how long before now, when that is known
};

enum class cancel_verdict : std::uint8_t { not_found, ended, never_ran, requested, key_changed };

struct cancel_order {
  command_id id;
  cancel_reason reason = cancel_reason::user;
  std::optional<key_id> by;
  std::string actor_name;
  request_context from;
  int revision = 0; // of the key
};

// A key was revoked, and what it has in the queue is not to run.
struct queue_order {
  key_id key;
  std::optional<key_id> by;
  std::string actor_name;
  request_context from;
};

// A project is about to be made, removed or changed, which has an audit row; or it was: audit row, event row and
// idempotency record in one transaction.
struct project_change {
  std::string project;
  std::string event; // `project.create`, …; when it is done `project.created`, …
  key_id by;
  std::string actor_name;
  request_context from;
  std::optional<rdev::idempotency> idempotency;
};

// What a node saw of a project by itself: that it fares badly, or well again.
struct project_health {
  std::string project;
  bool healthy = true;
  std::string reason;
};

struct idempotency_hit {
  bool same_body = false;
  std::string resource; // uuid of the thing, or a project id
};

// Chunks of one command, under the token of its lease.
struct output_append {
  command_id id;
  std::int64_t token = 0;
  std::vector<chunk> chunks;
};

} // namespace rdev
