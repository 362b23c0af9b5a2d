// Classes of characters that HTTP's grammar is made of.
#pragma once

#include "messages/values/hex.hpp"

#include <string_view>

namespace rdev::http {

// ASCII only, whatever the locale.
constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

constexpr bool digit(char c) {
  return c >= '0' && c <= '9';
}

constexpr bool alphanumeric(char c) {
  return digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

// RFC 9110, section 5.6.2
constexpr bool token_character(char c) {
  return alphanumeric(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

// What a field's value or an extension may hold (RFC 9110, section 5.5)
constexpr bool text_character(char c) {
  return c == '\t' || (static_cast<unsigned char>(c) >= 32 && c != 127);
}

} // namespace rdev::http
