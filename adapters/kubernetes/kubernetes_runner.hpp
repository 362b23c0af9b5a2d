// Runs commands in the pods of projects, by a shim that is sent there (docs/durable-exec.md).
#pragma once

#include "adapters/circuits.hpp"
#include "adapters/kubernetes/exec.hpp"
#include "adapters/kubernetes/pods.hpp"
#include "adapters/log.hpp"
#include "adapters/process_runner.hpp"

#include <memory>
#include <string>

namespace rdev::kubernetes {

struct runner_config {
  std::string name_space;
  std::string scope;                    // of all nodes that run commands in this namespace of this cluster
  std::string run_folder = "/run/rdev"; // in every pod; must be writable for its user
};

// `log` must live longer than the runner.
std::shared_ptr<process_runner> make_kubernetes_runner(const runner_config& config,
                                                       std::unique_ptr<exec_transport> execs,
                                                       std::shared_ptr<pods> seen, std::shared_ptr<circuits> breakers,
                                                       rdev::log& log);

} // namespace rdev::kubernetes
