// Owns: the connection of the key store. Loses nothing on death. Runs: detached, because the store blocks.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/key_store.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <functional>
#include <memory>

namespace rdev::api_keys {

struct config {
  std::chrono::seconds default_lifetime{90 * 24 * 3600}; // of a key asked for without expires_in and expires_at
  std::function<timestamp()> wall_clock = now_utc;
};

using reply = caf::typed_response_promise<answer<outcome>>;

struct state {
  explicit state(actor::base* self_pointer) : self(self_pointer) {
  }
  caf::result<found> on_find(const find& what);
  reply on_request(request& what);
  void on_used(const used& what);

  void list(const request& asked, const list_keys& what, reply promise);
  void show(const request& asked, const get_key& what, reply promise);
  void create(const request& asked, const create_key& what, reply promise);
  void revoke(const request& asked, const revoke_key& what, reply promise);
  void rotate(const request& asked, const rotate_key& what, reply promise);
  void replay_or_refuse(const request& asked, const refusal& why, reply promise);
  // Stores a new key and answers with its text.
  void mint(const request& asked, api_key key, std::chrono::seconds overlap, reply promise);
  // AUTH forgets a key, its streams end, then the answer goes out.
  void answer_after_forgetting(const request& asked, api_key key, reply promise);
  // The asker's own key as it is stored, and the key asked for as far as the asker may see it.
  result<std::optional<api_key>> asker(const request& asked);
  result<std::optional<api_key>> visible(const request& asked, const key_id& id);

  actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<key_store> store;
  const char* name = "api_keys";
};

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, config settings,
                              std::shared_ptr<key_store> store);

} // namespace rdev::api_keys
