#include "adapters/cli/base64.hpp"

#include <array>
#include <cstdint>

namespace rdev::cli {

namespace {

constexpr std::uint32_t bad = 0xff000000; // survives every shift below into the top byte

// For each place of a group of four a table with the value already shifted: a group is four look-ups and three ors.
constexpr auto tables = [] {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<std::array<std::uint32_t, 256>, 4> out{};
  for (std::size_t place = 0; place < 4; ++place) {
    out[place].fill(bad);
    for (std::uint32_t value = 0; value < 64; ++value)
      out[place][static_cast<unsigned char>(alphabet[value])] = value << (18 - 6 * static_cast<std::uint32_t>(place));
  }
  return out;
}();

std::uint32_t group_of(const char* text) {
  return tables[0][static_cast<unsigned char>(text[0])] | tables[1][static_cast<unsigned char>(text[1])] |
         tables[2][static_cast<unsigned char>(text[2])] | tables[3][static_cast<unsigned char>(text[3])];
}

char byte_of(std::uint32_t group, unsigned shift) {
  return static_cast<char>(static_cast<unsigned char>(group >> shift & 0xffU));
}

} // namespace

bool decode_base64(std::string_view text, std::string& out) {
  if (text.size() % 4 != 0)
    return false;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  const std::size_t whole = padding == 0 ? text.size() : text.size() - 4;
  out.resize(text.size() / 4 * 3 - padding);
  char* to = out.data();
  std::uint32_t seen = 0;
  for (std::size_t i = 0; i < whole; i += 4) {
    const auto group = group_of(text.data() + i);
    seen |= group;
    *to++ = byte_of(group, 16);
    *to++ = byte_of(group, 8);
    *to++ = byte_of(group, 0);
  }
  if (padding > 0) {
    const char last[4] = {text[whole], text[whole + 1], padding == 1 ? text[whole + 2] : 'A', 'A'};
    const auto group = group_of(last);
    // Bits that belong to no byte must be zero: else two texts would stand for the same bytes.
    if ((group & (padding == 1 ? 0xffU : 0xffffU)) != 0)
      return false;
    seen |= group;
    *to++ = byte_of(group, 16);
    if (padding == 1)
      *to = byte_of(group, 8);
  }
  return (seen & bad) == 0;
}

} // namespace rdev::cli
