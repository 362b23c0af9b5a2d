#include "actors/key_habits.hpp"

#include <gtest/gtest.h>

namespace rdev {
namespace {

using namespace std::chrono_literals;
using time = key_habits::time;

ip_address address(int i) {
  return *ip_address::parse("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250));
}

class KeyHabits : public ::testing::Test {
protected:
  // So many requests within one minute; whether one of them was odd.
  bool minute_of(int requests) {
    bool odd = false;
    for (int i = 0; i < requests; ++i)
      odd = habits.used(key, now) || odd;
    now += 60s;
    return odd;
  }

  const key_id key = key_id::make();
  key_habits habits{{}};
  time now{1h};
};

TEST_F(KeyHabits, FindsTenTimesTheUsualOdd) {
  for (int i = 0; i < 12; ++i)
    EXPECT_FALSE(minute_of(50));
  EXPECT_FALSE(minute_of(450));
  EXPECT_TRUE(minute_of(1200));
}

TEST_F(KeyHabits, FindsNothingOddAboutAKeyThatItHardlyKnowsOrThatIsQuiet) {
  EXPECT_FALSE(minute_of(5000));
  habits = key_habits{{}};
  for (int i = 0; i < 12; ++i)
    EXPECT_FALSE(minute_of(1));
  EXPECT_FALSE(minute_of(300)) << "that is little, whatever the usual";
  habits = key_habits{{}};
  for (int i = 0; i < 12; ++i)
    EXPECT_FALSE(minute_of(1));
  EXPECT_TRUE(minute_of(301));
}

TEST_F(KeyHabits, LetsMinutesWithoutUseSayNothing) {
  for (int i = 0; i < 12; ++i)
    EXPECT_FALSE(minute_of(100));
  now += 240h;
  EXPECT_FALSE(minute_of(900));
}

TEST_F(KeyHabits, SaysTheSameOnceInAnHour) {
  for (int i = 0; i < 12; ++i)
    minute_of(1);
  EXPECT_TRUE(minute_of(301));
  EXPECT_FALSE(minute_of(4000));
  now += 1h;
  EXPECT_TRUE(minute_of(40'000));
}

TEST_F(KeyHabits, FindsTheTwentyFirstAddressWithinAMinuteOdd) {
  for (int i = 0; i < 20; ++i)
    EXPECT_FALSE(habits.used_from(key, address(i), now));
  EXPECT_FALSE(habits.used_from(key, address(3), now)) << "known";
  EXPECT_TRUE(habits.used_from(key, address(20), now));
  EXPECT_FALSE(habits.used_from(key_id::make(), address(20), now)) << "another key";
}

TEST_F(KeyHabits, FindsAddressesOverManyMinutesOrdinary) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(habits.used_from(key, address(i), now));
    now += 5s;
  }
}

TEST_F(KeyHabits, FindsTheTenthWrongSecretWithinAMinuteOdd) {
  for (int i = 0; i < 9; ++i)
    EXPECT_FALSE(habits.wrong_secret(key, now));
  EXPECT_TRUE(habits.wrong_secret(key, now));
  EXPECT_FALSE(habits.wrong_secret(key, now));
}

TEST_F(KeyHabits, IsBounded) {
  habit_rules rules;
  rules.most_tracked = 10;
  key_habits few(rules);
  for (int i = 0; i < 100; ++i) {
    few.used(key_id::make(), now);
    EXPECT_LE(few.tracked(), 10U);
  }
}

} // namespace
} // namespace rdev
