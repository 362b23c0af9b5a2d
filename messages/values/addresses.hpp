// IP addresses and networks (CIDR), v4 and v6. A v4-mapped v6 address is the v4 address.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace rdev {

struct ip_address {
  std::array<std::uint8_t, 16> bytes{}; // v4: ::ffff:a.b.c.d
  bool v4 = false;

  static std::optional<ip_address> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  friend auto operator<=>(const ip_address&, const ip_address&) = default;
};

struct ip_network {
  ip_address address;
  std::uint8_t bits = 0; // of the address's own family

  // `10.0.0.0/8`, `2001:db8::/32`, or a single address.
  static std::optional<ip_network> parse(std::string_view text);
  // The network that holds `x`, of so many bits of its own family.
  static ip_network around(const ip_address& x, std::uint8_t v4_bits, std::uint8_t v6_bits);
  [[nodiscard]] bool contains(const ip_address& x) const;
  [[nodiscard]] bool contains(const ip_network& x) const;
  [[nodiscard]] std::string text() const;
  friend auto operator<=>(const ip_network&, const ip_network&) = default;
};

// What counts as one client: an address of IPv4, a /64 of IPv6, which is what one customer gets at least (RFC 6177).
inline ip_network client_network(const ip_address& x) {
  return ip_network::around(x, 32, 64);
}
// What counts as one place that a client comes from: a /24, or a /48.
inline ip_network client_site(const ip_address& x) {
  return ip_network::around(x, 24, 48);
}

// The client's address: the peer's, unless the peer is trusted; then the right-most untrusted entry of
// X-Forwarded-For (all trusted: the left-most; a malformed entry: the last good one to its right, else the peer).
ip_address client_address(const ip_address& peer, std::string_view forwarded_for, std::span<const ip_network> trusted);

} // namespace rdev
