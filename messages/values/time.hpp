#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <time.h> // NOLINT(modernize-deprecated-headers): clock_gettime() is POSIX

namespace rdev {

// A point in time as PostgreSQL keeps it: microseconds, UTC.
using timestamp = std::chrono::sys_time<std::chrono::microseconds>;

inline timestamp now_utc() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

// The clock that also runs while the machine sleeps and that nobody can set; the same for all processes of a machine.
inline std::chrono::milliseconds boot_clock_now() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) +
         std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::nanoseconds(now.tv_nsec));
}

// RFC 3339 in UTC with milliseconds: `2026-11-23T08:19:58.123Z`.
std::string to_rfc3339(timestamp t);
// The same back, in UTC with `Z` and up to six decimals that count; empty when it is anything else.
std::optional<timestamp> from_rfc3339(std::string_view text);

} // namespace rdev
