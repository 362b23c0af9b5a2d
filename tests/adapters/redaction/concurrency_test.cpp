#include "tests/adapters/redaction/hidden.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace rdev {
namespace {

using test::a_redactor;
using test::hide;
using test::redact;

// Threads hide values of their own, see them hidden, and let go of them, while others look at texts all the time.
TEST(Redactor, HidesForEachThreadWhatItHasRegisteredWhileOthersComeAndGo) {
  const auto r = a_redactor();
  const auto always = hide(r, "always hidden");
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::jthread> readers;
  for (int i = 0; i < 2; ++i)
    readers.emplace_back([&] {
      while (!stop)
        if (redact(r, "an always hidden value") != "an [redacted] value" || r.redact("nothing of interest"))
          ++wrong;
    });
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < 3; ++i)
      writers.emplace_back([&, i] {
        for (int n = 0; n < 300; ++n) {
          const auto mine = "value-" + std::to_string(i) + "-" + std::to_string(n) + ".";
          const auto shared = hide(r, "shared-" + std::to_string(n % 3));
          {
            const auto held = hide(r, mine);
            if (redact(r, "<" + mine + ">") != "<[redacted]>")
              ++wrong;
          }
          if (r.redact(mine) || redact(r, "shared-" + std::to_string(n % 3)) != "[redacted]")
            ++wrong;
        }
      });
  }
  stop = true;
  readers.clear();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(r.redact("shared-0 shared-1 shared-2"), std::nullopt);
}

} // namespace
} // namespace rdev
