// What is asked of the cluster for a project. Pure.
#pragma once

#include "messages/values/operations.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::kubernetes {

inline constexpr std::string_view label_prefix = "rdev.orchard9.ai/";
inline constexpr const char* project_label = "rdev.orchard9.ai/project";
inline constexpr const char* id_label = "rdev.orchard9.ai/project-id";
inline constexpr const char* owner_label = "app.kubernetes.io/managed-by"; // `rdev`: we made it
inline constexpr const char* given_labels = "rdev.orchard9.ai/labels";     // annotation: labels of the request, as JSON
inline constexpr std::string_view container_name = "project";

// From settings `kubernetes.…`.
struct pod_template {
  std::string image;
  std::string run_folder;
  std::string storage_class;                // of the workspace; empty = it goes with the pod
  std::string storage;                      // its size, such as 10Gi
  std::string cpu_limit;                    // such as 2 or 500m
  std::string memory_limit;                 // such as 2Gi
  std::int64_t user = 1000;                 // that commands run as, with the group of the same number
  std::vector<std::string> images;          // patterns (`*` = anything) of those that may be asked for; none = any
  std::vector<std::string> secret_patterns; // of Secrets that env_from may name; `<id>` = the id of the project
};

// Of the StatefulSet; its pod has `-0` behind it.
std::string name_of_project(const std::string& id);
// A StatefulSet of one pod (apps/v1). The pod may do little: no root, no privileges, no token, no capabilities; its
// first process waits for all that end below it.
std::string stateful_set(const create_project& what, const pod_template& from);
// What of it is not allowed.
std::vector<field_problem> objections_to(const create_project& what, const pod_template& from);
std::string replicas(int n); // a merge patch

} // namespace rdev::kubernetes
