// When a delivery that failed is tried again.
#include "actors/retry_schedule.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

namespace rdev {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

const retry_schedule some({5s, 5min, 30min});

TEST(RetrySchedule, TakesTheDelaysInTheirTurn) {
  EXPECT_EQ(some.after(1, {}, 0.5), 5s);
  EXPECT_EQ(some.after(2, {}, 0.5), 5min);
  EXPECT_EQ(some.after(3, {}, 0.5), 30min);
}

TEST(RetrySchedule, EndsAfterItsLastDelay) {
  EXPECT_EQ(some.after(4, {}, 0.5), std::nullopt);
  EXPECT_EQ(some.after(1'000'000, {}, 0.5), std::nullopt);
  EXPECT_EQ(retry_schedule({}).after(1, {}, 0.5), std::nullopt) << "a schedule without delays tries once";
}

TEST(RetrySchedule, EndsAlsoForAnEndpointThatWishesToBeAskedAgain) {
  EXPECT_EQ(some.after(4, 10s, 0.5), std::nullopt);
}

TEST(RetrySchedule, HasNoTurnBeforeTheFirstFailure) {
  EXPECT_EQ(some.after(0, {}, 0.5), std::nullopt);
  EXPECT_EQ(some.after(-1, {}, 0.5), std::nullopt);
}

TEST(RetrySchedule, KeepsToATenthMoreOrLess) {
  EXPECT_EQ(some.after(1, {}, 0), 4'500ms);
  EXPECT_EQ(some.after(1, {}, 1), 5'500ms);
  test::seeded random(71);
  milliseconds least = 10s;
  milliseconds most = 0s;
  for (int i = 0; i < 10'000; ++i) {
    const auto delay = some.after(1, {}, static_cast<double>(random.below(1'000'001)) / 1e6);
    ASSERT_TRUE(delay);
    least = std::min(least, *delay);
    most = std::max(most, *delay);
  }
  EXPECT_GE(least, 4'500ms);
  EXPECT_LT(least, 4'510ms) << "all of the tenth is used";
  EXPECT_LE(most, 5'500ms);
  EXPECT_GT(most, 5'490ms);
}

TEST(RetrySchedule, IsNeverEarlierThanTheEndpointWishes) {
  EXPECT_EQ(some.after(1, 60s, 0.5), 60s);
  EXPECT_EQ(some.after(1, 0s, 0.5), 5s) << "but may be later";
  EXPECT_EQ(some.after(2, 60s, 0.5), 5min);
}

TEST(RetrySchedule, HeedsNoWishBeyondADay) {
  EXPECT_EQ(some.after(1, 48h, 0.5), 24h);
  EXPECT_EQ(some.after(1, std::chrono::seconds::max(), 0.5), 24h);
  EXPECT_EQ(retry_schedule::wish_of(24h), 24h);
  EXPECT_EQ(retry_schedule::wish_of(24h + 1s), 24h);
  EXPECT_EQ(retry_schedule::wish_of(std::chrono::seconds::max()), 24h);
}

TEST(RetrySchedule, TakesAWishForThePastForNoWish) {
  EXPECT_EQ(retry_schedule::wish_of(-5s), 0s);
  EXPECT_EQ(retry_schedule::wish_of(std::chrono::seconds::min()), 0s);
  EXPECT_EQ(some.after(1, std::chrono::seconds::min(), 0.5), 5s);
}

TEST(RetrySchedule, KeepsTheLongestDelaysThereMayBe) {
  const retry_schedule week({7 * 24h});
  EXPECT_EQ(week.after(1, {}, 0.5), 7 * 24h);
  EXPECT_EQ(week.after(1, 1s, 1), milliseconds(7 * 24h) * 11 / 10);
}

} // namespace
} // namespace rdev
