// REFUSALS knows which refused requests have been put on record one by one, and counts the others, so that somebody who
// keeps on trying wakes nobody who writes.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::refusals {

// A request was refused; this would be its record. May be lost with REFUSALS: its log line remains.
struct refused {
  audit_record what;
};

using actor = caf::typed_actor<caf::reacts_to<refused>>;

} // namespace rdev::refusals
