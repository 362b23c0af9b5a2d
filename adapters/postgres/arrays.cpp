#include "adapters/postgres/arrays.hpp"

#include "messages/values/hex.hpp"

#include <cstdint>

namespace rdev::postgres {

void array_literal::separate() {
  if (out_.size() > 1)
    out_ += ',';
}

array_literal& array_literal::add(std::string_view element) {
  separate();
  out_ += '"';
  for (const char c : element) {
    if (c == '"' || c == '\\')
      out_ += '\\';
    out_ += c;
  }
  out_ += '"';
  return *this;
}

array_literal& array_literal::add(const std::optional<std::string>& element) {
  return element ? add(std::string_view(*element)) : add_null();
}

array_literal& array_literal::add_null() {
  separate();
  out_ += "NULL";
  return *this;
}

array_literal& array_literal::add_number(std::int64_t n) {
  separate();
  out_ += std::to_string(n);
  return *this;
}

array_literal& array_literal::add_bytes(std::string_view bytes) {
  return add(std::string_view(bytea_hex(bytes)));
}

std::string array_literal::text() const {
  return out_ + "}";
}

std::string array_of(const std::vector<std::string>& elements) {
  array_literal out;
  for (const auto& e : elements)
    out.add(std::string_view(e));
  return out.text();
}

std::vector<std::string> elements_of(std::string_view literal) {
  std::vector<std::string> out;
  for (std::size_t i = 1; i < literal.size() && literal[i] != '}';) {
    std::string element;
    const bool quoted = literal[i] == '"';
    if (quoted) {
      for (++i; i < literal.size() && literal[i] != '"'; ++i) {
        if (literal[i] == '\\' && i + 1 < literal.size())
          ++i;
        element += literal[i];
      }
      ++i;
    } else {
      for (; i < literal.size() && literal[i] != ',' && literal[i] != '}'; ++i)
        element += literal[i];
    }
    if (quoted || element != "NULL")
      out.push_back(std::move(element));
    if (i < literal.size() && literal[i] == ',')
      ++i;
  }
  return out;
}

std::string bytea_hex(std::string_view bytes) {
  std::string out = "\\x";
  out.reserve(2 + 2 * bytes.size());
  for (const char c : bytes)
    add_hex(out, static_cast<std::uint8_t>(c));
  return out;
}

std::string bytes_of_hex(std::string_view text) {
  if (!text.starts_with("\\x"))
    return {};
  text.remove_prefix(2);
  std::string out(text.size() / 2, '\0');
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<char>(16 * hex_digit(text[2 * i]) + hex_digit(text[2 * i + 1])); // it writes digits only
  return out;
}

} // namespace rdev::postgres
