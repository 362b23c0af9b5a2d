// `rdev run` and `rdev tail`: a command's output becomes ours, its exit code too.
#pragma once

#include "adapters/cli/server.hpp"

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace rdev::cli {

struct run_request {
  std::string project;
  std::vector<std::string> argv;
  std::optional<std::int64_t> timeout_seconds;
  std::string priority; // empty = the server's default
  std::vector<std::pair<std::string, std::string>> env;
  std::string workdir; // empty = the workspace
  bool detach = false;
};

// The body of the POST, or what keeps the request from being said in JSON (bytes that are not UTF-8).
std::variant<std::string, trouble> body_of(const run_request& request);

// Both give the exit code of the process.
int run_command(const account& who, const run_request& request, bool as_json);
int tail_command(const account& who, const std::string& command_id);

} // namespace rdev::cli
