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

// By the store, these run on this node. Where that is not so, LEASES asks again and sets it right.
struct check {
  std::vector<command_id> held;
};
struct checked {
  std::vector<command_id> missing; // held, and not run here
  std::vector<command_id> strays;  // run here, and not held
};

// Something changed on disk for this command (from the process runner's thread). May be lost: it repeats.
struct changed {
  command_id command;
};

// Others have these now, or they are over: let go of them without touching what runs.
struct drop {
  std::vector<command_id> commands;
};

// Orderly end of this node: the same with all of them.
struct abandon {};

using actor =
    caf::typed_actor<caf::replies_to<run>::with<running>, caf::replies_to<check>::with<checked>, caf::reacts_to<stop>,
                     caf::reacts_to<changed>, caf::reacts_to<drop>, caf::reacts_to<abandon>>;

} // namespace rdev::runner
