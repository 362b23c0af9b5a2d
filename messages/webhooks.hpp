// WEBHOOKS tells the outside what happened. Its outbox is the `event` table, written in the transaction of the fact;
// a message only says that there is something new in it, and may be lost.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::webhooks {

struct committed {
  request_context from;
  int events = 0;
};

using actor = caf::typed_actor<caf::reacts_to<committed>>;

} // namespace rdev::webhooks
