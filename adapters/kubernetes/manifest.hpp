// What is asked of the cluster for a project. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

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
  std::string storage_class; // of the workspace; empty = it goes with the pod
  std::string storage;       // its size, such as 10Gi
  std::string cpu_limit;     // such as 2 or 500m
  std::string memory_limit;  // such as 2Gi
  std::int64_t user = 1000;  // that commands run as, with the group of the same number
};

// Of the StatefulSet; its pod has `-0` behind it.
std::string name_of_project(const std::string& id);
// A StatefulSet of one pod (apps/v1). The pod may do little: no root, no privileges, no token, no capabilities; its
// first process waits for all that end below it.
std::string stateful_set(const std::string& id, const std::map<std::string, std::string>& labels,
                         const pod_template& from);
std::string replicas(int n); // a merge patch

} // namespace rdev::kubernetes
