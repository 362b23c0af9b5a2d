// Owns: the exchanges that are under way, and ends those that are overdue; keeps some that have answered, because
// making one costs as much as all of its messages. Loses them on death: their askers get a fault. Runs: scheduled.
#pragma once

#include "actors/exchange.hpp"
#include "actors/surroundings.hpp"

#include <caf/stateful_actor.hpp>

#include <unordered_map>
#include <vector>

namespace rdev::ingress {

struct config {
  std::chrono::milliseconds deadline{10000}; // of a request; then its outcome is unknown
  std::chrono::milliseconds sweep{500};      // between looks for overdue exchanges
  std::size_t most_spare = 256;              // exchanges that are kept for later requests
};

struct sweep {};

using self_actor = actor::extend<caf::reacts_to<sweep>, caf::reacts_to<exchange::idle>>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  ~state();
  exchange::actor open_exchange();
  void on_idle(const exchange::idle& what);
  void on_sweep();

  struct under_way {
    exchange::actor one;
    caf::actor_clock::time_point since;
  };

  self_actor::base* self;
  surroundings around;
  config settings;
  std::unordered_map<caf::actor_id, under_way> exchanges;
  std::vector<exchange::actor> spare; // have answered, and wait for the next request
  const char* name = "ingress";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings);

} // namespace rdev::ingress

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::ingress::sweep)
