// API KEYS owns the key store: look-ups for AUTH, the life of keys under the rule of domination, and the barrier behind
// which a revoked key counts nowhere any more.
#pragma once

#include "messages/values/operations.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::api_keys {

// Many at once, so that however many ask for keys nobody has seen, one query is under way.
struct find {
  std::vector<std::string> prefixes;  // `admin` finds the administrator's row
  std::vector<command_id> executions; // commands whose own credentials were presented
};
// A command that is running, and the key that submitted it.
struct execution {
  command_id command;
  std::string project;
  api_key submitter;
};
struct found {
  std::vector<api_key> keys;
  std::vector<execution> executions;
};

// The operations of the API, each with who asks and from where.
struct request {
  principal who;
  request_context from;
  std::optional<rdev::idempotency> idempotency;
  operation what; // one of list_keys, create_key, get_key, change_key, revoke_key, rotate_key
};

// Keys were used (from AUTH, every few seconds). May be lost: the next use is written down instead.
struct used {
  std::vector<key_use> uses;
};

// Keys are used oddly (from AUTH). May be lost: it is a hint, and what goes on is noticed again.
struct noticed {
  std::vector<anomaly> all;
};

// A key was changed or revoked, by whatever node (from the store's feed); a revocation comes with its epoch. No key:
// any may have been. May be lost: the epoch is looked at every second.
struct changed {
  std::optional<key_id> key;
  std::optional<std::int64_t> epoch;
  bool revoked = false;
};

using actor = caf::typed_actor<caf::replies_to<find>::with<found>,
                               // Carried out in one transaction with its audit and event rows. A revocation is answered
                               // when no node that lives can serve the key from its cache any more.
                               caf::replies_to<request>::with<answer<outcome>>,
                               // Written without an answer.
                               caf::reacts_to<used>, caf::reacts_to<noticed>, caf::reacts_to<changed>>;

} // namespace rdev::api_keys
