#pragma once

#include <cstdlib>
#include <iostream>
#include <string_view>

namespace rdev::fuzz {

inline void must(bool holds, std::string_view law) {
  if (holds)
    return;
  std::cerr << "does not hold: " << law << '\n';
  std::abort();
}

} // namespace rdev::fuzz
