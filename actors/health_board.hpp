// The state of every dependency as it was last seen, for /ready: written by actors, read by any thread, never waits for
// a dependency.
#pragma once

#include "adapters/api.hpp"

#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace rdev {

class health_board {
public:
  void set(const std::string& name, bool ok, std::string status) {
    std::lock_guard guard(mutex_);
    checks_[name] = health_check{name, ok, std::move(status)};
  }

  [[nodiscard]] std::vector<health_check> all() const {
    std::lock_guard guard(mutex_);
    std::vector<health_check> out;
    for (const auto& [name, check] : checks_)
      out.push_back(check);
    return out;
  }

private:
  mutable std::mutex mutex_;
  std::map<std::string, health_check> checks_;
};

} // namespace rdev
