#include "adapters/cli/patience.hpp"

#include <gtest/gtest.h>

#include <iostream>
#include <set>

namespace rdev::cli {
namespace {

using namespace std::chrono_literals;

class Patience : public testing::Test {
protected:
  Patience() {
    std::cout << "seed " << seed << '\n';
  }
  std::uint64_t seed = std::random_device{}();
  patience::moment now{};
  patience left{60s, seed};
};

TEST_F(Patience, GivesUpBeforeTheBudgetIsSpent) {
  int tries = 0;
  milliseconds waited{0};
  while (const auto pause = left.after_failure(now)) {
    ASSERT_LT(++tries, 1000);
    EXPECT_GE(*pause, 200ms);
    EXPECT_LE(*pause, 7500ms);
    now += *pause;
    waited += *pause;
  }
  EXPECT_GE(tries, 8);
  EXPECT_LE(waited, 60s);
  EXPECT_GE(waited, 50s);
}

TEST_F(Patience, WaitsNeverLessThanTheServerAsksFor) {
  for (int i = 0; i < 10; ++i) {
    left.forget();
    EXPECT_GE(left.after_failure(now, 20s).value(), 20s);
  }
}

TEST_F(Patience, GivesUpAtOnceWhenTheServerAsksForTooMuch) {
  EXPECT_FALSE(left.after_failure(now, 61s));
}

TEST_F(Patience, BeginsAnewAfterASuccess) {
  for (int i = 0; i < 5; ++i)
    now += left.after_failure(now).value();
  now += 1h;
  left.forget();
  EXPECT_EQ(left.failing_for(now), 0ms);
  EXPECT_LE(left.after_failure(now).value(), 300ms);
}

TEST_F(Patience, KeepsToTheServersHintButNotToAnAbsurdOne) {
  left.at_least(1000ms);
  EXPECT_GE(left.after_failure(now).value(), 1000ms);
  left.at_least(24h);
  EXPECT_LE(left.after_failure(now).value(), 15s);
}

TEST_F(Patience, DoesNotMakeAllClientsComeBackTogether) {
  std::set<milliseconds> pauses;
  for (std::uint64_t i = 0; i < 20; ++i)
    pauses.insert(patience(60s, seed + i).after_failure(now, 10s).value());
  EXPECT_GT(pauses.size(), 10U);
}

TEST_F(Patience, OfNothingRepeatsNothing) {
  EXPECT_FALSE(patience(0s, seed).after_failure(now));
}

TEST(RetryAfter, IsWholeSecondsOrNothing) {
  EXPECT_EQ(retry_after_from("3"), 3s);
  for (const char* text : {"", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "3 ", "99999999999999999999"})
    EXPECT_FALSE(retry_after_from(text)) << text;
}

} // namespace
} // namespace rdev::cli
