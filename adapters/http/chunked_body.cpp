#include "adapters/http/chunked_body.hpp"

#include "adapters/http/characters.hpp"

#include <algorithm>

namespace rdev::http {

namespace {

constexpr int most_digits = 16;

refusal bad(const char* what) {
  return malformed(std::string("chunked body: ") + what);
}

} // namespace

std::optional<refusal> chunked_body::take(std::string_view& bytes, const request_limits& limits, std::string& out) {
  while (!bytes.empty() && now_ != state::whole) {
    if (now_ == state::data) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
      out.append(bytes.substr(0, n));
      bytes.remove_prefix(n);
      left_ -= n;
      if (left_ == 0)
        now_ = state::data_cr;
      continue;
    }
    if (auto wrong = step(bytes.front(), limits, out.size()))
      return wrong;
    bytes.remove_prefix(1);
  }
  return std::nullopt;
}

std::optional<refusal> chunked_body::size_is_known(const request_limits& limits, std::size_t so_far) {
  if (digits_ == 0)
    return bad("a chunk without a size");
  if (left_ > limits.body_bytes - so_far)
    return body_too_large(limits);
  return std::nullopt;
}

std::optional<refusal> chunked_body::step(char c, const request_limits& limits, std::size_t so_far) {
  switch (now_) {
  case state::size:
    if (const int digit = hex_digit(c); digit >= 0) {
      if (++digits_ > most_digits)
        return bad("the size of a chunk has too many digits");
      left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
      return std::nullopt;
    }
    if (c != '\r' && c != ';')
      return bad("the size of a chunk is not a hexadecimal number");
    now_ = c == '\r' ? state::size_lf : state::extension;
    return size_is_known(limits, so_far);
  case state::extension:
    if (c == '\r') {
      now_ = state::size_lf;
      return std::nullopt;
    }
    if (!text_character(c))
      return bad("a control character in an extension");
    break;
  case state::size_lf:
    if (c != '\n')
      return bad("CR without LF");
    now_ = left_ > 0 ? state::data : state::trailer_start;
    digits_ = 0;
    return std::nullopt;
  case state::data_cr:
    if (c != '\r')
      return bad("a chunk is longer than its size");
    now_ = state::data_lf;
    return std::nullopt;
  case state::data_lf:
    if (c != '\n')
      return bad("CR without LF");
    now_ = state::size;
    return std::nullopt;
  case state::trailer_start:
    if (c == '\r') {
      now_ = state::last_lf;
      return std::nullopt;
    }
    if (!token_character(c))
      return bad("a trailer without a name");
    now_ = state::trailer_name;
    break;
  case state::trailer_name:
    if (c == ':')
      now_ = state::trailer_value;
    else if (!token_character(c))
      return bad("a trailer without a name");
    break;
  case state::trailer_value:
    if (c == '\r')
      now_ = state::trailer_lf;
    else if (!text_character(c))
      return bad("a control character in a trailer");
    break;
  case state::trailer_lf:
    if (c != '\n')
      return bad("CR without LF");
    now_ = state::trailer_start;
    break;
  case state::last_lf:
    if (c != '\n')
      return bad("CR without LF");
    now_ = state::whole;
    return std::nullopt;
  case state::data:
  case state::whole:
    return std::nullopt;
  }
  if (++extra_ > limits.head_bytes)
    return head_too_large(limits);
  return std::nullopt;
}

} // namespace rdev::http
