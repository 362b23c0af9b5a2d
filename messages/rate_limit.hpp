// RATE LIMIT counts requests in exact sliding windows: of each key, of each address whose requests bear no good key,
// and of all together.
#pragma once

#include "messages/values/addresses.hpp"
#include "messages/values/operations.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

#include <optional>

namespace rdev::rate_limit {

struct meter {
  request_context from;
  std::optional<key_id> key; // none: the request has no good key, its address counts
  std::optional<int> quota;  // of the key; none = the default
};

// The rule that a request was refused by.
enum class rule : std::uint8_t { key, address, global };

struct metered {
  std::optional<rule> refused_by; // none = admitted
  rate_state state;               // of the key or the address; of all together when that is what refused it
};

using actor = caf::typed_actor<
    // Counts one request and says whether it still fits. A refused request is not counted.
    caf::replies_to<meter>::with<metered>>;

} // namespace rdev::rate_limit
