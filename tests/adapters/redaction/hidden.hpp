// What tests of the redactor ask for again and again.
#pragma once

#include "adapters/redaction.hpp"

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::test {

inline redactor a_redactor(const std::vector<std::string>& patterns = {}) {
  auto made = redactor::make(patterns);
  if (!made)
    throw std::invalid_argument(made.error().message);
  return *made;
}

inline redactor::registration hide(const redactor& by, std::string_view value) {
  return by.hide(secret(std::string(value)));
}

inline std::string redact(const redactor& by, std::string_view text) {
  const auto got = by.redact(text);
  return got ? got->text : std::string(text);
}

inline std::string reason(const std::vector<std::string>& patterns) {
  const auto made = redactor::make(patterns);
  return made ? "" : made.error().message;
}

} // namespace rdev::test
