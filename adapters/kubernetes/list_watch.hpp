// Follows one kind of object of the cluster: a list, then a watch from there on, and from the beginning again when the
// place is too old (410) or the connection broke. A thread of its own; attempts are 0.2 to 10 s apart, with jitter.
#pragma once

#include "adapters/circuits.hpp"
#include "adapters/json/json.hpp"
#include "adapters/kubernetes/access.hpp"
#include "adapters/log.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace rdev::kubernetes {

class list_watch {
public:
  virtual ~list_watch() = default;
};

struct followed {
  std::string what; // for people: `pods`
  std::string path; // of the list, with a query
  // Called by the thread: first all of them, then each that was changed or is gone.
  std::function<void(const std::vector<json::value>&)> all;
  std::function<void(const json::value&)> changed;
  std::function<void(const json::value&)> gone;
};

// What is seen says that the API server is well. `log` must live longer.
std::unique_ptr<list_watch> start_list_watch(const cluster_access& access, followed what,
                                             std::shared_ptr<circuits> breakers, rdev::log& log);

} // namespace rdev::kubernetes
