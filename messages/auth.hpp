// AUTH knows who is asking. It answers from a cache whose entries live for one cache lease, and asks API KEYS on a
// miss.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/values/keys.hpp"
#include "messages/values/refusal.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

#include <optional>

namespace rdev::auth {

struct identify {
  request_context from;
  secret credential;
};

// A key was revoked, rotated or changed: what is cached of it no longer counts. None: any may have been.
struct forget {
  std::optional<key_id> key;
};
struct forgotten {};

using actor = caf::typed_actor<
    // Refusals in this order: unauthorized, key_revoked, key_expired, ip_not_allowed.
    caf::replies_to<identify>::with<answer<principal>>,
    // Answered once no later identify can be served from the old entry.
    caf::replies_to<forget>::with<forgotten>>;

} // namespace rdev::auth
