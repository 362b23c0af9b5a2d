// Owns: the counts of refusals beyond the sampled ones. Loses on death: up to a minute's counts (their log lines
// remain). Runs: scheduled, so that a refusal that is only counted wakes no thread.
#pragma once

#include "actors/refusal_sample.hpp"
#include "actors/surroundings.hpp"

#include <caf/stateful_actor.hpp>

#include <vector>

namespace rdev::refusals {

struct summarize {}; // a window is over

using self_actor = actor::extend<caf::reacts_to<summarize>>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  void on_refused(refused& what);
  void on_summarize();
  void on_stop();
  void record(audit_record&& what);
  void record(std::vector<audit_record>&& ended);

  self_actor::base* self;
  surroundings around;
  refusal_sample sample{{}};
  bool summary_is_due = false;
  const char* name = "refusals";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around,
                                   sampling_rules settings);

} // namespace rdev::refusals

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::refusals::summarize)
