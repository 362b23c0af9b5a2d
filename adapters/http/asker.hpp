// Who asks, under which ids and with which credential: what the head of a request tells before its route is looked at.
#pragma once

#include "adapters/http/request.hpp"
#include "adapters/redaction.hpp"
#include "messages/values/addresses.hpp"
#include "messages/values/audit.hpp"
#include "messages/values/refusal.hpp"
#include "messages/values/secret.hpp"

#include <optional>
#include <span>

namespace rdev::http {

// What is wrong with a field that is sent twice with two values.
inline constexpr const char* given_differently = "is given more than once, and differently";

// The client's own X-Request-ID and trace (W3C Trace Context, version 00) where they are well-formed, else fresh ones;
// its address as `trusted` proxies tell it; its path for logs and the audit log: decoded, valid UTF-8, no control
// characters, at most 512 bytes, without what `hidden_by` knows.
request_context context_of(const request& asked, const ip_address& peer, std::span<const ip_network> trusted,
                           const std::optional<redactor>& hidden_by);

// The key of a request, or empty; the refusal when two are sent that differ.
answer<secret> credential_of(const request& asked);

} // namespace rdev::http
