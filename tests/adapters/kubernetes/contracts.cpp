// The contract of process_runner over shims: in processes of this machine, with every shell.
#include "adapters/kubernetes/kubernetes_runner.hpp"
#include "tests/support/closed_circuits.hpp"
#include "tests/support/contracts/runner_contract.hpp"
#include "tests/support/local_exec.hpp"

#include <filesystem>

namespace rdev::test {

namespace {

class silent_log final : public rdev::log {
public:
  [[nodiscard]] bool enabled(log_level) const override {
    return false;
  }
  void write(log_level, log_message, std::span<const log_field>) override {
  }
};

kubernetes::pod demo() {
  kubernetes::pod out;
  out.what.id = "demo";
  out.name = "project-demo-0";
  out.uid = "uid-1";
  out.container = "project";
  out.container_id = "containerd://1";
  out.container_runs = true;
  out.usable = true;
  return out;
}

class shim_rig final : public runner_rig {
public:
  explicit shim_rig(std::vector<std::string> shell)
      : folder_(std::filesystem::temp_directory_path() / ("rdev-runner-" + node_id::make().text())) {
    runner_ = kubernetes::make_kubernetes_runner({"here", "scope", folder_}, make_local_exec(std::move(shell)), pods_,
                                                 std::make_shared<closed_circuits>(), log_);
    pods_->replace_all({demo()});
    EXPECT_TRUE(comes_true([this] { return !runner_->places()->empty(); }));
  }
  ~shim_rig() override {
    runner_.reset();
    std::error_code none;
    std::filesystem::remove_all(folder_, none);
  }
  shim_rig(const shim_rig&) = delete;
  shim_rig& operator=(const shim_rig&) = delete;

  std::shared_ptr<process_runner> runner() override {
    return runner_;
  }
  launch prints_and_exits(const std::string& out, int code) override {
    return script("printf %s '" + out + "'; exit " + std::to_string(code));
  }
  launch runs_until_cancelled() override {
    return script("sleep 1000");
  }

private:
  launch script(const std::string& text) {
    launch out;
    out.id = command_id::make();
    out.project = "demo";
    out.script = text;
    runner_->expect(out.id, out.project, {});
    return out;
  }

  std::string folder_;
  silent_log log_;
  std::shared_ptr<kubernetes::pods> pods_ = std::make_shared<kubernetes::pods>();
  std::shared_ptr<process_runner> runner_;
};

std::unique_ptr<runner_rig> with_dash() {
  return std::make_unique<shim_rig>(std::vector<std::string>{"dash"});
}
std::unique_ptr<runner_rig> with_bash() {
  return std::make_unique<shim_rig>(std::vector<std::string>{"bash"});
}
std::unique_ptr<runner_rig> with_busybox() {
  return std::make_unique<shim_rig>(std::vector<std::string>{"busybox", "sh"});
}

} // namespace

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ProjectHost);
INSTANTIATE_TEST_SUITE_P(Shim, ProcessRunner, ::testing::Values(&with_dash, &with_bash, &with_busybox));

} // namespace rdev::test
