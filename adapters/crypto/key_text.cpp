// Keys as text: `rdev_<8 id>_<27 base62 secret><6 base62 of a CRC-32>`. 27 base62 digits carry 160 random bits.
#include "adapters/crypto.hpp"

#include <algorithm>
#include <array>

namespace rdev {

namespace {

constexpr std::string_view base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::string_view head = "rdev_";
constexpr std::size_t id_digits = 8;
constexpr std::size_t least_secret_digits = 27;
constexpr std::size_t check_digits = 6;
constexpr std::size_t longest_key = 256;

// CRC-32 of IEEE 802.3, as in zlib.
std::uint32_t crc32(std::string_view bytes) {
  std::uint32_t crc = ~0U;
  for (const char c : bytes) {
    crc ^= static_cast<std::uint8_t>(c);
    for (int i = 0; i < 8; ++i)
      crc = (crc & 1U) != 0 ? crc >> 1U ^ 0xedb88320U : crc >> 1U;
  }
  return ~crc;
}

std::string check_of(std::string_view text) {
  std::string out(check_digits, '0');
  auto crc = crc32(text);
  for (auto digit = out.rbegin(); digit != out.rend(); ++digit, crc /= 62)
    *digit = base62[crc % 62];
  return out;
}

// Each digit equally likely: bytes from 248 on would favour the first ones and are thrown away.
std::string random_base62(std::size_t n) {
  std::string out;
  while (out.size() < n)
    for (const char c : random_bytes(n))
      if (const auto b = static_cast<std::uint8_t>(c); b < 248 && out.size() < n)
        out += base62[b % 62];
  return out;
}

bool all_base62(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return base62.find(c) != std::string_view::npos; });
}

} // namespace

fresh_key make_key_text() {
  fresh_key out;
  out.prefix = std::string(head) + random_base62(id_digits);
  auto text = out.prefix + "_" + random_base62(least_secret_digits);
  text += check_of(text);
  out.text = secret(std::move(text));
  return out;
}

std::string key_prefix_of(std::string_view text) {
  const auto prefix_size = head.size() + id_digits;
  if (text.size() > longest_key || text.size() < prefix_size + 1 + least_secret_digits + check_digits ||
      !text.starts_with(head) || text[prefix_size] != '_')
    return {};
  if (!all_base62(text.substr(head.size(), id_digits)) || !all_base62(text.substr(prefix_size + 1)))
    return {};
  const auto body = text.substr(0, text.size() - check_digits);
  if (check_of(body) != text.substr(body.size()))
    return {};
  return std::string(text.substr(0, prefix_size));
}

} // namespace rdev
