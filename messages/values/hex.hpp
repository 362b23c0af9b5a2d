// Hexadecimal digits. They are read by table: a record of the audit log is read back with some hundreds of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rdev {

inline constexpr auto hex_values = [] {
  std::array<std::int8_t, 256> out{};
  out.fill(-1);
  for (std::size_t i = 0; i < 10; ++i)
    out['0' + i] = static_cast<std::int8_t>(i);
  for (std::size_t i = 0; i < 6; ++i)
    out['a' + i] = out['A' + i] = static_cast<std::int8_t>(10 + i);
  return out;
}();

// 0 to 15; -1: it is none.
constexpr int hex_digit(char c) {
  return hex_values[static_cast<unsigned char>(c)];
}

constexpr int lower_hex_digit(char c) {
  return c >= 'A' && c <= 'F' ? -1 : hex_digit(c);
}

// Two lower-case digits.
inline void add_hex(std::string& to, std::uint8_t byte) {
  constexpr std::string_view digits = "0123456789abcdef";
  to += digits[byte >> 4U];
  to += digits[byte & 15U];
}

} // namespace rdev
