// Owns: the connection of the key store, and answers that wait behind a barrier. These get a fault on death, like all
// that is under way; it loses nothing else. Runs: detached, because the store blocks.
#pragma once

#include "actors/key_policy.hpp"
#include "actors/surroundings.hpp"
#include "adapters/crypto.hpp"
#include "adapters/key_store.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <functional>
#include <memory>

namespace rdev::api_keys {

struct config {
  std::shared_ptr<const credentials> checks;
  node_id node; // this one
  key_policy policy;
  std::function<timestamp()> wall_clock = now_utc;
  std::chrono::milliseconds cache_lease{2000};     // for so long a node that hears of nothing serves a key as it was
  std::chrono::milliseconds barrier_grace{200};    // after which that is over for certain
  std::chrono::milliseconds barrier_look{10};      // between looks whether all nodes have seen a revocation
  std::chrono::milliseconds look{1000};            // between looks for revocations that the feed did not tell
  std::chrono::milliseconds announce{3600 * 1000}; // between looks for keys that end soon
};

struct look {};
struct look_at_barriers {};
struct announce {};

using self_actor = actor::extend<caf::reacts_to<look>, caf::reacts_to<look_at_barriers>, caf::reacts_to<announce>>;

using reply = caf::typed_response_promise<answer<outcome>>;

// An answer that waits until every node has seen an epoch, or cannot serve anything older any more; and until its key
// has nothing in the queue, if that is to be cleared.
struct barrier {
  std::int64_t epoch = 0;
  std::chrono::milliseconds ends_at{}; // of the boot clock
  outcome what;
  reply promise;
  std::shared_ptr<const bool> cleared; // none: it stays as it is
};

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  caf::result<found> on_find(const find& what);
  reply on_request(request& what);
  void on_used(const used& what);
  void on_noticed(const noticed& what);
  void on_changed(const changed& what);
  void on_look();
  void on_look_at_barriers();
  void on_announce();

  void carry_out(const request& what, reply promise);
  void again(const request& asked, reply promise);
  void list(const request& asked, const list_keys& what, reply promise);
  void show(const request& asked, const get_key& what, reply promise);
  void create(const request& asked, const create_key& what, reply promise);
  void change(const request& asked, const change_key& what, reply promise);
  void revoke(const request& asked, const revoke_key& what, reply promise);
  void clear_queue(const queue_order& order, const std::shared_ptr<bool>& cleared, reply promise);
  void rotate(const request& asked, const rotate_key& what, reply promise);
  void refuse_ended(const request& asked, const key_id& which, reply promise);
  void replay_or_refuse(const request& asked, const key_id& ended, reply promise);
  // Stores a new key and answers with its text.
  void mint(const request& asked, api_key key, std::chrono::seconds overlap, reply promise);
  // AUTH forgets a key; the answer goes out when all other nodes have forgotten it, too.
  void answer_behind_barrier(const key_id& forgotten, std::int64_t epoch, outcome what, reply promise,
                             std::shared_ptr<const bool> cleared = nullptr);
  void told_of(const request& asked);
  // A change whose receipt is no change; true: it was answered.
  bool refused(const request& asked, const change_receipt& receipt, reply& promise);
  // AUTH has forgotten everything older than `epoch`.
  void saw(std::int64_t epoch);
  // The asker's own key as it is stored, and the key asked for as far as the asker may see it.
  result<std::optional<api_key>> asker(const request& asked);
  result<std::optional<api_key>> visible(const request& asked, const key_id& id);

  self_actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<key_store> store;
  std::int64_t seen = 0;  // the epoch that AUTH of this node is known to be up to
  std::int64_t heard = 0; // the latest epoch of the feed that came without a gap
  std::vector<barrier> barriers;
  bool look_is_due = false; // at the barriers
  const char* name = "api_keys";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<key_store> store);

} // namespace rdev::api_keys

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::api_keys::look)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::api_keys::look_at_barriers)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::api_keys::announce)
