// Follows one command's event stream to its end, however often the connection is cut on the way.
#pragma once

#include "adapters/cli/receiver.hpp"
#include "adapters/cli/server.hpp"

#include <string>
#include <variant>

namespace rdev::cli {

struct command_name {
  std::string project;
  std::string id;
};

// Output goes to the receiver's sinks as it comes. Gives up only when nothing has come for the server's whole budget.
std::variant<completion, trouble> follow(server& from, const command_name& which, receiver& into);

} // namespace rdev::cli
