#include "messages/values/addresses.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace rdev {

namespace {

constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::size_t most_forwarded = 64; // entries of X-Forwarded-For that are looked at

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool same_bits(const ip_address& a, const ip_address& b, unsigned bits) {
  const auto whole = bits / 8;
  if (!std::equal(a.bytes.begin(), a.bytes.begin() + whole, b.bytes.begin()))
    return false;
  const auto rest = bits % 8;
  if (rest == 0)
    return true;
  const auto mask = static_cast<std::uint8_t>(0xffU << (8 - rest));
  return (a.bytes[whole] & mask) == (b.bytes[whole] & mask);
}

unsigned absolute_bits(const ip_network& n) {
  return n.address.v4 ? 96U + n.bits : n.bits;
}

} // namespace

std::optional<ip_address> ip_address::parse(std::string_view text) {
  if (text.empty() || text.size() > 45 || text.find('\0') != std::string_view::npos) // C would stop reading at a NUL
    return std::nullopt;
  const std::string copy(text);
  ip_address out;
  if (::inet_pton(AF_INET, copy.c_str(), out.bytes.data() + 12) == 1) {
    std::copy(mapped_prefix.begin(), mapped_prefix.end(), out.bytes.begin());
    out.v4 = true;
    return out;
  }
  if (::inet_pton(AF_INET6, copy.c_str(), out.bytes.data()) != 1)
    return std::nullopt;
  out.v4 = std::equal(mapped_prefix.begin(), mapped_prefix.end(), out.bytes.begin());
  return out;
}

std::string ip_address::text() const {
  std::array<char, INET6_ADDRSTRLEN> out{};
  if (v4)
    ::inet_ntop(AF_INET, bytes.data() + 12, out.data(), out.size());
  else
    ::inet_ntop(AF_INET6, bytes.data(), out.data(), out.size());
  return out.data();
}

std::optional<ip_network> ip_network::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = ip_address::parse(text.substr(0, slash));
  if (!address)
    return std::nullopt;
  const bool written_as_v6 = text.substr(0, slash).find(':') != std::string_view::npos;
  const unsigned most = written_as_v6 ? 128 : 32;
  unsigned bits = most;
  if (slash != std::string_view::npos) {
    const auto number = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), bits);
    if (error != std::errc{} || end != number.data() + number.size() || number.empty() || bits > most ||
        (number.size() > 1 && number[0] == '0'))
      return std::nullopt;
  }
  if (written_as_v6 && address->v4) { // ::ffff:10.0.0.0/104 is 10.0.0.0/8
    if (bits < 96)
      return std::nullopt;
    bits -= 96;
  }
  return ip_network{*address, static_cast<std::uint8_t>(bits)};
}

ip_network ip_network::around(const ip_address& x, std::uint8_t v4_bits, std::uint8_t v6_bits) {
  ip_network out{x, x.v4 ? v4_bits : v6_bits};
  const auto kept = absolute_bits(out);
  for (unsigned bit = kept; bit < 128; ++bit)
    out.address.bytes.at(bit / 8) &= static_cast<std::uint8_t>(~(0x80U >> (bit % 8)));
  return out;
}

bool ip_network::contains(const ip_address& x) const {
  return address.v4 == x.v4 && same_bits(address, x, absolute_bits(*this));
}

bool ip_network::contains(const ip_network& x) const {
  return contains(x.address) && x.bits >= bits;
}

std::string ip_network::text() const {
  return address.text() + "/" + std::to_string(bits);
}

ip_address client_address(const ip_address& peer, std::string_view forwarded_for, std::span<const ip_network> trusted) {
  const auto is_trusted = [&](const ip_address& a) {
    return std::any_of(trusted.begin(), trusted.end(), [&](const auto& n) { return n.contains(a); });
  };
  auto best = peer;
  if (!is_trusted(peer))
    return best;
  for (std::size_t i = 0; i < most_forwarded && !forwarded_for.empty(); ++i) {
    const auto comma = forwarded_for.rfind(',');
    const auto entry = trimmed(comma == std::string_view::npos ? forwarded_for : forwarded_for.substr(comma + 1));
    forwarded_for = comma == std::string_view::npos ? std::string_view{} : forwarded_for.substr(0, comma);
    const auto address = ip_address::parse(entry);
    if (!address)
      return best;
    best = *address;
    if (!is_trusted(best))
      return best;
  }
  return best;
}

} // namespace rdev
