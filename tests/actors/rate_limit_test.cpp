#include "actors/rate_limit.hpp"

#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"
#include "tests/values/seeded.hpp"

#include <algorithm>
#include <map>

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

  bool admits(const key_id& who, std::optional<int> quota = {}) {
    return !count_one(who, quota).refused_by;
  }
  metered from(const std::string& address) {
    auto context = test::a_request();
    context.client_ip = address;
    return ask<metered>(limit, meter{context, std::nullopt, std::nullopt}).reply();
  }
  bool admits_from(const std::string& address) {
    return !from(address).refused_by;
  }

  config settings;
  actor limit;
  const key_id key = key_id::make();
};

TEST_F(RateLimit, AdmitsUpToTheQuotaAndSaysHowManyAreLeft) {
  settings.key.quota = 3;
  start();
  for (int left = 2; left >= 0; --left) {
    const auto now = count_one(key);
    EXPECT_FALSE(now.refused_by);
    EXPECT_EQ(now.state.quota, 3);
    EXPECT_EQ(now.state.remaining, left);
  }
  const auto refused = count_one(key);
  EXPECT_EQ(refused.refused_by, rule::key);
  EXPECT_EQ(refused.state.resets_in, 1000ms);
  EXPECT_EQ(counts.count("rate_limited key"), 1);
}

TEST_F(RateLimit, SlidesInsteadOfStartingAnew) {
  settings.key.quota = 2;
  start();
  EXPECT_TRUE(admits(key));
  advance(600ms);
  EXPECT_TRUE(admits(key));
  EXPECT_EQ(count_one(key).state.resets_in, 400ms);
  advance(400ms);
  EXPECT_TRUE(admits(key));
  EXPECT_FALSE(admits(key));
}

TEST_F(RateLimit, DoesNotCountWhatItRefused) {
  settings.key.quota = 1;
  start();
  EXPECT_TRUE(admits(key));
  for (int i = 0; i < 9; ++i) {
    advance(100ms);
    EXPECT_FALSE(admits(key));
  }
  advance(100ms);
  EXPECT_TRUE(admits(key));
}

TEST_F(RateLimit, PrefersTheQuotaOfTheKey) {
  settings.key.quota = 1;
  start();
  EXPECT_TRUE(admits(key, 2));
  EXPECT_TRUE(admits(key, 2));
  EXPECT_FALSE(admits(key, 2));
}

TEST_F(RateLimit, KeepsKeysApart) {
  settings.key.quota = 1;
  start();
  EXPECT_TRUE(admits(key));
  EXPECT_TRUE(admits(key_id::make()));
  EXPECT_FALSE(admits(key));
}

TEST_F(RateLimit, IsOffWithAQuotaOfZero) {
  settings.key.quota = 0;
  start();
  for (int i = 0; i < 100; ++i) {
    const auto now = count_one(key);
    ASSERT_FALSE(now.refused_by);
    ASSERT_EQ(now.state.quota, 0);
  }
}

TEST_F(RateLimit, ThrowsWindowsOfSilentKeysAway) {
  settings.key.quota = 5;
  const auto made = system.spawn(behavior, around(), settings);
  const auto& state = caf::actor_cast<self_actor::stateful_pointer<rate_limit::state>>(made)->state;
  limit = made;
  count_one(key);
  count_one(key_id::make());
  advance(4900ms);
  count_one(key);
  advance(200ms);
  EXPECT_EQ(state.keys.size(), 1U);
  advance(5s);
  EXPECT_EQ(state.keys.size(), 0U);
  kill(limit);
}

// ---- who has no good key

TEST_F(RateLimit, CountsAnAddressAndASixtyFourAsOneClient) {
  settings.address.quota = 2;
  start();
  EXPECT_TRUE(admits_from("10.0.0.1"));
  EXPECT_TRUE(admits_from("10.0.0.1"));
  EXPECT_EQ(from("10.0.0.1").refused_by, rule::address);
  EXPECT_TRUE(admits_from("10.0.0.2"));
  EXPECT_TRUE(admits_from("2001:db8::1"));
  EXPECT_TRUE(admits_from("2001:db8::2"));
  EXPECT_EQ(from("2001:db8::ffff:3").refused_by, rule::address);
  EXPECT_TRUE(admits_from("2001:db8:0:1::1"));
  EXPECT_EQ(counts.count("rate_limited address"), 2);
  EXPECT_TRUE(admits(key)) << "a key does not count for an address";
}

TEST_F(RateLimit, IsBoundedHoweverManyAddressesAreInvented) {
  settings.address.quota = 3;
  settings.most_addresses = 10;
  const auto made = system.spawn(behavior, around(), settings);
  const auto& state = caf::actor_cast<self_actor::stateful_pointer<rate_limit::state>>(made)->state;
  limit = made;
  int admitted = 0;
  for (int i = 0; i < 200; ++i)
    admitted += admits_from("10.0.0." + std::to_string(i)) ? 1 : 0;
  EXPECT_EQ(state.addresses.size(), 10U);
  EXPECT_EQ(admitted, 10 + 3) << "those that came too late share one window";
  EXPECT_TRUE(admits_from("10.0.0.1")) << "those that came in time keep theirs";
  advance(6s);
  EXPECT_EQ(state.addresses.size(), 0U);
  kill(limit);
}

TEST_F(RateLimit, CountsWhatCannotBeReadAsAnAddressTogether) {
  settings.address.quota = 1;
  start();
  EXPECT_TRUE(admits_from("nonsense"));
  EXPECT_FALSE(admits_from("other nonsense"));
}

// ---- all together

TEST_F(RateLimit, LimitsAllTogetherAndCountsNoneThatItRefuses) {
  settings.all.quota = 3;
  settings.key.quota = 2;
  start();
  EXPECT_TRUE(admits(key));
  EXPECT_TRUE(admits(key));
  EXPECT_EQ(count_one(key).refused_by, rule::key) << "its own limit is named first";
  EXPECT_TRUE(admits_from("10.0.0.1"));
  const auto other = key_id::make();
  const auto refused = count_one(other);
  EXPECT_EQ(refused.refused_by, rule::global);
  EXPECT_EQ(refused.state.quota, 3);
  EXPECT_EQ(refused.state.remaining, 0);
  advance(1s);
  EXPECT_EQ(count_one(other).state.remaining, 1) << "the refused one does not count for the key";
  EXPECT_EQ(counts.count("rate_limited global"), 1);
}

TEST_F(RateLimit, OnlyCountsWhatALimitInShadowWouldRefuse) {
  settings.key = {1, true};
  settings.address = {1, true};
  settings.all = {1, true};
  start();
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(admits(key));
    EXPECT_TRUE(admits_from("10.0.0.1"));
  }
  EXPECT_EQ(counts.count("would_limit key"), 4);
  EXPECT_EQ(counts.count("would_limit address"), 4);
  EXPECT_EQ(counts.count("would_limit global"), 9);
  EXPECT_EQ(counts.count("rate_limited key"), 0);
}

// Every second that ends with an admitted request, counted again from the list of all that were admitted.
class plain_count {
public:
  bool fits(const std::string& who, caf::actor_clock::time_point now, std::size_t quota) {
    const auto& all = admitted_[who];
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](auto at) { return at > now - 1s; })) <
           quota;
  }
  void count(const std::string& who, caf::actor_clock::time_point now) {
    admitted_[who].push_back(now);
  }

private:
  std::map<std::string, std::vector<caf::actor_clock::time_point>> admitted_;
};

TEST_F(RateLimit, AdmitsExactlyWhatAPlainCountDoesForRandomClientsAndClocks) {
  test::seeded random(6);
  settings.key.quota = 7;
  settings.address.quota = 3;
  settings.all.quota = 25;
  start();
  plain_count model;
  std::vector<key_id> keys;
  for (int i = 0; i < 5; ++i)
    keys.push_back(key_id::make());
  int admitted = 0;
  int refused = 0;
  for (int i = 0; i < 4000; ++i) {
    if (random.one_in(4))
      advance(std::chrono::milliseconds(10 * random.below(random.one_in(20) ? 200 : 12)));
    const bool by_key = random.below(2) == 0;
    const auto n = random.below(5);
    const auto who = (by_key ? "key " : "10.0.0.") + std::to_string(n);
    const auto now = scheduler.clock().now();
    const bool own_fits = model.fits(who, now, by_key ? 7 : 3);
    const bool all_fit = model.fits("all", now, 25);
    const auto answered = by_key ? count_one(keys[n]) : from(who);
    const auto expected = !own_fits  ? std::optional(by_key ? rule::key : rule::address)
                          : !all_fit ? std::optional(rule::global)
                                     : std::nullopt;
    ASSERT_EQ(answered.refused_by, expected) << i;
    if (expected) {
      ++refused;
      continue;
    }
    ++admitted;
    model.count(who, now);
    model.count("all", now);
  }
  EXPECT_GT(admitted, 500);
  EXPECT_GT(refused, 500);
}

} // namespace
} // namespace rdev::rate_limit
