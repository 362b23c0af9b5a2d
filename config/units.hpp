// Durations and sizes as settings write them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace rdev::config {

// `200ms 5s 30m 10h 7d`; empty when it is anything else or does not fit.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
// `123`, `16KiB`, `1MiB`, `2GiB`.
std::optional<std::uint64_t> parse_size(std::string_view text);

} // namespace rdev::config
