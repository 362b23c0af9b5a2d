// Owns: a sliding window for each key seen within the last window. Loses them on death: a key may then be admitted once
// more than its limit. Runs: scheduled.
#pragma once

#include "actors/sliding_window.hpp"
#include "actors/surroundings.hpp"

#include <caf/stateful_actor.hpp>

#include <unordered_map>

namespace rdev::rate_limit {

struct config {
  int default_quota = 1000;               // requests per window of a key without a quota of its own; 0 = unlimited
  std::chrono::seconds window{1};         // length of the sliding window
  std::chrono::seconds sweep_interval{5}; // how often windows of silent keys are thrown away
};

struct sweep {};

using self_actor = actor::extend<caf::reacts_to<sweep>>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  metered on_meter(const meter& request);
  void on_sweep();

  self_actor::base* self;
  surroundings around;
  config settings;
  std::unordered_map<key_id, sliding_window> windows;
  const char* name = "rate_limit";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings);

} // namespace rdev::rate_limit

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::rate_limit::sweep)
