// Projects as StatefulSets of one pod; pods that somebody else has labelled are projects too, which only he can change.
#pragma once

#include "adapters/circuits.hpp"
#include "adapters/kubernetes/access.hpp"
#include "adapters/kubernetes/manifest.hpp"
#include "adapters/kubernetes/pods.hpp"
#include "adapters/kubernetes/wanted_projects.hpp"
#include "adapters/project_host.hpp"

#include <memory>

namespace rdev::kubernetes {

struct projects_config {
  std::string name_space;
  pod_template from;
};

std::shared_ptr<project_host> make_kubernetes_projects(const cluster_access& access, const projects_config& config,
                                                       std::shared_ptr<pods> seen,
                                                       std::shared_ptr<wanted_projects> wanted,
                                                       std::shared_ptr<circuits> breakers);

} // namespace rdev::kubernetes
