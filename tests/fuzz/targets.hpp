// The parsers of outside input, each as an entry point that takes any bytes. A target returns when all is well and
// crashes (assert, sanitizer, std::abort) when a law of the parser does not hold.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace rdev::fuzz {

struct target {
  std::string_view name;
  void (*run)(std::string_view input);
  std::span<const std::string_view> seeds; // inputs that are nearly or quite good
};

std::span<const target> targets();

} // namespace rdev::fuzz
