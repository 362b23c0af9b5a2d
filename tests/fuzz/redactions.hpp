#pragma once

#include <array>
#include <string_view>

namespace rdev::fuzz {

// Two lines with a value each, and a text to hide them in; and all of it as a pattern.
void redactions(std::string_view input);

constexpr std::array<std::string_view, 6> redaction_seeds{
    "hunter22\nter22--\na hunter22--, aHVudGVyMjI= xodW50ZXIyMg, hunter2",
    "pa ss/w%\npass \"word\"\npa%20ss%2Fw%25 pa+ss/w% pass%20%22word%22 \"pass \\\"word\\\"\"",
    "\xff\xfe~~~>\nMfKQ9r8GKYqrTwjU\nMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw //5+fn4+ __5-fn4-",
    "aaaaaa\naaaaaaab\nAuthorization: Bearer aaaaaaaaaaaaaab\nrdev_0aZ9bY8c_The0quick1brown2fox3jumps4o1NZWuZ",
    "secret\nwhsec_\npostgres://u:secret@h/ whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw https://secret-token@h",
    "(?i)pass(\\S+)|[a-z]{3,}"};

} // namespace rdev::fuzz
