// Array literals: libpqxx 6.4 has no parameter type for them. Each literal goes to the server as ONE parameter.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::postgres {

// Builds `{…}` element by element, quoted and escaped.
class array_literal {
public:
  array_literal& add(std::string_view element);
  array_literal& add(const std::optional<std::string>& element); // none = NULL
  array_literal& add_null();
  array_literal& add_number(std::int64_t n);
  array_literal& add_bytes(std::string_view bytes); // bytea, as hexadecimal
  [[nodiscard]] std::string text() const;

private:
  void separate();
  std::string out_ = "{";
};

std::string array_of(const std::vector<std::string>& elements);
// Elements of a one-dimensional array as the server prints it; NULL elements are left out.
std::vector<std::string> elements_of(std::string_view literal);

std::string bytea_hex(std::string_view bytes);         // `\x…`
std::string bytes_of_hex(std::string_view bytea_text); // back

} // namespace rdev::postgres
