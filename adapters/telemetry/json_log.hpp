// The log as one JSON object a line, no blank after a colon: {"time":…,"level":…,"msg":…,…}
#pragma once

#include "adapters/log.hpp"

#include <memory>

namespace rdev {

// Writes to standard output: lines of `warn` and above at once, others within 5 ms, many with one system call. A
// process that is killed may lose as much.
std::unique_ptr<log> make_json_log(log_level threshold);

} // namespace rdev
