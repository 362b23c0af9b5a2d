#include "actors/sliding_window.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace rdev {
namespace {

using namespace std::chrono_literals;
using time_point = sliding_window::time_point;

constexpr auto window = 1s;

time_point at(sliding_window::duration d) {
  return time_point(100h) + d;
}

TEST(SlidingWindow, AdmitsUpToTheLimitAndThenNoMore) {
  sliding_window w;
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(w.admit(at(0ms), 3, window)) << i;
  EXPECT_FALSE(w.admit(at(0ms), 3, window));
  EXPECT_FALSE(w.admit(at(999ms), 3, window));
}

TEST(SlidingWindow, ForgetsEachEventExactlyWhenItLeavesTheWindow) {
  sliding_window w;
  EXPECT_TRUE(w.admit(at(0ms), 2, window));
  EXPECT_TRUE(w.admit(at(400ms), 2, window));
  EXPECT_FALSE(w.admit(at(1s - 1ns), 2, window));
  EXPECT_TRUE(w.admit(at(1s), 2, window));
  EXPECT_FALSE(w.admit(at(1399ms), 2, window));
  EXPECT_TRUE(w.admit(at(1400ms), 2, window));
}

TEST(SlidingWindow, DoesNotCountWhatItRefused) {
  sliding_window w;
  EXPECT_TRUE(w.admit(at(0ms), 1, window));
  for (int i = 1; i < 100; ++i)
    EXPECT_FALSE(w.admit(at(std::chrono::milliseconds(i * 10)), 1, window));
  EXPECT_TRUE(w.admit(at(1s), 1, window)) << "asking too often must not keep one out for ever";
}

TEST(SlidingWindow, AdmitsNothingUnderALimitOfNothing) {
  sliding_window w;
  EXPECT_FALSE(w.admit(at(0ms), 0, window));
  EXPECT_EQ(w.remaining(at(0ms), 0, window), 0U);
}

TEST(SlidingWindow, CountsDownWhatRemains) {
  sliding_window w;
  EXPECT_EQ(w.remaining(at(0ms), 3, window), 3U);
  w.admit(at(0ms), 3, window);
  w.admit(at(500ms), 3, window);
  EXPECT_EQ(w.remaining(at(500ms), 3, window), 1U);
  EXPECT_EQ(w.remaining(at(1s), 3, window), 2U);
  EXPECT_EQ(w.remaining(at(1500ms), 3, window), 3U);
}

TEST(SlidingWindow, HasNothingLeftWhenTheLimitWasLowered) {
  sliding_window w;
  for (int i = 0; i < 5; ++i)
    w.admit(at(0ms), 5, window);
  EXPECT_EQ(w.remaining(at(0ms), 2, window), 0U);
  EXPECT_FALSE(w.admit(at(0ms), 2, window));
  EXPECT_EQ(w.remaining(at(1s), 2, window), 2U);
}

TEST(SlidingWindow, SaysWhenTheOldestEventLeaves) {
  sliding_window w;
  EXPECT_EQ(w.resets_in(at(0ms), window), 0ns);
  w.admit(at(0ms), 2, window);
  w.admit(at(300ms), 2, window);
  EXPECT_EQ(w.resets_in(at(300ms), window), 700ms);
}

// Who waits as long as it says is admitted, and not a moment before.
TEST(SlidingWindow, KeepsItsWordAboutWhenOneMoreIsAdmitted) {
  test::seeded random(31);
  for (int round = 0; round < 200; ++round) {
    sliding_window w;
    const std::size_t limit = 1 + random.below(5);
    auto now = at(0ms);
    while (w.admit(now, limit, window))
      now += std::chrono::nanoseconds(random.below(150'000'000));
    const auto wait = w.resets_in(now, window);
    ASSERT_GT(wait, 0ns);
    auto early = w;
    ASSERT_FALSE(early.admit(now + wait - 1ns, limit, window));
    ASSERT_TRUE(w.admit(now + wait, limit, window));
  }
}

TEST(SlidingWindow, IsIdleOnceEverythingHasLeft) {
  sliding_window w;
  EXPECT_TRUE(w.idle(at(0ms), window));
  w.admit(at(0ms), 1, window);
  EXPECT_FALSE(w.idle(at(1s - 1ns), window));
  EXPECT_TRUE(w.idle(at(1s), window));
}

// Against the definition: no window of the length, wherever it ends, holds more than the limit; and nothing is refused
// that would have fitted.
TEST(SlidingWindow, NeverAdmitsMoreThanTheLimitInAnyWindow) {
  test::seeded random(32);
  for (int round = 0; round < 100; ++round) {
    sliding_window w;
    const std::size_t limit = 1 + random.below(8);
    std::vector<time_point> admitted;
    auto now = at(0ms);
    for (int i = 0; i < 300; ++i) {
      now += std::chrono::nanoseconds(random.one_in(4) ? random.below(2'000'000'000) : random.below(100'000'000));
      std::size_t within = 0;
      for (const auto t : admitted)
        within += t > now - window ? 1U : 0U;
      const bool good = w.admit(now, limit, window);
      ASSERT_EQ(good, within < limit);
      if (good)
        admitted.push_back(now);
    }
  }
}

} // namespace
} // namespace rdev
