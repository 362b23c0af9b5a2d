// LEASES keeps this node alive in the store and finds commands without an owner: its own after a restart, others' after
// their node's death.
#pragma once

#include "messages/values/ids.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::leases {

// Get this node's own leases back under new tokens and hand them to the RUNNER (sent when the runner has restarted).
struct reclaim {};

// Orderly end: give the node's row back, so that others take over at once.
struct leave {};
struct left {};

// Answered as soon as RUNNER has what this node ran before it was restarted.
struct settle {};
struct settled {};

// Whether the lease with this token still stands. Asked before a start that has been waiting for long.
struct confirm {
  command_id command;
  std::int64_t token = 0;
};
struct confirmed {
  bool stands = false;
};

using actor = caf::typed_actor<caf::reacts_to<reclaim>, caf::replies_to<leave>::with<left>,
                               caf::replies_to<settle>::with<settled>, caf::replies_to<confirm>::with<confirmed>>;

} // namespace rdev::leases
