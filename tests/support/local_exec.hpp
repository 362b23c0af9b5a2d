// The exec of a container runtime, as processes of this machine. As there, whoever lets go of a process does not end
// it, and what it writes then is neither read nor refused.
#pragma once

#include "adapters/kubernetes/exec.hpp"

namespace rdev::test {

// `shell` takes the place of `sh`, the first word of what is executed: {"dash"}, {"busybox", "sh"}.
std::unique_ptr<kubernetes::exec_transport> make_local_exec(std::vector<std::string> shell);

} // namespace rdev::test
