// libFuzzer's entry to one target; RDEV_FUZZ_TARGET is its name.
#include "tests/fuzz/targets.hpp"

#include <algorithm>
#include <cstddef>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto chosen = [] {
    const auto all = rdev::fuzz::targets();
    return *std::find_if(all.begin(), all.end(), [](const auto& t) { return t.name == RDEV_FUZZ_TARGET; });
  }();
  chosen.run({reinterpret_cast<const char*>(data), size});
  return 0;
}
