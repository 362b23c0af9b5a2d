// OUTPUT LOG is the one writer of output: chunks of all running commands, many in one transaction.
#pragma once

#include "messages/values/changes.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::output_log {

struct append {
  output_append what;
};
struct appended {
  bool accepted = false; // false: the token is stale, somebody else owns the command
};

using actor = caf::typed_actor<
    // Durable before it is answered; then STREAMS hears of it.
    caf::replies_to<append>::with<appended>>;

} // namespace rdev::output_log
