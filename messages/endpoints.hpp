// ENDPOINTS owns the registry of webhooks: who is told what, and what was delivered.
#pragma once

#include "messages/values/operations.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::endpoints {

// The operations of the API, each with who asks and from where.
struct request {
  principal who;
  request_context from;
  std::optional<rdev::idempotency> idempotency;
  operation what; // one of list_webhooks … replay_deliveries
};

using actor = caf::typed_actor<
    // Carried out in one transaction with its audit row.
    caf::replies_to<request>::with<answer<outcome>>>;

} // namespace rdev::endpoints
