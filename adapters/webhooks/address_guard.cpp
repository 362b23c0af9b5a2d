#include "adapters/webhooks/address_guard.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace rdev::webhook_sending {

namespace {

struct special {
  ip_network network;
  std::string_view what;
};

// RFC 6890 and the registries that it founded, as of 2026:
// https://www.iana.org/assignments/iana-ipv4-special-registry and …/iana-ipv6-special-registry.
const std::vector<special>& special_v4() {
  static const auto all = [] {
    std::vector<special> out;
    for (const auto& [network, what] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
             {"0.0.0.0/8", "\"this network\""},
             {"10.0.0.0/8", "private"},
             {"100.64.0.0/10", "shared address space"}, // Alibaba's metadata at 100.100.100.200, too
             {"127.0.0.0/8", "loopback"},
             {"168.63.129.16/32", "Azure's platform address"}, // registered by nobody, but seen from within Azure only
             {"169.254.0.0/16", "link-local"},                 // the metadata of most clouds at 169.254.169.254
             {"172.16.0.0/12", "private"},
             {"192.0.0.0/24", "reserved for protocols"},
             {"192.0.2.0/24", "for documentation"},
             {"192.88.99.0/24", "a relay of 6to4"},
             {"192.168.0.0/16", "private"},
             {"198.18.0.0/15", "for benchmarks"},
             {"198.51.100.0/24", "for documentation"},
             {"203.0.113.0/24", "for documentation"},
             {"224.0.0.0/4", "multicast"},
             {"240.0.0.0/4", "reserved"}}) // 255.255.255.255 as well
      out.push_back({*ip_network::parse(network), what});
    return out;
  }();
  return all;
}

// IANA has given out 2000::/3 and nothing else as addresses of the internet; what lies outside of it is refused as a
// whole, known by name or not. 6to4 and Teredo carry an IPv4 address, in Teredo even a disguised one, and a packet goes
// to whatever relay is about: refused whichever address that is.
const std::vector<special>& special_v6() {
  static const auto all = [] {
    std::vector<special> out;
    for (const auto& [network, what] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
             {"::/128", "unspecified"},
             {"::1/128", "loopback"},
             {"::/96", "a form of IPv4 addresses that is given up"},
             {"64:ff9b:1::/48", "a local translation to IPv4"},
             {"100::/64", "a black hole"},
             {"2001::/32", "a tunnel (Teredo)"},
             {"2001::/23", "reserved for protocols"}, // benchmarks 2001:2::/48, ORCHID 2001:10::/28 and 2001:20::/28, …
             {"2001:db8::/32", "for documentation"},
             {"2002::/16", "a tunnel (6to4)"},
             {"3fff::/20", "for documentation"},
             {"fc00::/7", "private"}, // metadata at fd00:ec2::254 and fd20:ce::254
             {"fe80::/10", "link-local"},
             {"fec0::/10", "site-local"},
             {"ff00::/8", "multicast"}})
      out.push_back({*ip_network::parse(network), what});
    return out;
  }();
  return all;
}

// The address behind a translator of the well-known prefix (RFC 6052).
std::optional<ip_address> translated(const ip_address& x) {
  static const auto well_known = *ip_network::parse("64:ff9b::/96");
  if (!well_known.contains(x))
    return std::nullopt;
  auto out = *ip_address::parse("0.0.0.0");
  std::copy(x.bytes.begin() + 12, x.bytes.end(), out.bytes.begin() + 12);
  return out;
}

} // namespace

std::string_view special_purpose(const ip_address& x) {
  static const auto internet_v6 = *ip_network::parse("2000::/3");
  if (const auto v4 = translated(x))
    return special_purpose(*v4);
  const auto& table = x.v4 ? special_v4() : special_v6();
  const auto found = std::find_if(table.begin(), table.end(), [&](const auto& s) { return s.network.contains(x); });
  if (found != table.end())
    return found->what;
  return x.v4 || internet_v6.contains(x) ? std::string_view{} : "reserved";
}

std::optional<ip_address> address_in(const sockaddr& socket_address) {
  ip_address out;
  if (socket_address.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &socket_address, sizeof v4);
    out = *ip_address::parse("0.0.0.0");
    std::memcpy(out.bytes.data() + 12, &v4.sin_addr, 4);
    return out;
  }
  if (socket_address.sa_family != AF_INET6)
    return std::nullopt;
  sockaddr_in6 v6{};
  std::memcpy(&v6, &socket_address, sizeof v6);
  std::memcpy(out.bytes.data(), &v6.sin6_addr, out.bytes.size());
  out.v4 = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) != 0;
  return out;
}

bool address_guard::allows(const ip_address& x) const {
  if (std::any_of(allowed_.begin(), allowed_.end(), [&](const auto& n) { return n.contains(x); }))
    return true;
  const auto v4 = translated(x);
  return v4 && allows(*v4);
}

std::optional<std::string> address_guard::problem_of(const ip_address& x, bool encrypted) const {
  if (allows(x))
    return std::nullopt;
  const auto what = special_purpose(x);
  if (!what.empty())
    return "it is " + std::string(what) + ", and in none of webhooks.allowed_networks";
  if (!encrypted)
    return "it is in none of webhooks.allowed_networks, and everywhere else https is needed";
  return std::nullopt;
}

} // namespace rdev::webhook_sending
