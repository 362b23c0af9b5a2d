// What every process runner and every project host must do.
#pragma once

#include "adapters/process_runner.hpp"
#include "adapters/project_host.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <functional>
#include <memory>
#include <string>

namespace rdev::test {

class runner_rig {
public:
  virtual ~runner_rig() = default;
  virtual std::shared_ptr<process_runner> runner() = 0;
  // Orders, not yet given: a command that prints `out` and ends with `code`; one that runs until it is cancelled.
  virtual launch prints_and_exits(const std::string& out, int code) = 0;
  virtual launch runs_until_cancelled() = 0;
};
using runner_rig_maker = std::unique_ptr<runner_rig> (*)();
using project_host_maker = std::shared_ptr<project_host> (*)();

// Whether it comes true within 30 seconds.
inline bool comes_true(const std::function<bool()>& what) {
  for (int i = 0; i < 6000; ++i) {
    if (what())
      return true;
    ::poll(nullptr, 0, 5);
  }
  return false;
}

inline run_status status_now(process_runner& r, const command_id& id) {
  const auto s = r.status(id);
  EXPECT_TRUE(s) << (s ? "" : s.error().message);
  return s ? *s : run_status{};
}

// The status once the command runs no more.
inline run_status ended(process_runner& r, const command_id& id) {
  EXPECT_TRUE(comes_true([&] { return status_now(r, id).state != run_state::running; }));
  return status_now(r, id);
}

inline std::string text_of(process_runner& r, const command_id& id, stream which) {
  std::string all;
  for (;;) {
    const auto part = r.read(id, which, all.size(), 1 << 20);
    EXPECT_TRUE(part) << (part ? "" : part.error().message);
    if (!part || part->empty())
      return all;
    all += *part;
  }
}

class ProcessRunner : public ::testing::TestWithParam<runner_rig_maker> {
protected:
  void SetUp() override {
    rig = GetParam()();
    runner = rig->runner();
  }
  std::unique_ptr<runner_rig> rig;
  std::shared_ptr<process_runner> runner;
};

class ProjectHost : public ::testing::TestWithParam<project_host_maker> {
protected:
  void SetUp() override {
    host = GetParam()();
  }
  std::shared_ptr<project_host> host;
};

} // namespace rdev::test
