// Projects as folders: <projects_dir>/<id>, owned by the user that commands run as. What rdev knows about them (labels,
// time of making) lies beside that folder, where commands cannot write.
#pragma once

#include "adapters/project_host.hpp"

#include <memory>

namespace rdev {

struct local_projects_config {
  std::string projects_dir;
  std::string records_dir; // a file for each project, for the server alone
  std::string user;        // owner of the folders when we are root; empty = ourselves
};

result<std::shared_ptr<project_host>> make_local_projects(local_projects_config config);

} // namespace rdev
