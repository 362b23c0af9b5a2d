// Watches the pods and StatefulSets of projects (those with the label rdev.orchard9.ai/project=true) and keeps what is
// known of them up to date.
#pragma once

#include "adapters/circuits.hpp"
#include "adapters/json/json.hpp"
#include "adapters/kubernetes/access.hpp"
#include "adapters/kubernetes/pods.hpp"
#include "adapters/kubernetes/wanted_projects.hpp"
#include "adapters/log.hpp"

#include <memory>
#include <optional>

namespace rdev::kubernetes {

struct discovery_config {
  std::string name_space;
  bool adopt = false; // also pods that rdev has not made
};

class discovery {
public:
  virtual ~discovery() = default;
};

// `log` must live longer.
std::unique_ptr<discovery> start_discovery(const cluster_access& access, const discovery_config& config,
                                           std::shared_ptr<pods> seen, std::shared_ptr<wanted_projects> wanted,
                                           const std::shared_ptr<circuits>& breakers, rdev::log& log);

// A pod of the API, or nothing if it is no project's.
std::optional<pod> read_pod(const json::value& object, bool adopt);

wanted_project read_stateful_set(const json::value& object);

} // namespace rdev::kubernetes
