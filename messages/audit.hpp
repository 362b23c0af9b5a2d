// AUDIT keeps the record of who did what. Rows of commands, keys and projects are written in the transaction of the
// thing itself; AUDIT writes the rest (refusals, node start and stop) in batches and counts all of them.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::audit {

// Something without a transaction of its own happened.
struct record {
  audit_record what;
};

// So many rows were committed by another lane, on behalf of this request.
struct committed {
  request_context from;
  int rows = 0;
};

using actor = caf::typed_actor<caf::reacts_to<record>, caf::reacts_to<committed>>;

} // namespace rdev::audit
