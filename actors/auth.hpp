// Owns: the cache of keys. Loses it on death, and fills it again. Runs: scheduled.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/crypto.hpp"
#include "messages/values/addresses.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

namespace rdev::auth {

struct config {
  std::chrono::milliseconds cache_lease{2000};     // how long an entry is served, from before the query that brought it
  std::size_t most_cached = 100000;                // entries; beyond that the cache starts anew
  std::chrono::milliseconds note_uses{2000};       // how long uses are gathered before they are written down
  std::function<timestamp()> wall_clock = now_utc; // for expiry
};

struct note_uses {};

using self_actor = actor::extend<caf::reacts_to<note_uses>>;
using reply = caf::typed_response_promise<answer<principal>>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  reply on_identify(identify& request);
  forgotten on_forget(const forget& what);
  void on_note_uses();

  struct entry {
    std::optional<api_key> key;
    std::vector<ip_network> allowed;
    caf::actor_clock::time_point asked_at;
  };
  struct waiting {
    identify request;
    digest256 digest{};
    reply promise;
    caf::actor_clock::time_point arrived;
  };

  // Goes on with a request: to the administrator's row first, then to the row of its prefix.
  void advance(waiting one);
  void decide(waiting& one, const entry& found);
  // The cached row; null while it is being fetched, with `one` waiting for it.
  const entry* lookup(const std::string& prefix, waiting& one);
  void fetch(const std::string& prefix);
  void fetched(const std::string& prefix, caf::actor_clock::time_point asked_at, std::optional<api_key> key);
  void failed(const std::string& prefix, const failure& why);
  void refuse(waiting& one, refusal_code code, std::string message);

  self_actor::base* self;
  surroundings around;
  config settings;
  std::unordered_map<std::string, entry> cache;
  std::unordered_map<std::string, std::vector<waiting>> pending;
  std::unordered_map<key_id, key_use> uses; // since they were last written down
  std::uint64_t forgets = 0;                // a look-up that was under way during a forget does not count
  const char* name = "auth";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings);

} // namespace rdev::auth

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::auth::note_uses)
