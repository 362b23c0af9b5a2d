// The log as one JSON object a line, no blank after a colon: {"time":…,"level":…,"msg":…,…}
#pragma once

#include "adapters/log.hpp"

#include <memory>

namespace rdev {

// Writes to standard output; each line is flushed, so that a reader sees it at once and a crash loses none.
std::unique_ptr<log> make_json_log(log_level threshold);

} // namespace rdev
