// RATE LIMIT counts requests per key in an exact sliding window.
#pragma once

#include "messages/values/operations.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::rate_limit {

struct meter {
  request_context from;
  key_id key;
  std::optional<int> quota; // of the key; none = the default
};
struct metered {
  bool admitted = true;
  rate_state state;
};

using actor = caf::typed_actor<
    // Counts one request and says whether it still fits. A refused request is not counted.
    caf::replies_to<meter>::with<metered>>;

} // namespace rdev::rate_limit
