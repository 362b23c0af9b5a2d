// The rows of the pretended database. For this folder only.
#pragma once

#include "adapters/crypto.hpp"
#include "adapters/memory/memory_stores.hpp"
#include "adapters/signing.hpp"
#include "adapters/webhook_store.hpp"

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
  std::int64_t seen_epoch = 0;
};

struct webhook_row {
  webhook what;
  secret current;
  std::optional<secret> former;
  timestamp former_until{};
  std::size_t since = 0; // how many events there were before
  std::int64_t sequence = 0;
};

// As it was made; whether it waits, stands elsewhere.
struct delivery_row {
  delivery what;
  std::size_t event = 0; // its place
  bool given_up = false;
};

struct due_row {
  timestamp due_at{};
  int attempts = 0;
};

struct webhook_lease_row {
  node_id node;
  std::int64_t token = 0;
};

struct planned_fault {
  std::string call; // empty = any
  fault what = fault::unavailable;
  int times = 1;
  moment when = moment::before;
};

inline constexpr std::chrono::days audit_retention{90};

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
  std::map<key_id, std::int64_t> revoked_at_epoch;
  std::map<key_id, int> expiry_told; // days
  std::set<std::pair<key_id, std::string>> key_networks;
  std::int64_t epoch = 0;
  std::optional<key_digest> pepper_check;
  std::map<ip_network, ban> bans;
  std::int64_t ban_version = 0;
  std::vector<audit_row> audit;
  std::uint64_t last_transaction = 0; // of the audit log
  std::vector<placed_seal> seals;
  std::vector<audit_checkpoint> checkpoints;
  std::optional<signing_key> audit_key; // once something was sealed
  node_id sealer;
  std::vector<event_row> events;
  std::map<idempotency_scope, idempotency_row> idempotency;
  std::set<std::string> unhealthy; // projects
  std::map<node_id, node_row> nodes;
  std::chrono::seconds webhook_retention{7 * 24 * 3600};
  std::map<webhook_id, webhook_row> webhooks;
  std::map<webhook_id, std::map<delivery_id, delivery_row>> deliveries;
  std::map<webhook_id, std::map<delivery_id, due_row>> due;
  std::map<webhook_id, webhook_lease_row> webhook_leases;
  std::size_t events_spread = 0;
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
  [[nodiscard]] bool key_is_good(const key_id& id, int revision) const;
  // Whether as many of its commands have not ended as its concurrency_limit allows, with `more` beside those here.
  [[nodiscard]] bool key_is_full(const key_id& id, int more) const;
  // Whether a submission has an idempotency record already.
  [[nodiscard]] bool known(const new_command& one) const;
  [[nodiscard]] std::uint64_t stored_bytes(const command_id& id, stream which) const;
  [[nodiscard]] lease lease_of(const command_id& id) const;
  void add_audit(audit_record row, const audit_id& id = {}); // nil, or of another day: one of the store's own
  void add_event(std::string event, std::optional<std::string> project, std::optional<command_id> command,
                 std::optional<key_id> key, std::string data = "{}");
  [[nodiscard]] bool node_lives(const node_id& id) const;
  // A delivery of this event, which is due now.
  delivery_id add_delivery(webhook_row& to, std::size_t event);
  // The record of this scope after it was claimed for `resource`, unless a living one is there.
  const idempotency_row& claim_idempotency(const key_id& family, const request_context& from,
                                           const rdev::idempotency& key, const std::string& resource);
};

// Whether an event passes one of these filters.
bool passes(std::string_view event, const std::vector<std::string>& filters);
// Without query and user info, which may hold secrets.
std::string bare_url(std::string_view url);
idempotency_scope scope_of(const key_id& family, const request_context& from, const rdev::idempotency& key);

} // namespace rdev::memory
