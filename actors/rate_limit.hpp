// Owns: a sliding window for each key and each address seen within the last window, and one for all together. Loses
// them on death: each may then be admitted once more than its limit. Runs: scheduled.
#pragma once

#include "actors/sliding_window.hpp"
#include "actors/surroundings.hpp"

#include <caf/stateful_actor.hpp>

#include <map>
#include <unordered_map>

namespace rdev::rate_limit {

// A limit of requests per window; 0 = none.
struct limit {
  int quota = 0;
  bool shadow = false; // counts what it would refuse, and refuses nothing
};

struct config {
  limit key{1000};                        // of a key without a quota of its own
  limit address{20};                      // of requests of one client that bear no good key
  limit all{0};                           // of all requests to this node
  std::chrono::seconds window{1};         // length of the sliding windows
  std::chrono::seconds sweep_interval{5}; // how often windows of silent keys and addresses are thrown away
  std::size_t most_addresses = 65'536;    // with a window of their own, in about 400 bytes each; the rest share one
};

struct sweep {};

using self_actor = actor::extend<caf::reacts_to<sweep>>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  metered on_meter(const meter& request);
  void on_sweep();

  sliding_window& window_of(const std::string& client_ip);
  // Whether a limit refuses what does not fit it, or only counts it.
  bool refuses(const limit& by, const char* field);
  rate_state state_of(sliding_window& counted, int quota);

  self_actor::base* self;
  surroundings around;
  config settings;
  std::unordered_map<key_id, sliding_window> keys;
  std::map<ip_network, sliding_window> addresses; // ordered: no hash that an attacker could aim at
  sliding_window crowd;                           // of all addresses that have none of their own
  sliding_window all;
  const char* name = "rate_limit";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings);

} // namespace rdev::rate_limit

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::rate_limit::sweep)
