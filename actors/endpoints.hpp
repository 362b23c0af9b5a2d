// Owns: the connection to the registry of webhooks. Loses nothing on death. Runs: detached, because the store blocks.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/webhook_sender.hpp"
#include "adapters/webhook_store.hpp"

#include <caf/stateful_actor.hpp>

#include <memory>

namespace rdev::endpoints {

struct state {
  using reply = result<answer<outcome>>;

  explicit state(actor::base* self_pointer) : self(self_pointer) {
  }
  caf::result<answer<outcome>> on_request(const request& asked);

  reply carry_out(const request& asked, const list_webhooks& what);
  reply carry_out(const request& asked, const create_webhook& what);
  reply carry_out(const request& asked, const get_webhook& what);
  reply carry_out(const request& asked, const change_webhook& what);
  reply carry_out(const request& asked, const delete_webhook& what);
  reply carry_out(const request& asked, const test_webhook& what);
  reply carry_out(const request& asked, const rotate_webhook_secret& what);
  reply carry_out(const request& asked, const list_deliveries& what);
  reply carry_out(const request& asked, const get_delivery& what);
  reply carry_out(const request& asked, const redeliver& what);
  reply carry_out(const request& asked, const replay_deliveries& what);

  // Hands the webhook to `then` if the asker may see it; else it is not found.
  template <class Then>
  reply with_visible(const request& asked, const webhook_id& id, Then then);
  // What a change of the store came to; `changed` is answered with `what`.
  template <class Then>
  reply settled(const request& asked, change_verdict verdict, Then then);
  void told_of(const request& asked);

  actor::base* self;
  surroundings around;
  std::shared_ptr<webhook_registry> store;
  std::shared_ptr<webhook_sender> sender;
  const char* name = "endpoints";
};

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around,
                              std::shared_ptr<webhook_registry> store, std::shared_ptr<webhook_sender> sender);

} // namespace rdev::endpoints
