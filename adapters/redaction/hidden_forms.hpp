// The forms in which a value turns up in a text.
#pragma once

#include "messages/values/secret.hpp"

#include <compare>
#include <cstddef>
#include <string_view>
#include <vector>

namespace rdev::redaction {

// A longer value is hidden as pieces that touch, so that no form grows without bounds.
constexpr std::size_t longest_piece = 256;

// Where a value does not begin and end with a digit of base64, the digits at its edges depend on its neighbours, too;
// they are hidden with it.
struct edge_digits {
  bool before = false;
  bool after = false;
  friend auto operator<=>(const edge_digits&, const edge_digits&) = default;
};

struct hidden_form {
  secret text; // at least least_hidden_bytes
  edge_digits edges;
};

// None for a value that is too short.
std::vector<hidden_form> hidden_forms(std::string_view value);

// Of base64 and base64url.
constexpr bool base64_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '+' || c == '/' ||
         c == '-' || c == '_';
}

} // namespace rdev::redaction
