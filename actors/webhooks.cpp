#include "actors/webhooks.hpp"

namespace rdev::webhooks {

actor::behavior_type behavior(actor::stateful_pointer<state> self) {
  return {
      [=](const committed& what) { self->state.events_seen += what.events; },
  };
}

} // namespace rdev::webhooks
