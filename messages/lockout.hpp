// LOCKOUT owns the store of bans, which AUTH imposes and keeps to: those of all nodes, and those from before a restart.
#pragma once

#include "messages/values/operations.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::lockout {

// AUTH has locked a network out. May be lost with the process only: it is written again and again until the store has
// it; until then AUTH of this node keeps to it by itself.
struct impose {
  new_ban what;
};

// AUTH has lost what it knew, or the server begins: tell AUTH all bans. Answered when that is on its way.
struct tell {};
struct told {};

// The operations of the API, each with who asks and from where.
struct request {
  principal who;
  request_context from;
  operation what; // list_bans or lift_ban
};

using actor = caf::typed_actor<
    // Written with its event row and its audit row.
    caf::reacts_to<impose>, caf::replies_to<tell>::with<told>,
    // A ban that was lifted counts nowhere any more within a second.
    caf::replies_to<request>::with<answer<outcome>>>;

} // namespace rdev::lockout
