// Waits for something that other threads bring about; for the few tests that run on real time.
#pragma once

#include <chrono>
#include <thread>

namespace rdev::test {

// Whether `come_true()` is true within 30 s; looks often, so that a test takes no longer than it must.
template <class Condition>
bool eventually(Condition come_true) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!come_true()) {
    if (std::chrono::steady_clock::now() > end)
      return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

} // namespace rdev::test
