// RUNNER runs commands: one execution (a child actor) for each lease, from start to receipt.
#pragma once

#include "messages/values/commands.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::runner {

// Take over these leases: start what was never started, attach to the rest.
struct run {
  std::vector<lease> leases;
};
// So many commands run here now.
struct running {
  int count = 0;
};

// End a command that runs here. May be lost: the wish stands in the store, and LEASES repeats it.
struct stop {
  command_id command;
  cancel_reason reason = cancel_reason::user;
};

// By the store, these run on this node. Those that do not run here are named; LEASES asks again and hands them over.
struct check {
  std::vector<command_id> held;
};
struct missing {
  std::vector<command_id> commands;
};

// Something changed on disk for this command (from the process runner's thread). May be lost: it repeats.
struct changed {
  command_id command;
};

// The restarted runner wants its commands back, or the node was fenced: drop all executions without touching them.
struct abandon {};

using actor = caf::typed_actor<caf::replies_to<run>::with<running>, caf::replies_to<check>::with<missing>,
                               caf::reacts_to<stop>, caf::reacts_to<changed>, caf::reacts_to<abandon>>;

} // namespace rdev::runner
