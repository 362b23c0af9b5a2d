#include "actors/ban_policy.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

namespace rdev {
namespace {

using namespace std::chrono_literals;
using time = ban_policy::time;

ip_network net(const std::string& text) {
  return *ip_network::parse(text);
}
const auto guesser = net("10.0.0.1/32");

// Fails so often that it is banned; how long the ban is.
time ban_of(ban_policy& p, const ip_network& who, time now) {
  for (int i = 0; i < 9; ++i)
    EXPECT_FALSE(p.failed(who, now)) << i;
  const auto ban = p.failed(who, now);
  EXPECT_TRUE(ban);
  return ban ? ban->until - now : time{};
}

TEST(BanPolicy, BansAtTheTenthFailureWithinAMinute) {
  ban_policy p{{}};
  for (int i = 0; i < 9; ++i)
    EXPECT_FALSE(p.failed(guesser, 1h + i * 1s));
  const auto ban = p.failed(guesser, 1h + 59s);
  ASSERT_TRUE(ban);
  EXPECT_EQ(ban->until, 1h + 59s + 60s);
  EXPECT_EQ(p.banned_until(guesser, 1h + 60s), ban->until);
  EXPECT_FALSE(p.banned_until(guesser, ban->until)) << "it has ended";
  EXPECT_FALSE(p.banned_until(net("10.0.0.2/32"), 1h + 60s));
}

TEST(BanPolicy, ForgetsAFailureAfterAMinute) {
  ban_policy p{{}};
  EXPECT_FALSE(p.failed(guesser, 1h));
  for (int i = 0; i < 8; ++i)
    EXPECT_FALSE(p.failed(guesser, 1h + 30s));
  EXPECT_FALSE(p.failed(guesser, 1h + 60s)) << "the first has just left the window";
  EXPECT_TRUE(p.failed(guesser, 1h + 60s));
}

TEST(BanPolicy, DoublesEachBanUpToAnHourAndBeginsAnewAfterADay) {
  ban_policy p{{}};
  auto now = time(1h);
  for (const auto expected : {1min, 2min, 4min, 8min, 16min, 32min, 60min, 60min}) {
    EXPECT_EQ(ban_of(p, guesser, now), expected);
    now += expected;
  }
  now += 24h;
  EXPECT_EQ(ban_of(p, guesser, now), 1min);
}

TEST(BanPolicy, AFailureDuringABanCountsForNothing) {
  ban_policy p{{}};
  ban_of(p, guesser, 1h);
  for (int i = 0; i < 100; ++i)
    EXPECT_FALSE(p.failed(guesser, 1h + 1s));
  EXPECT_FALSE(p.banned_until(guesser, 1h + 60s));
  EXPECT_FALSE(p.failed(guesser, 1h + 60s)) << "it begins at one again";
}

TEST(BanPolicy, KeepsToWhatItIsToldAndLiftsTheRest) {
  ban_policy p{{}};
  ban_of(p, guesser, 1h);
  const auto other = net("10.0.0.2/32");
  p.replace({{other, 2h, 3}}, 1h);
  EXPECT_TRUE(p.banned_until(guesser, 1h)) << "it began here, and nobody else knows of it yet";
  p.replace({{other, 2h, 3}, {guesser, 1h + 60s, 1}}, 1h);
  p.replace({{other, 2h, 3}}, 1h);
  EXPECT_FALSE(p.banned_until(guesser, 1h));
  EXPECT_EQ(ban_of(p, guesser, 1h), 1min) << "who was let off has no earlier bans";
  EXPECT_EQ(p.banned_until(other, 1h), 2h);
  EXPECT_EQ(ban_of(p, other, 2h), 8min) << "the fourth in a row";
}

TEST(BanPolicy, IsBoundedAndGivesUpTheBansThatStandLast) {
  ban_rules rules;
  rules.most_tracked = 100;
  ban_policy p(rules);
  for (int i = 0; i < 50; ++i)
    ban_of(p, net("10.1.0." + std::to_string(i) + "/32"), 1h);
  for (int i = 0; i < 5000; ++i) {
    p.failed(net("10.2." + std::to_string(i / 250) + "." + std::to_string(i % 250) + "/32"), 1h + 1s);
    ASSERT_LE(p.tracked(), 100U);
  }
  for (int i = 0; i < 50; ++i)
    EXPECT_TRUE(p.banned_until(net("10.1.0." + std::to_string(i) + "/32"), 1h + 1s)) << i;
}

// The rules once more, without any cleverness: all failures and bans of a network for ever.
class plain_model {
public:
  bool failed(const ip_network& who, time now) {
    auto& all = failures_[who];
    auto& bans = bans_[who];
    if (!bans.empty() && bans.back().second > now)
      return false;
    all.push_back(now);
    const auto recent = std::count_if(all.begin(), all.end(), [&](time at) { return at > now - 60s; });
    if (recent < 10)
      return false;
    const int strikes = !bans.empty() && now < bans.back().second + 24h ? bans.back().first + 1 : 1;
    bans.emplace_back(strikes, now + std::min<time>(1h, 60s * (1L << std::min(strikes - 1, 10))));
    all.clear();
    return true;
  }
  std::optional<time> banned_until(const ip_network& who, time now) {
    const auto& bans = bans_[who];
    return bans.empty() || bans.back().second <= now ? std::nullopt : std::optional(bans.back().second);
  }
  // What a restart finds in the store.
  std::vector<ban_policy::known_ban> all() {
    std::vector<ban_policy::known_ban> out;
    for (const auto& [who, bans] : bans_)
      if (!bans.empty())
        out.push_back({who, bans.back().second, bans.back().first});
    return out;
  }
  void forget_failures() {
    failures_.clear();
  }

private:
  std::map<ip_network, std::vector<time>> failures_;
  std::map<ip_network, std::vector<std::pair<int, time>>> bans_; // strikes, end
};

TEST(BanPolicy, DoesWhatThePlainModelDoesWhateverComesAndThroughRestarts) {
  for (std::uint64_t round = 0; round < 30; ++round) {
    test::seeded random(round);
    ban_policy p{{}};
    plain_model model;
    auto now = time(24h);
    int bans = 0;
    for (int i = 0; i < 3000; ++i) {
      const auto step = random.below(100);
      now += time(random.below(step < 90 ? 3000 : step < 99 ? 200'000 : 90'000'000));
      const auto who = net("10.0.0." + std::to_string(random.below(4)) + "/32");
      ASSERT_EQ(p.banned_until(who, now), model.banned_until(who, now)) << i;
      const bool banned = model.failed(who, now);
      ASSERT_EQ(p.failed(who, now).has_value(), banned) << i;
      bans += banned ? 1 : 0;
      if (random.one_in(500)) { // a restart: failures are forgotten, bans are read again
        p = ban_policy{{}};
        p.replace(model.all(), now);
        model.forget_failures();
      }
    }
    EXPECT_GT(bans, 10) << "a run that says something";
  }
}

} // namespace
} // namespace rdev
