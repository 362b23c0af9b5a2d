// AUTH knows who is asking, and who has asked wrongly too often. It answers from a cache whose entries live for one
// cache lease, and asks API KEYS on a miss.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/values/bans.hpp"
#include "messages/values/keys.hpp"
#include "messages/values/refusal.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

#include <optional>
#include <vector>

namespace rdev::auth {

struct identify {
  request_context from;
  answer<secret> credential{secret()}; // as in api_request
  bool fresh = false; // what is cached does not do: the store has just said that the key is another one
};

// A key was revoked, rotated or changed: what is cached of it no longer counts. None: any may have been.
struct forget {
  std::optional<key_id> key;
};
struct forgotten {};

// All bans there are (from LOCKOUT, whenever they change). May be lost: AUTH asks for them when it starts, and the next
// change brings them all again.
struct banned {
  std::vector<ban> all;
};

using actor = caf::typed_actor<
    // Refusals in this order: too_many_requests (a ban), what is wrong with how the key was sent, unauthorized,
    // key_revoked, key_expired, ip_not_allowed.
    caf::replies_to<identify>::with<answer<principal>>,
    // Answered once no later identify can be served from the old entry.
    caf::replies_to<forget>::with<forgotten>, caf::reacts_to<banned>>;

} // namespace rdev::auth
