#include "actors/rate_limit.hpp"

#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

namespace rdev::rate_limit {
namespace {

using namespace std::chrono_literals;

class RateLimit : public test::actor_house {
protected:
  void start() {
    limit = open(behavior, around(), settings);
  }
  metered count_one(const key_id& who, std::optional<int> quota = {}) {
    return ask<metered>(limit, meter{test::a_request(), who, quota}).reply();
  }

  config settings;
  actor limit;
  const key_id key = key_id::make();
};

TEST_F(RateLimit, AdmitsUpToTheQuotaAndSaysHowManyAreLeft) {
  settings.default_quota = 3;
  start();
  for (int left = 2; left >= 0; --left) {
    const auto now = count_one(key);
    EXPECT_TRUE(now.admitted);
    EXPECT_EQ(now.state.quota, 3);
    EXPECT_EQ(now.state.remaining, left);
  }
  const auto refused = count_one(key);
  EXPECT_FALSE(refused.admitted);
  EXPECT_EQ(refused.state.resets_in, 1000ms);
  EXPECT_EQ(counts.count("rate_limited key"), 1);
}

TEST_F(RateLimit, SlidesInsteadOfStartingAnew) {
  settings.default_quota = 2;
  start();
  EXPECT_TRUE(count_one(key).admitted);
  advance(600ms);
  EXPECT_TRUE(count_one(key).admitted);
  EXPECT_EQ(count_one(key).state.resets_in, 400ms);
  advance(400ms);
  EXPECT_TRUE(count_one(key).admitted);
  EXPECT_FALSE(count_one(key).admitted);
}

TEST_F(RateLimit, DoesNotCountWhatItRefused) {
  settings.default_quota = 1;
  start();
  EXPECT_TRUE(count_one(key).admitted);
  for (int i = 0; i < 9; ++i) {
    advance(100ms);
    EXPECT_FALSE(count_one(key).admitted);
  }
  advance(100ms);
  EXPECT_TRUE(count_one(key).admitted);
}

TEST_F(RateLimit, PrefersTheQuotaOfTheKey) {
  settings.default_quota = 1;
  start();
  EXPECT_TRUE(count_one(key, 2).admitted);
  EXPECT_TRUE(count_one(key, 2).admitted);
  EXPECT_FALSE(count_one(key, 2).admitted);
}

TEST_F(RateLimit, KeepsKeysApart) {
  settings.default_quota = 1;
  start();
  EXPECT_TRUE(count_one(key).admitted);
  EXPECT_TRUE(count_one(key_id::make()).admitted);
  EXPECT_FALSE(count_one(key).admitted);
}

TEST_F(RateLimit, IsOffWithAQuotaOfZero) {
  settings.default_quota = 0;
  start();
  for (int i = 0; i < 100; ++i) {
    const auto now = count_one(key);
    ASSERT_TRUE(now.admitted);
    ASSERT_EQ(now.state.quota, 0);
  }
}

TEST_F(RateLimit, ThrowsWindowsOfSilentKeysAway) {
  settings.default_quota = 5;
  const auto made = system.spawn(behavior, around(), settings);
  const auto& state = caf::actor_cast<self_actor::stateful_pointer<rate_limit::state>>(made)->state;
  limit = made;
  count_one(key);
  count_one(key_id::make());
  advance(4900ms);
  count_one(key);
  advance(200ms);
  EXPECT_EQ(state.windows.size(), 1U);
  advance(5s);
  EXPECT_EQ(state.windows.size(), 0U);
  kill(limit);
}

} // namespace
} // namespace rdev::rate_limit
