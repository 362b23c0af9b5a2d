// What is sent: the body of a message and its signatures, as https://www.standardwebhooks.com (version 1) has them, so
// that the published verifiers take them.
#pragma once

#include "adapters/webhook_sender.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rdev::webhook_sending {

inline constexpr std::size_t most_body_bytes = 20'000;

// A secret as it is shown to users and as verifiers take it: `whsec_<base64>`.
secret secret_text(std::string_view bytes);

// `{"event","timestamp","sequence","data":{…}}`. What is too long is cut, long strings first, and `data` says so
// (`"truncated":true`).
std::string render_body(const outgoing_message& m);

// `v1,<base64 of the HMAC-SHA-256>` of `<id>.<seconds>.<body>`, one for each secret, the present one first, separated
// by a blank.
std::string signatures(const signing_secrets& secrets, std::string_view id, std::chrono::sys_seconds at,
                       std::string_view body);

struct signed_request {
  std::vector<std::pair<std::string_view, std::string>> fields;
  std::string body;
};
// An attempt at this time.
signed_request sign(const outgoing_message& m, std::chrono::sys_seconds at);

} // namespace rdev::webhook_sending
