// Runs commands as processes of this machine, each under a shim of its own (docs/durable-exec.md).
#pragma once

#include "adapters/process_runner.hpp"

#include <memory>
#include <string>
#include <vector>

namespace rdev {

// In `dir`: `projects/`, the workspaces; `run/`, the run folders; `scope`, the identity of all this.
struct local_runner_config {
  std::string dir;                   // of this runner, which several servers of one machine may share; made if need be
  std::string shim;                  // path of rdev-shim
  std::string user;                  // commands run as this user when we are root; empty = as ourselves
  std::vector<std::string> pass_env; // names of our own variables that commands get
  std::uint64_t min_free_bytes = 0;  // below that nothing is started (fault `no_space`)
  std::string machine;               // boot tag for tests; empty = the real one
};

// Fault `invalid` with a message for the operator when the set-up cannot work.
result<std::shared_ptr<process_runner>> make_local_runner(const local_runner_config& config);

} // namespace rdev
