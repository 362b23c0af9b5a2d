// A local runner with its projects in a temporary folder. As root, commands run as the user `rdev-run`.
#pragma once

#include "adapters/local/local_projects.hpp"
#include "adapters/local/local_runner.hpp"
#include "tests/support/contracts/runner_contract.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace rdev::test {

inline bool as_root() {
  return ::geteuid() == 0;
}

class local_rig final : public runner_rig {
public:
  local_rig() {
    std::string name = (std::filesystem::temp_directory_path() / "rdev-local-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr || ::chmod(name.c_str(), 0755) != 0)
      throw std::runtime_error("no temporary folder");
    dir = name;
    config = {dir, RDEV_SHIM, as_root() ? "rdev-run" : "", {}, 0, ""};
    projects = *make_local_projects({dir + "/projects", dir + "/records", config.user});
    if (const auto made = projects->create({"demo", {}}); !made || !*made)
      throw std::runtime_error("no project");
    local = made_runner();
  }
  ~local_rig() override {
    for (const auto& id : started) // nothing of ours outlives the test
      if (const auto s = local->status(id); s && s->state == run_state::running) {
        (void)local->cancel(id, std::chrono::milliseconds(0));
        ended(*local, id);
      }
    local.reset();
    std::error_code none;
    std::filesystem::remove_all(dir, none);
  }
  local_rig(const local_rig&) = delete;
  local_rig& operator=(const local_rig&) = delete;

  // Another runner on the same folders, as after a restart of the server.
  [[nodiscard]] std::shared_ptr<process_runner> made_runner() const {
    auto made = make_local_runner(config);
    if (!made)
      throw std::runtime_error(made.error().message);
    return *made;
  }

  std::shared_ptr<process_runner> runner() override {
    return local;
  }
  launch prints_and_exits(const std::string& out, int code) override {
    return script("printf '%s' '" + out + "'; exit " + std::to_string(code));
  }
  launch runs_until_cancelled() override {
    return program({"sleep", "600"});
  }

  launch order() {
    launch l;
    l.id = command_id::make();
    l.project = "demo";
    l.max_bytes = 1 << 30;
    started.push_back(l.id);
    return l;
  }
  launch script(const std::string& text) {
    auto l = order();
    l.script = text;
    return l;
  }
  launch program(std::vector<std::string> argv) {
    auto l = order();
    l.argv = std::move(argv);
    return l;
  }
  // Starts it and waits for its end.
  run_status run(const launch& what) {
    const auto s = local->start(what);
    EXPECT_TRUE(s) << (s ? "" : s.error().message);
    return ended(*local, what.id);
  }
  std::string out(const launch& what) {
    return text_of(*local, what.id, stream::out);
  }
  std::string err(const launch& what) {
    return text_of(*local, what.id, stream::err);
  }
  [[nodiscard]] std::string folder(const command_id& id) const {
    return dir + "/run/" + id.text();
  }
  // The shim that stands over a running command.
  [[nodiscard]] int shim_of(const command_id& id) const {
    std::ifstream file(folder(id) + ".start");
    std::string word;
    int pid = 0;
    file >> word >> pid;
    return pid;
  }

  std::string dir;
  local_runner_config config;
  std::shared_ptr<project_host> projects;
  std::shared_ptr<process_runner> local;
  std::vector<command_id> started;
};

} // namespace rdev::test
