#pragma once

#include "adapters/local/order.hpp"
#include "adapters/local/run_files.hpp"

#include <sys/types.h>

namespace rdev::local {

// Starts the command: session of its own, the ordered user, environment and folder, no inherited descriptors. What
// keeps it from starting is said on its stderr, with exit code 127 (not found) or 126. Returns its pid, or -1.
pid_t start_child(const order& what, descriptor out, descriptor err);

} // namespace rdev::local
