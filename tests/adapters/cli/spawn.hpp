// Runs the program `rdev` as a user would.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace rdev::cli {

struct ended_program {
  int code = -1; // -1: ended by `signal`
  int signal = 0;
  std::string out;
  std::string err;
};

struct spawn_options {
  std::map<std::string, std::string> env = {};
  bool close_stdout_at_first_output = false;         // happens before the call of the next
  std::function<void(int pid)> on_first_output = {}; // called once, when the first byte of stdout has come
};

// Ends it by force after 30 s.
ended_program run_program(const std::vector<std::string>& arguments, const spawn_options& options);

} // namespace rdev::cli
