// The rows of the pretended database. For this folder only.
#pragma once

#include "adapters/crypto.hpp"
#include "adapters/memory/memory_stores.hpp"

#include <algorithm>
#include <mutex>
#include <set>
#include <tuple>

namespace rdev::memory {

struct queue_row {
  timestamp ready_at{};
  std::int64_t eff_ms = 0; // ready time plus the handicap of the priority: ageing folded in
  std::string scope;
};

struct lease_row {
  node_id node;
  std::int64_t token = 0;
  int attempt = 1;
  std::string start_intent;
  timestamp started_at{};
  std::optional<cancel_reason> cancel;
  std::string scope;
};

struct idempotency_row {
  std::array<std::uint8_t, 32> body_digest{};
  std::string resource;
  timestamp expires_at{};
};
using idempotency_scope = std::pair<key_id, std::string>;

struct node_row {
  node_info info;
  timestamp expires_at{};
  timestamp alive_since{};
};

struct planned_fault {
  std::string call; // empty = any
  fault what = fault::unavailable;
  int times = 1;
  moment when = moment::before;
};

struct tables {
  mutable std::mutex mutex;
  std::function<timestamp()> clock = now_utc;
  std::chrono::seconds idempotency_retention{24 * 3600};

  std::map<command_id, command> commands; // their env is emptied when they end
  std::map<command_id, std::vector<std::string>> env_names;
  std::map<command_id, queue_row> queue;
  std::map<command_id, lease_row> leases;
  std::map<command_id, command_result> results;
  std::map<command_id, std::int64_t> result_tokens;
  std::map<command_id, std::map<std::uint32_t, chunk>> chunks;
  std::map<key_id, api_key> keys;
  std::vector<audit_row> audit;
  std::vector<event_row> events;
  std::map<idempotency_scope, idempotency_row> idempotency;
  std::set<std::string> unhealthy; // projects
  std::map<node_id, node_row> nodes;
  std::int64_t last_token = 0;

  bool unreachable = false;
  std::vector<planned_fault> faults;
  std::map<std::string, std::vector<std::size_t>, std::less<>> calls;
  std::map<std::string, std::function<void()>, std::less<>> interruptions;

  // One call of a port: counted, failed if a test has said so, else done under the lock as one transaction.
  template <class Work>
  auto call(std::string_view name, std::size_t size, Work work) -> decltype(work()) {
    interrupt(name);
    std::lock_guard guard(mutex);
    calls[std::string(name)].push_back(size);
    if (auto why = strikes(name, moment::before))
      return std::move(*why);
    auto out = work();
    if (auto why = strikes(name, moment::after))
      return std::move(*why);
    return out;
  }

  void interrupt(std::string_view name);
  std::optional<failure> strikes(std::string_view name, moment when);

  // What several ports need; all of them under the lock.
  [[nodiscard]] bool key_is_good(const key_id& id) const;
  [[nodiscard]] std::uint64_t stored_bytes(const command_id& id, stream which) const;
  [[nodiscard]] lease lease_of(const command_id& id) const;
  void add_audit(audit_record row);
  void add_event(std::string event, std::optional<std::string> project, std::optional<command_id> command,
                 std::optional<key_id> key);
  // The record of this scope after it was claimed for `resource`, unless a living one is there.
  const idempotency_row& claim_idempotency(const key_id& family, const request_context& from,
                                           const rdev::idempotency& key, const std::string& resource);
};

idempotency_scope scope_of(const key_id& family, const request_context& from, const rdev::idempotency& key);

} // namespace rdev::memory
