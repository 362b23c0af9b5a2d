// Ports of the durable store for webhooks, one per lane. Same rules as adapters/command_store.hpp.
#pragma once

#include "adapters/key_store.hpp"
#include "messages/values/webhooks.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace rdev {

struct webhook_receipt {
  change_verdict verdict = change_verdict::changed;
  rdev::webhook webhook; // afterwards; of a removal: as it was
};

struct webhook_mint_receipt {
  mint_verdict verdict = mint_verdict::created;
  rdev::webhook webhook; // as it was created; of the first one in a replay
};

struct delivery_receipt {
  change_verdict verdict = change_verdict::changed;
  rdev::delivery delivery; // afterwards
};

struct replay_receipt {
  change_verdict verdict = change_verdict::changed;
  std::int64_t deliveries = 0; // that will be sent again
};

// Lane `endpoints`: what users ask for. Every change writes an audit row in its transaction (`webhook.create`,
// `webhook.change`, `webhook.delete`, `webhook.rotate_secret`, `webhook.test`, `webhook.redeliver`), and nothing for a
// writer whose key is not what it was.
class webhook_registry {
public:
  virtual ~webhook_registry() = default;

  // Webhooks all of whose projects are among `projects` (none = all webhooks), newest first.
  virtual result<page<webhook>> list(const page_request& at,
                                     const std::optional<std::vector<std::string>>& projects) = 0;
  virtual result<std::optional<webhook>> find(const webhook_id& id) = 0;
  // `plain` is sealed before it is stored. Events that begin from now on are delivered.
  virtual result<webhook_mint_receipt> create(const webhook& what, const secret& plain, const key_writer& writer) = 0;
  // Writes url, events, projects, description, enabled and ordered to the row of its id if that is of its revision.
  // Enabling forgets why it was disabled and since when it has failed, and makes what waits due at once.
  virtual result<webhook_receipt> change(const webhook& what, const key_writer& writer) = 0;
  // The secret until now signs too for `overlap`.
  virtual result<webhook_receipt> rotate(const webhook_id& id, const secret& plain, std::chrono::seconds overlap,
                                         const key_writer& writer) = 0;
  // With its deliveries; those that wait are not sent any more.
  virtual result<webhook_receipt> remove(const webhook_id& id, const key_writer& writer) = 0;

  // Newest first, each with all of its attempts.
  virtual result<page<delivery>> deliveries(const list_deliveries& what) = 0;
  virtual result<std::optional<delivery>> find_delivery(const webhook_id& webhook, const delivery_id& id) = 0;
  // A delivery of the event `webhook.test` to this endpoint alone.
  virtual result<delivery_receipt> test(const webhook_id& id, const key_writer& writer) = 0;
  // Due at once, with a fresh schedule, whatever its state; `message` and `sequence` stay. `not_found`: no such
  // delivery.
  virtual result<delivery_receipt> redeliver(const webhook_id& webhook, const delivery_id& id,
                                             const key_writer& writer) = 0;
  // The same for all that match, at most 100,000, oldest first; those that wait already are made due at once and count.
  virtual result<replay_receipt> replay(const replay_deliveries& what, const key_writer& writer) = 0;
};

// ---- lane `webhooks`: the outbox and what is sent of it

// What of the outbox was made into deliveries.
struct fan_out {
  int events = 0;                   // that were looked at
  std::vector<webhook_id> webhooks; // whose number of waiting deliveries grew
  bool more = false;                // there are further events already
  bool held = false;                // there are others, which must wait for a transaction that is still open
};

// An endpoint that this node delivers to, until its row in the node table expires.
struct owned_webhook {
  rdev::webhook webhook;
  signing_secrets secrets; // `current` is empty if it cannot be opened: nothing may be sent with it
  std::int64_t token = 0;  // of the lease; another one's records are refused
  bool has_due = false;    // something waits that is due
};

struct ownership {
  std::vector<owned_webhook> mine;   // also those that are paused or disabled by now
  std::chrono::milliseconds left{0}; // for which this node's row is still good; 0: it has expired, nothing may be sent
  int share = 0;                     // so many enabled webhooks a node is to have at most while all of them live
};

struct due_delivery {
  delivery_id id;
  std::int64_t sequence = 0;
  int attempts = 0;                    // that failed since it was made, or since it was sent again by a user
  std::chrono::milliseconds due_in{0}; // 0 or less: now
  event_fact what;
};

enum class attempt_outcome : std::uint8_t {
  delivered,
  retry,   // due again after `retry_in`
  failed,  // for good
  disable, // the endpoint is gone: it is disabled with `error` as reason, and the delivery is kept for it
};

struct attempt_record {
  webhook_id webhook;
  std::int64_t token = 0; // of the lease under which it was sent
  delivery_id delivery;
  attempt_outcome outcome = attempt_outcome::delivered;
  std::chrono::milliseconds retry_in{0};
  std::chrono::milliseconds ago{0}; // how long ago the attempt began
  delivery_attempt what;            // its `at` is the store's
};

class webhook_outbox {
public:
  virtual ~webhook_outbox() = default;

  // Makes deliveries of the next events, at most `most`, in the order in which they were committed; only of those
  // before which nothing can be committed any more. One node at a time; others wait for it.
  virtual result<fan_out> spread(int most) = 0;
  // Takes enabled webhooks that no living node delivers to, up to its share; all that `node` delivers to now.
  virtual result<ownership> own(const node_id& node) = 0;
  // Gives up the leases of these webhooks, if `node` has them.
  virtual result<done> release(const node_id& node, std::span<const webhook_id> webhooks) = 0;
  // What waits, what is due first first (of an ordered webhook: by sequence), at most `most`; also what is due later.
  // Empty under another token, and for a webhook that is paused or disabled.
  virtual result<std::vector<due_delivery>> due(const webhook_id& id, std::int64_t token, int most) = 0;
  // One transaction; false where the token is stale or the delivery does not wait any more. A first failure sets
  // `failing_since` of its webhook, a success clears it; disabling writes an event and an audit row.
  virtual result<std::vector<bool>> record(std::span<const attempt_record> batch) = 0;
  // Disables webhooks that have failed for `failing_for`, each with an event `webhook.disabled` and an audit row; how
  // many.
  virtual result<int> disable_failing(std::chrono::milliseconds failing_for) = 0;
  // Deliveries that wait, of whatever node.
  virtual result<std::int64_t> pending() = 0;
};

} // namespace rdev
