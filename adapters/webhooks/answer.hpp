// What an endpoint answered, as rdev notes it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace rdev::webhook_sending {

inline constexpr std::size_t most_noted_bytes = 1024;

// The first KiB of it as valid UTF-8 without NUL: U+FFFD stands where there was something else.
std::string noted_text(std::string_view bytes);

// A value of Retry-After (RFC 9110, 10.2.3), seconds or a date, as a time from now on: from 0 to a year. None: neither.
std::optional<std::chrono::seconds> retry_after_in(std::string_view value, std::chrono::sys_seconds now);

// What is wrong with a status, in words for users; empty: it says that the message was taken.
std::string problem_with_status(int status);

// `15 s`, `250 ms`.
std::string in_words(std::chrono::milliseconds time);

} // namespace rdev::webhook_sending
