// The contracts of process_runner and project_host over this machine.
#include "tests/adapters/local/local_rig.hpp"

namespace rdev::test {

namespace {

// The folders of a host go with the program's last host.
class host_folder {
public:
  host_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "rdev-host-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      throw std::runtime_error("no temporary folder");
    path = name;
  }
  ~host_folder() {
    std::error_code none;
    std::filesystem::remove_all(path, none);
  }
  host_folder(const host_folder&) = delete;
  host_folder& operator=(const host_folder&) = delete;
  std::string path;
};

std::shared_ptr<project_host> make_host() {
  static std::vector<std::unique_ptr<host_folder>> folders;
  const auto& dir = folders.emplace_back(std::make_unique<host_folder>())->path;
  return *make_local_projects({dir + "/projects", dir + "/records", ""});
}

std::unique_ptr<runner_rig> make_rig() {
  return std::make_unique<local_rig>();
}

} // namespace

INSTANTIATE_TEST_SUITE_P(Local, ProcessRunner, ::testing::Values(&make_rig),
                         [](const auto&) { return std::string("Local"); });
INSTANTIATE_TEST_SUITE_P(Local, ProjectHost, ::testing::Values(&make_host),
                         [](const auto&) { return std::string("Local"); });

} // namespace rdev::test
