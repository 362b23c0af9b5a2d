// LEASES keeps this node alive in the store and finds commands without an owner: its own after a restart, others' after
// their node's death.
#pragma once

#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::leases {

// Get this node's own leases back under new tokens and hand them to the RUNNER (sent when the runner has restarted).
struct reclaim {};

// Orderly end: give the node's row back, so that others take over at once.
struct leave {};
struct left {};

using actor = caf::typed_actor<caf::reacts_to<reclaim>, caf::replies_to<leave>::with<left>>;

} // namespace rdev::leases
