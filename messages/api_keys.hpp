// API KEYS owns the key store: look-ups for AUTH, and the life of keys under the rule of domination.
#pragma once

#include "messages/values/operations.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::api_keys {

struct find {
  std::string prefix;
};
struct found {
  std::optional<api_key> key;
};

// The operations of the API, each with who asks and from where.
struct request {
  principal who;
  request_context from;
  std::optional<rdev::idempotency> idempotency;
  operation what; // one of list_keys, create_key, get_key, revoke_key, rotate_key
};

// Keys were used (from AUTH, every few seconds). May be lost: the next use is written down instead.
struct used {
  std::vector<key_use> uses;
};

using actor = caf::typed_actor<
    // One look-up by prefix; `admin` finds the administrator's row.
    caf::replies_to<find>::with<found>,
    // Carried out in one transaction with its audit and event rows. A revocation is answered after AUTH forgot the key.
    caf::replies_to<request>::with<answer<outcome>>,
    // Written without an answer.
    caf::reacts_to<used>>;

} // namespace rdev::api_keys
