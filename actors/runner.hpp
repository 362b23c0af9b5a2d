// Owns: one execution for each command that runs here. Loses them on death; LEASES then hands the commands to the new
// runner under new tokens. Runs: scheduled (its children are detached).
#pragma once

#include "actors/execution.hpp"
#include "actors/surroundings.hpp"

#include <caf/stateful_actor.hpp>

#include <memory>
#include <unordered_map>

namespace rdev::runner {

struct state {
  explicit state(actor::base* self_pointer) : self(self_pointer) {
  }
  running on_run(run& what);
  [[nodiscard]] checked on_check(const check& what) const;
  void on_stop(const stop& what);
  void on_changed(const changed& what);
  void on_drop(const drop& what);
  void on_abandon();
  void on_down(const caf::down_msg& down);
  void report() const;
  [[nodiscard]] std::vector<redactor::registration> hide_secrets_of(const command& what) const;

  actor::base* self;
  surroundings around;
  execution::config settings;
  std::shared_ptr<process_runner> processes;
  struct under_way {
    execution::actor one;
    std::int64_t token = 0;                     // of its lease
    std::vector<redactor::registration> hidden; // what the command has of secrets
  };
  std::unordered_map<command_id, under_way> executions;
  const char* name = "runner";
};

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, execution::config settings,
                              std::shared_ptr<process_runner> processes);

} // namespace rdev::runner
