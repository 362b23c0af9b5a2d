#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace rdev {

// A point in time as PostgreSQL keeps it: microseconds, UTC.
using timestamp = std::chrono::sys_time<std::chrono::microseconds>;

inline timestamp now_utc() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

// RFC 3339 in UTC with milliseconds: `2026-11-23T08:19:58.123Z`.
std::string to_rfc3339(timestamp t);
// The same back, in UTC with `Z` and up to six decimals that count; empty when it is anything else.
std::optional<timestamp> from_rfc3339(std::string_view text);

} // namespace rdev
