// Owns: nothing yet. No endpoint can be registered so far, so there is nobody to deliver to: facts stay in the outbox
// (table `event`), from which deliveries will be made. Runs: scheduled.
#pragma once

#include "actors/surroundings.hpp"

#include <caf/stateful_actor.hpp>

namespace rdev::webhooks {

struct state {
  std::int64_t events_seen = 0;
  const char* name = "webhooks";
};

actor::behavior_type behavior(actor::stateful_pointer<state> self);

} // namespace rdev::webhooks
