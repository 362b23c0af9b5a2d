// Which addresses an endpoint may have: those of the public internet, and the networks that the operator allows.
// Whoever registers a webhook chooses where rdev connects to, so this is what keeps them out of rdev's own network
// (SSRF).
#pragma once

#include "messages/values/addresses.hpp"

#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::webhook_sending {

// Why an address is not one of the public internet (`private`, `loopback`, …); empty: it is. What holds an IPv4 address
// for a translator (NAT64) is what that address is.
std::string_view special_purpose(const ip_address& x);

// The address in it; none: of another family than IPv4 and IPv6.
std::optional<ip_address> address_in(const sockaddr& socket_address);

class address_guard {
public:
  explicit address_guard(std::vector<ip_network> allowed) : allowed_(std::move(allowed)) {
  }

  // Why no connection may be made to it (`it is …`, for users); none: it may. Without encryption only the allowed
  // networks are open.
  [[nodiscard]] std::optional<std::string> problem_of(const ip_address& x, bool encrypted) const;
  [[nodiscard]] bool allows(const ip_address& x) const;
  [[nodiscard]] bool allows_nothing() const {
    return allowed_.empty();
  }

private:
  std::vector<ip_network> allowed_;
};

} // namespace rdev::webhook_sending
