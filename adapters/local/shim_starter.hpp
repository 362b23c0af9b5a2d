// Starts the shim of a command and hands it its order.
#pragma once

#include "adapters/process_runner.hpp"

#include <string>
#include <vector>

#include <sys/types.h>

namespace rdev::local {

// Who commands run as.
struct account {
  bool change = false; // to another user than our own
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};
// Fault `invalid`, with the remedy: there is no such user. No change when it is empty or when we are not root.
result<account> find_account(const std::string& user);

struct shim_starter_config {
  std::string shim;         // the program
  std::string projects_dir; // the workspaces
  account who;
  std::vector<std::string> pass_env; // names of our own variables that commands get
};

class shim_starter {
public:
  explicit shim_starter(shim_starter_config config) : config_(std::move(config)) {
  }
  // Waits for the word of the shim: the command runs, or somebody else has started or cancelled it. Faults: `deadline`
  // (the order was too old, or there was no answer), `no_space`, `unavailable`.
  [[nodiscard]] result<done> start(const launch& what, const std::string& folder, const std::string& boot_tag) const;

private:
  shim_starter_config config_;
};

} // namespace rdev::local
