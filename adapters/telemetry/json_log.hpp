// The log as one JSON object a line, no blank after a colon: {"time":…,"level":…,"msg":…,…}
#pragma once

#include "adapters/censor.hpp"
#include "adapters/log.hpp"

#include <memory>
#include <optional>

namespace rdev {

// Writes to standard output: lines of `warn` and above at once, others within 5 ms, many with one system call. A
// process that is killed may lose as much. `hides`: takes secrets out of what may have come from outside,
// or none.
std::unique_ptr<log> make_json_log(log_level threshold, std::optional<censor> hides = std::nullopt);

} // namespace rdev
