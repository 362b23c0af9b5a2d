// What lives on of a command whose shim was killed. Nobody is its subreaper any more, so it is found by what it has
// from its command: the number in its environment, the pipes, the session, its parents.
#pragma once

#include "adapters/local/run_files.hpp"

#include <string>

namespace rdev::local {

// Kills all that can be found of it, the shim too if it still lives; answers how many resisted. Without a record it is
// found by its environment alone. Empty: that cannot be found out.
std::optional<int> end_leftovers(const std::string& command_id, const std::optional<start_record>& record);

} // namespace rdev::local
