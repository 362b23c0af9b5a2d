// Owns: the connection of the leases lane, so that no output and no query delays a heartbeat. Loses nothing on death:
// the row of the node is the state. Runs: detached, because the store blocks.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/command_store.hpp"

#include <caf/stateful_actor.hpp>

#include <memory>

namespace rdev::leases {

struct config {
  node_info self;
  std::chrono::milliseconds renew{500};          // between heartbeats
  std::chrono::milliseconds lease{2000};         // after so long without one, others may take over
  std::chrono::milliseconds scan{500};           // between looks for commands without an owner and for cancel wishes
  std::chrono::milliseconds upkeep{3600 * 1000}; // between partition making and purging
  int adopt_at_once = 64;                        // leases taken over in one scan
};

struct beat {};
struct scan {};
struct upkeep {};

using self_actor = actor::extend<caf::reacts_to<beat>, caf::reacts_to<scan>, caf::reacts_to<upkeep>>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  void on_beat();
  void on_scan();
  void on_upkeep();
  void on_reclaim();
  left on_leave();
  void adopt();
  void hand_over(std::vector<lease> found);

  self_actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<lease_store> store;
  bool registered = false; // the node's row is ours
  bool reclaimed = false;  // what was ours before is ours again
  bool leaving = false;
  const char* name = "leases";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<lease_store> store);

} // namespace rdev::leases

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::leases::beat)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::leases::scan)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::leases::upkeep)
