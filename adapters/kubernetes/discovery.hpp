// Watches the pods of projects (those with the label rdev.orchard9.ai/project=true) and keeps `pods` up to date. One
// thread: lists, then watches from there; after a fault it begins anew, with growing pauses.
#pragma once

#include "adapters/json/json.hpp"
#include "adapters/kubernetes/access.hpp"
#include "adapters/kubernetes/pods.hpp"
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
                                           std::shared_ptr<pods> seen, rdev::log& log);

// A pod of the API, or nothing if it is no project's.
std::optional<pod> read_pod(const json::value& object, bool adopt);

} // namespace rdev::kubernetes
