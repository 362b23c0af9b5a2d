// WEBHOOKS tells the outside what happened: it makes deliveries of the facts in the outbox (table `event`, written in
// the transaction of the fact) and has those of the endpoints that are this node's sent.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::webhooks {

// There is something new in the outbox. May be lost: it is looked at twice a second.
struct committed {
  request_context from;
  int events = 0;
};

// Something about an endpoint or its deliveries was changed by a user. May be lost, for the same reason.
struct changed {};

// The server goes away: start no further deliveries, and give up the endpoints when none is under way.
struct rest {};
struct rested {};

using actor = caf::typed_actor<caf::reacts_to<committed>, caf::reacts_to<changed>, caf::replies_to<rest>::with<rested>>;

} // namespace rdev::webhooks
