// AUDITOR reads the audit log in the order of its chain, and verifies it.
#pragma once

#include "messages/values/operations.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::auditor {

// The operations of the API, each with who asks and from where.
struct request {
  principal who;
  request_context from;
  operation what; // one of list_audit … list_audit_keys
};

using actor = caf::typed_actor<
    // Who reads is on record before anything is read.
    caf::replies_to<request>::with<answer<outcome>>>;

} // namespace rdev::auditor
