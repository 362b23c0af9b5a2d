// All processes below this one. Since it is a subreaper, those that made themselves a session of their own, changed
// their environment or lost their parent are among them.
#pragma once

#include <vector>

#include <sys/types.h>

namespace rdev::local {

// Living descendants of this process, zombies left out.
std::vector<pid_t> descendants();
void signal_all(const std::vector<pid_t>& pids, int signal);

} // namespace rdev::local
