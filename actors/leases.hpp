// Owns: the connection of the leases lane, so that no output and no query delays a heartbeat. Loses nothing on death:
// the rows of the node and its leases are the state. Runs: detached, because the store blocks.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/command_store.hpp"
#include "adapters/process_runner.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <memory>

namespace rdev::leases {

struct config {
  node_info self;
  std::chrono::milliseconds renew{500};             // between heartbeats
  std::chrono::milliseconds lease{2000};            // after so long without one, others may take over
  std::chrono::milliseconds scan{500};              // between looks for commands without an owner and for cancel wishes
  std::chrono::milliseconds foreign_after{120'000}; // until commands of a runner that is away are given up as lost
  std::chrono::milliseconds sweep{60'000};          // between looks for what is kept of commands that are over
  std::chrono::seconds keep_marks{3600};            // that a command can never be started again
  std::chrono::milliseconds upkeep{3600 * 1000};    // between partition making and purging
  std::chrono::milliseconds kill_grace{5000};       // for what runs on although its command is over
  int adopt_at_once = 64;                           // leases taken over in one scan
};

struct beat {};
struct scan {};
struct sweep {};
struct upkeep {};

using self_actor =
    actor::extend<caf::reacts_to<beat>, caf::reacts_to<scan>, caf::reacts_to<sweep>, caf::reacts_to<upkeep>>;

using settle_reply = caf::typed_response_promise<settled>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  void on_beat();
  void on_scan();
  void on_sweep();
  void on_upkeep();
  void on_reclaim();
  caf::result<confirmed> on_confirm(const confirm& what);
  settle_reply on_settle();
  left on_leave();
  void adopt();
  void look_at_own();
  void on_checked(runner::checked now);
  void hand_over(std::vector<lease> found);
  void tell_settled();
  void clear_away(const command_id& id, const run_status& now);

  self_actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<lease_store> store;
  std::shared_ptr<process_runner> processes;
  bool registered = false; // the node's row is ours
  bool reclaimed = false;  // what was ours before is ours again
  bool leaving = false;
  bool has_settled = false;
  std::vector<settle_reply> settling; // whom to tell
  int in_time = 0;                    // heartbeats since the last one that came too late
  runner::checked amiss;              // at the last look
  const char* name = "leases";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<lease_store> store, std::shared_ptr<process_runner> processes);

} // namespace rdev::leases

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::leases::beat)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::leases::scan)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::leases::sweep)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::leases::upkeep)
