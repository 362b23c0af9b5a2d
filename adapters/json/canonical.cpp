// RFC 8785: one text for one value, whoever writes it.
#include "adapters/json/node.hpp"
#include "messages/values/hex.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace rdev::json {

namespace {

using node = rapidjson::Value;
constexpr std::int64_t exact_integers_end = std::int64_t{1} << 53;
constexpr unsigned char astral_lead = 0xf0;     // first byte of what UTF-16 writes as two units
constexpr unsigned char last_plane_lead = 0xee; // first byte of U+E000 and above

std::string_view text_of(const node& s) {
  return {s.GetString(), s.GetStringLength()};
}

// By UTF-16 code units (RFC 8785, 3.2.3). The order of the bytes of UTF-8 differs from it in one case only: surrogates
// come before U+E000.
bool before(std::string_view a, std::string_view b) {
  const auto [x, y] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (x == a.end() || y == b.end())
    return x == a.end() && y != b.end();
  const auto l = static_cast<unsigned char>(*x);
  const auto r = static_cast<unsigned char>(*y);
  const bool l_astral = l >= astral_lead;
  const bool r_astral = r >= astral_lead;
  if (l_astral != r_astral && std::min(l, r) >= last_plane_lead)
    return l_astral;
  return l < r;
}

// By byte, what does not stand for itself in a string.
constexpr auto is_special = [] {
  std::array<bool, 256> out{};
  for (std::size_t i = 0; i < 0x20; ++i)
    out[i] = true;
  out['"'] = out['\\'] = true;
  return out;
}();

void write_string(std::string& out, std::string_view s) {
  out += '"';
  std::size_t plain = 0; // from here on nothing has been written
  for (std::size_t i = 0; i < s.size(); ++i) {
    const char c = s[i];
    const auto u = static_cast<unsigned char>(c);
    if (!is_special[u])
      continue;
    out.append(s, plain, i - plain);
    plain = i + 1;
    switch (c) {
    case '"':
    case '\\':
      out += '\\';
      out += c;
      break;
    case '\b':
      out += "\\b";
      break;
    case '\t':
      out += "\\t";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\f':
      out += "\\f";
      break;
    case '\r':
      out += "\\r";
      break;
    default:
      out += "\\u00";
      add_hex(out, u);
    }
  }
  out.append(s, plain).append(1, '"');
}

// As ECMAScript writes a number (ECMA-262, 6.1.6.1.20): the fewest digits that give it back.
void write_number(std::string& out, double v) {
  if (v == 0) {
    out += '0';
    return;
  }
  std::array<char, 32> buffer{};
  auto* const end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::abs(v), std::chars_format::scientific).ptr;
  const std::string_view text(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  const auto e = text.find('e');
  std::string digits(text.substr(0, 1));
  if (e > 2)
    digits += text.substr(2, e - 2);
  int exponent = 0;
  const auto* first = text.data() + e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(first, end, exponent);
  const int point = exponent + 1; // where the point stands, counted from the first digit
  const int count = static_cast<int>(digits.size());
  if (v < 0)
    out += '-';
  if (count <= point && point <= 21) {
    out.append(digits).append(static_cast<std::size_t>(point - count), '0');
  } else if (0 < point && point <= 21) {
    out.append(digits, 0, static_cast<std::size_t>(point)).append(".").append(digits, static_cast<std::size_t>(point));
  } else if (-6 < point && point <= 0) {
    out.append("0.").append(static_cast<std::size_t>(-point), '0').append(digits);
  } else {
    out += digits[0];
    if (count > 1)
      out.append(".").append(digits, 1);
    out.append(exponent < 0 ? "e-" : "e+").append(std::to_string(std::abs(exponent)));
  }
}

void write(std::string& out, const node& v);

void write_object(std::string& out, const node& v) { // NOLINT(misc-no-recursion)
  std::vector<const node::Member*> members;
  members.reserve(v.MemberCount());
  for (const auto& member : v.GetObject())
    members.push_back(&member);
  std::sort(members.begin(), members.end(),
            [](const auto* a, const auto* b) { return before(text_of(a->name), text_of(b->name)); });
  out += '{';
  for (const auto* member : members) {
    if (out.back() != '{')
      out += ',';
    write_string(out, text_of(member->name));
    out += ':';
    write(out, member->value);
  }
  out += '}';
}

// Parsed text is at most 64 levels deep.
void write(std::string& out, const node& v) { // NOLINT(misc-no-recursion)
  if (v.IsObject()) {
    write_object(out, v);
  } else if (v.IsArray()) {
    out += '[';
    for (const auto& item : v.GetArray()) {
      if (&item != v.Begin())
        out += ',';
      write(out, item);
    }
    out += ']';
  } else if (v.IsString()) {
    write_string(out, text_of(v));
  } else if (v.IsInt64() && std::abs(v.GetInt64()) <= exact_integers_end) {
    out += std::to_string(v.GetInt64());
  } else if (v.IsNumber()) {
    write_number(out, v.GetDouble());
  } else {
    out += v.IsNull() ? "null" : v.GetBool() ? "true" : "false";
  }
}

} // namespace

std::string value::canonical() const {
  std::string out;
  if (impl_)
    write(out, *impl_->node);
  return out;
}

bool add_canonical(std::string& to, std::string_view text) {
  std::array<char, 4096> nodes; // NOLINT(cppcoreguidelines-pro-type-member-init): the parser's memory
  rapidjson::MemoryPoolAllocator<> pool(nodes.data(), nodes.size());
  rapidjson::Document document(&pool);
  if (parse_into(document, text))
    return false;
  write(to, document);
  return true;
}

void add_canonical_string(std::string& to, std::string_view v) {
  write_string(to, v);
}

} // namespace rdev::json
