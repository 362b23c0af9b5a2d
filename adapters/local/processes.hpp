// Processes as /proc shows them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <sys/types.h>

namespace rdev::local {

struct process {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t session = 0;
};

// All that live at this moment; zombies are left out. Empty: /proc cannot be read.
std::vector<process> living_processes();
// Adds to `roots` all that descend from them, by parentage.
std::vector<pid_t> with_descendants(std::vector<pid_t> roots, const std::vector<process>& all);
void signal_all(const std::vector<pid_t>& pids, int signal);

// Field 22 of /proc/PID/stat; empty when the process is gone or a zombie (errno ESRCH), or when that cannot be found
// out (another errno).
std::optional<std::uint64_t> starttime_of(pid_t pid);

} // namespace rdev::local
