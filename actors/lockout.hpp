// Owns: the connection of the ban store, and bans that it could not write yet. Loses these on death: AUTH of this node
// keeps to them until it is told all bans again. Runs: detached, because the store blocks.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/ban_store.hpp"

#include <caf/stateful_actor.hpp>

#include <map>
#include <memory>

namespace rdev::lockout {

struct config {
  std::chrono::milliseconds look{1000};              // between looks for what other nodes did
  std::chrono::milliseconds memory{24 * 3'600'000L}; // how long bans that have ended count for the next one's length
  std::size_t most_unwritten = 65'536;               // bans kept while the store is away; more are dropped
};

struct look {};
struct flush {}; // whatever came before it is written with one statement

using self_actor = actor::extend<caf::reacts_to<look>, caf::reacts_to<flush>>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  void on_impose(const impose& what);
  caf::result<told> on_tell();
  void on_look();
  void on_flush();
  caf::result<answer<outcome>> on_request(const request& asked);

  void write_down();
  result<done> tell_auth();
  result<answer<outcome>> lift(const request& asked, const lift_ban& what);

  self_actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<ban_store> store;
  std::map<ip_network, new_ban> unwritten;
  bool flush_is_due = false;
  std::int64_t version = -1; // of the bans that AUTH was told last
  const char* name = "lockout";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<ban_store> store);

} // namespace rdev::lockout

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::lockout::look)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::lockout::flush)
