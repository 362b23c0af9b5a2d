// A project host for tests.
#pragma once

#include "adapters/project_host.hpp"

#include <mutex>

namespace rdev::memory {

class projects final : public project_host {
public:
  // ---- what a test may do to it
  void put(project what);
  void set_status(const std::string& id, project_status status);
  // As a host of another machine.
  void move_away() {
    remote_ = true;
  }
  // The next `times` calls fail.
  void fail_next(fault what, int times = 1);

  result<std::vector<project>> list() override;
  result<std::optional<project>> find(const std::string& id) override;
  result<bool> create(const create_project& what) override;
  result<bool> remove(const std::string& id) override;
  [[nodiscard]] bool has_power_states() const override {
    return false;
  }
  [[nodiscard]] bool is_remote() const override {
    return remote_;
  }

private:
  std::optional<failure> strikes();

  bool remote_ = false; // set before it is used
  std::mutex mutex_;
  std::map<std::string, project> all_;
  std::pair<fault, int> planned_{fault::unavailable, 0};
};

} // namespace rdev::memory
