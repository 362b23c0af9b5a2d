// The command line of rdev-api.
#pragma once

#include "config/settings.hpp"

#include <string>
#include <vector>

namespace rdev::config {

enum class verb : std::uint8_t { serve, migrate, check_config, psql, audit_verify, version };

struct invocation {
  verb what = verb::serve;
  inputs in;                     // with the flags, not yet the environment
  std::vector<std::string> rest; // what psql gets
  std::string checkpoint_file;   // of audit verify; empty = none
  std::string public_key_file;   // the same
  std::string dump_file;         // the same
};

// Text that was asked for or explains what is wrong, and the exit code that goes with it.
struct early_end {
  int exit_code = 0;
  std::string text;
};

std::variant<invocation, early_end> parse_command_line(int argc, const char* const* argv);

} // namespace rdev::config
