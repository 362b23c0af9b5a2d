#pragma once

#include "adapters/metrics.hpp"

#include <memory>
#include <string_view>

namespace rdev {

// The counters of docs/operations/metrics.md; those of keys and limits exist at 0 from the start.
std::unique_ptr<metrics> make_prometheus_metrics(std::string_view version);

} // namespace rdev
