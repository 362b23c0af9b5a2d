#include "adapters/redaction/hidden_forms.hpp"

#include "adapters/crypto.hpp"
#include "adapters/json/json.hpp"
#include "adapters/redaction.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <string>

namespace rdev::redaction {

namespace {

// What encoders leave as it is, besides letters and digits: RFC 3986; Python's quote(); encodeURIComponent();
// encodeURI(); application/x-www-form-urlencoded.
constexpr std::array<std::string_view, 5> left_as_they_are{"-._~", "-._~/", "-._~!'()*", "-._~!'()*;/?:@&=+$,#",
                                                           "*-._"};
constexpr std::array<std::string_view, 2> hex_digits{"0123456789ABCDEF", "0123456789abcdef"};
constexpr std::array<std::string_view, 2> blanks{"%20", "+"};

bool letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// At most this many forms has one piece: others may repeat, they are counted.
constexpr std::ptrdiff_t forms_of_a_piece = 32;

void add(std::vector<hidden_form>& to, std::string text, edge_digits edges = {}) {
  hidden_form form{secret(std::move(text)), edges};
  const auto first = to.end() - std::min(forms_of_a_piece, std::ssize(to));
  const bool known = std::any_of(first, to.end(), [&](const hidden_form& f) {
    return f.edges == form.edges && f.text.reveal() == form.text.reveal();
  });
  if (!known)
    to.push_back(std::move(form));
}

std::string percent_encoded(std::string_view piece, std::string_view kept, std::string_view hex,
                            std::string_view blank) {
  std::string out;
  out.reserve(3 * piece.size());
  for (const char c : piece) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == ' ')
      out += blank;
    else if (letter_or_digit(c) || kept.find(c) != std::string_view::npos)
      out += c;
    else
      out.append({'%', hex[byte >> 4U], hex[byte & 15U]});
  }
  return out;
}

void add_percent_encoded(std::vector<hidden_form>& to, std::string_view piece) {
  if (std::all_of(piece.begin(), piece.end(), letter_or_digit))
    return;
  for (const auto kept : left_as_they_are)
    for (const auto hex : hex_digits)
      for (const auto blank : blanks)
        add(to, percent_encoded(piece, kept, hex, blank));
  std::string plain(piece);
  std::replace(plain.begin(), plain.end(), ' ', '+');
  add(to, std::move(plain));
}

void add_json_escaped(std::vector<hidden_form>& to, std::string_view piece) {
  json::writer out;
  auto text = out.string(piece).take();
  add(to, text.substr(1, text.size() - 2));
}

// `ahead` bytes of the first group of three belong to what stands before.
void add_base64(std::vector<hidden_form>& to, std::string_view piece, std::size_t ahead) {
  const secret padded(std::string(ahead, '\0').append(piece));
  const auto all = to_base64(padded.reveal());
  const auto first = (8 * ahead + 5) / 6;
  const auto end = 8 * padded.reveal().size() / 6;
  const edge_digits edges{ahead != 0, 8 * padded.reveal().size() % 6 != 0};
  auto digits = all.substr(first, end - first);
  add(to, digits, edges);
  std::replace(digits.begin(), digits.end(), '+', '-');
  std::replace(digits.begin(), digits.end(), '/', '_');
  add(to, std::move(digits), edges);
}

// A file's last line break is seldom written where its text is.
std::string_view trimmed(std::string_view value) {
  constexpr std::string_view around = " \t\r\n";
  const auto first = value.find_first_not_of(around);
  return first == std::string_view::npos ? std::string_view{}
                                         : value.substr(first, value.find_last_not_of(around) + 1 - first);
}

// Of about the same size; not cut within a character, since JSON has no form for a part of one.
std::vector<std::string_view> pieces_of(std::string_view value) {
  std::vector<std::string_view> out;
  const auto n = (value.size() + longest_piece - 1) / longest_piece;
  std::size_t begin = 0;
  for (std::size_t i = 1; i <= n; ++i) {
    auto end = value.size() * i / n;
    for (int back = 0; back < 3 && end < value.size() && (static_cast<unsigned char>(value[end]) & 0xc0U) == 0x80U;
         ++back)
      --end;
    out.push_back(value.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

} // namespace

std::vector<hidden_form> hidden_forms(std::string_view value) {
  std::vector<hidden_form> out;
  value = trimmed(value);
  if (value.size() < least_hidden_bytes)
    return out;
  for (const auto piece : pieces_of(value)) {
    add(out, std::string(piece));
    add_percent_encoded(out, piece);
    add_json_escaped(out, piece);
    for (std::size_t ahead = 0; ahead < 3; ++ahead)
      add_base64(out, piece, ahead);
  }
  return out;
}

} // namespace rdev::redaction
