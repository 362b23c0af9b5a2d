#include "actors/refusal_sample.hpp"

#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace rdev {
namespace {

using namespace std::chrono_literals;

const timestamp some_day{std::chrono::microseconds(1'795'000'000'000'000)};

audit_record refused(const std::string& address, const std::string& reason = "UNAUTHORIZED",
                     std::optional<key_id> actor = {}) {
  audit_record out;
  out.actor = actor;
  out.actor_name = actor ? "ci" : "rdev_guess";
  out.action = "request.refused";
  out.target = "GET /projects";
  out.outcome = "refused";
  out.reason = reason;
  out.from.client_ip = address;
  out.from.request_id = "req_1";
  return out;
}

TEST(RefusalSample, RecordsTheFirstFewOfAnAddressAndCountsTheRest) {
  refusal_sample sample({.per_window = 3});
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(sample.admits(refused("10.0.0.1"), 1h + i * 1s, some_day + i * 1s), i < 3) << i;
  EXPECT_TRUE(sample.admits(refused("10.0.0.2"), 1h + 10s, some_day)) << "another address";
  EXPECT_TRUE(sample.take_ended(1h + 59s).empty());
  const auto told = sample.take_ended(1h + 60s);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].action, "request.refused");
  EXPECT_EQ(told[0].outcome, "refused");
  EXPECT_EQ(told[0].reason, "UNAUTHORIZED");
  EXPECT_EQ(told[0].actor_name, "unknown");
  EXPECT_EQ(told[0].target, "");
  EXPECT_EQ(told[0].from.client_ip, "10.0.0.1");
  EXPECT_EQ(told[0].from.request_id, "");
  EXPECT_EQ(told[0].detail,
            (std::map<std::string, std::string>{
                {"count", "7"}, {"first", to_rfc3339(some_day + 3s)}, {"last", to_rfc3339(some_day + 9s)}}));
  EXPECT_TRUE(sample.admits(refused("10.0.0.1"), 1h + 60s, some_day)) << "a new minute";
}

TEST(RefusalSample, RecordsOnlySomeOfManyStrangersInASecondAndCountsTheRestByAddress) {
  refusal_sample sample({.per_window = 5, .strangers_per_second = 10});
  const auto known = key_id::make();
  int recorded = 0;
  for (int i = 0; i < 100; ++i) {
    recorded += sample.admits(refused("10.0.0." + std::to_string(i)), 1h + i * 9ms, some_day) ? 1 : 0;
    EXPECT_EQ(sample.admits(refused("10.0.1.1", "FORBIDDEN", known), 1h + i * 9ms, some_day), i < 5)
        << "its key is good";
  }
  EXPECT_EQ(recorded, 10);
  EXPECT_TRUE(sample.admits(refused("10.0.0.99"), 1h + 1s, some_day)) << "the next second";
  int counted = 0;
  int rows = 0;
  for (const auto& one : sample.take_all())
    if (!one.actor) {
      ++rows;
      counted += std::stoi(one.detail.at("count"));
    }
  EXPECT_EQ(counted, 90) << "none is lost";
  EXPECT_EQ(rows, 90) << "each of its address";
}

TEST(RefusalSample, TakesA64OfIPv6ForOneAddress) {
  refusal_sample sample({.per_window = 1});
  EXPECT_TRUE(sample.admits(refused("2001:db8::1"), 1h, some_day));
  EXPECT_FALSE(sample.admits(refused("2001:db8::2"), 1h, some_day));
  EXPECT_TRUE(sample.admits(refused("2001:db8:0:1::1"), 1h, some_day));
  EXPECT_EQ(sample.take_all().at(0).from.client_ip, "2001:db8::/64");
}

TEST(RefusalSample, AGuesserDoesNotHideWhatAKeyOfTheSameAddressIsRefused) {
  refusal_sample sample({.per_window = 2});
  for (int i = 0; i < 100; ++i)
    sample.admits(refused("10.0.0.1"), 1h, some_day);
  const auto key = key_id::make();
  EXPECT_TRUE(sample.admits(refused("10.0.0.1", "FORBIDDEN", key), 1h, some_day));
  EXPECT_TRUE(sample.admits(refused("10.0.0.1", "FORBIDDEN", key), 1h, some_day));
  EXPECT_FALSE(sample.admits(refused("10.0.0.1", "NOT_FOUND", key), 1h, some_day));
  const auto told = sample.take_all();
  ASSERT_EQ(told.size(), 2U);
  const auto& of_key = told[told[0].actor ? 0 : 1];
  EXPECT_EQ(of_key.actor, key);
  EXPECT_EQ(of_key.actor_name, "ci");
  EXPECT_EQ(of_key.reason, "NOT_FOUND");
  EXPECT_EQ(of_key.detail.at("count"), "1");
}

TEST(RefusalSample, WhatIsTooMuchIsCountedTogether) {
  refusal_sample sample({.per_window = 1, .most_tracked = 2});
  for (int i = 0; i < 50; ++i)
    sample.admits(refused("10.0.0." + std::to_string(i)), 1h, some_day);
  const auto told = sample.take_all();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].from.client_ip, "");
  EXPECT_EQ(told[0].detail.at("count"), "47") << "of 48 that found no place one has a record";
  EXPECT_FALSE(sample.next_end());
}

TEST(RefusalSample, StrangersDoNotHideWhoHasAKey) {
  refusal_sample sample({.per_window = 1, .most_tracked = 2});
  for (int i = 0; i < 50; ++i)
    sample.admits(refused("10.0.0." + std::to_string(i)), 1h, some_day);
  const auto key = key_id::make();
  EXPECT_TRUE(sample.admits(refused("10.0.9.9", "FORBIDDEN", key), 1h, some_day));
  EXPECT_FALSE(sample.admits(refused("10.0.9.9", "FORBIDDEN", key), 1h, some_day));
  int told = 0;
  for (const auto& one : sample.take_all())
    told += one.actor == key && one.detail.at("count") == "1" ? 1 : 0;
  EXPECT_EQ(told, 1);
}

TEST(RefusalSample, AnAddressThatCannotBeReadHasAPlaceToo) {
  refusal_sample sample({.per_window = 1});
  EXPECT_TRUE(sample.admits(refused(""), 1h, some_day));
  EXPECT_FALSE(sample.admits(refused("?"), 1h, some_day));
  EXPECT_EQ(sample.take_all().at(0).from.client_ip, "");
}

// Whatever comes, from wherever: records and counts together are exact, for each reason and each key.
TEST(RefusalSample, LosesNoneAndCountsNoneTwice) {
  test::seeded random(20'261'128);
  const std::vector<std::optional<key_id>> actors{{}, {}, {}, key_id::make(), key_id::make(), key_id::make()};
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    refusal_sample sample({.per_window = 1 + static_cast<int>(random.below(4)),
                           .strangers_per_second = 1 + static_cast<int>(random.below(30)),
                           .most_tracked = 4 + random.below(40)}); // three keys have a place whatever strangers do
    std::map<std::pair<std::string, std::optional<key_id>>, std::int64_t> came;
    std::map<std::pair<std::string, std::optional<key_id>>, std::int64_t> told;
    const auto tell = [&](const std::vector<audit_record>& rows) {
      for (const auto& row : rows)
        told[{row.reason, row.actor}] += std::stoll(row.detail.at("count"));
    };
    auto now = refusal_sample::time(1h);
    for (int i = 0; i < 5000; ++i) {
      now += std::chrono::milliseconds(random.below(100));
      const auto reason = "R" + std::to_string(random.below(3));
      const auto actor = actors[random.below(actors.size())];
      ++came[{reason, actor}];
      if (sample.admits(refused("10.0.0." + std::to_string(random.below(60)), reason, actor), now, some_day))
        ++told[{reason, actor}];
      if (random.one_in(10))
        tell(sample.take_ended(now));
    }
    tell(sample.take_all());
    EXPECT_EQ(came, told);
  }
}

} // namespace
} // namespace rdev
