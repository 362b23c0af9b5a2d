// The projects that were asked for (their StatefulSets), whether there is a pod of them or not.
#pragma once

#include "messages/values/projects.hpp"

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace rdev::kubernetes {

struct wanted_project {
  project what;         // as it is without a pod
  bool stopped = false; // no pod is asked for
  // Of the object in the API server: it grows with each change (Kubernetes, "comparable resource version").
  std::uint64_t version = 0;
};

// Thread-safe. News comes from a watch and from the answers to our own changes, in any order: older news is dropped.
class wanted_projects {
public:
  void replace_all(std::vector<wanted_project> all);
  void put(wanted_project one);
  void remove(const wanted_project& last);

  // False: the cluster has not been seen yet.
  [[nodiscard]] bool known() const;
  [[nodiscard]] std::optional<wanted_project> find(const std::string& id) const;
  [[nodiscard]] std::vector<wanted_project> all() const;

private:
  mutable std::mutex mutex_;
  bool known_ = false;
  std::map<std::string, wanted_project> by_id_;
};

} // namespace rdev::kubernetes
