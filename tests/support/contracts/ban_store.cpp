#include "tests/support/contracts/store_contract.hpp"

#include <algorithm>
#include <array>

namespace rdev::test {

using namespace std::chrono_literals;

namespace {

ip_network net(const std::string& text) {
  return *ip_network::parse(text);
}

} // namespace

ban StoreContract::imposed(const ip_network& network, std::chrono::milliseconds length, int strikes) {
  (void)value_of(bans->impose(std::array{new_ban{network, length, strikes, 10}}));
  for (const auto& one : value_of(bans->all(std::chrono::milliseconds(0))))
    if (one.network == network)
      return one;
  ADD_FAILURE() << "it is not there";
  return {};
}

TEST_P(BanStore, SaysWhichOfManyAreNew) {
  EXPECT_EQ(value_of(bans->impose(
                         std::array{new_ban{net("10.0.0.1/32"), 60s, 1, 10}, new_ban{net("10.0.0.2/32"), 60s, 1, 10}}))
                .size(),
            2U);
  const auto fresh = value_of(
      bans->impose(std::array{new_ban{net("10.0.0.2/32"), 60s, 1, 10}, new_ban{net("10.0.0.3/32"), 60s, 1, 10}}));
  ASSERT_EQ(fresh.size(), 1U);
  EXPECT_EQ(fresh[0].network.text(), "10.0.0.3/32");
}

TEST_P(BanStore, KeepsEveryPartOfABan) {
  for (const std::string text : {"10.0.0.1/32", "2001:db8:1:2::/64"}) {
    const auto made = imposed(net(text), 60s, 3);
    EXPECT_EQ(made.network.text(), text);
    EXPECT_EQ(made.strikes, 3);
    EXPECT_EQ(made.until - made.since, 60s);
    EXPECT_GT(made.left, 0s);
    EXPECT_LE(made.left, 60s);
  }
  EXPECT_EQ(value_of(bans->all(0s)).size(), 2U);
}

TEST_P(BanStore, ABanThatIsImposedAgainIsTheSameAndTheLongerCounts) {
  const auto first = imposed(net("10.0.0.1/32"), 3600s, 4);
  const auto again = imposed(net("10.0.0.1/32"), 60s, 1);
  EXPECT_EQ(again.id, first.id);
  EXPECT_EQ(again.until, first.until);
  EXPECT_EQ(again.strikes, 4);
}

TEST_P(BanStore, ABanAfterOneThatHasEndedIsANewOne) {
  const auto first = imposed(net("10.0.0.1/32"), 60s, 4);
  ASSERT_TRUE(value_of(bans->lift(first.id, writer())));
  const auto next = imposed(net("10.0.0.1/32"), 60s, 1);
  EXPECT_NE(next.id, first.id);
  EXPECT_EQ(next.strikes, 1);
}

TEST_P(BanStore, RemembersABanThatHasEndedForAWhile) {
  const auto one = imposed(net("10.0.0.1/32"), 60s, 2);
  ASSERT_TRUE(value_of(bans->lift(one.id, writer())));
  EXPECT_TRUE(value_of(bans->all(0s)).empty());
  const auto kept = value_of(bans->all(3600s));
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_LE(kept[0].left, 0s);
  EXPECT_EQ(kept[0].strikes, 0);
}

TEST_P(BanStore, EveryChangeIsANewVersion) {
  const auto before = value_of(bans->version());
  const auto one = imposed(net("10.0.0.1/32"), 60s, 1);
  const auto imposed = value_of(bans->version());
  EXPECT_GT(imposed, before);
  ASSERT_TRUE(value_of(bans->lift(one.id, writer())));
  const auto lifted = value_of(bans->version());
  EXPECT_GT(lifted, imposed);
  EXPECT_FALSE(value_of(bans->lift(one.id, writer()))) << "it has ended";
  EXPECT_FALSE(value_of(bans->lift(ban_id::make(), writer())));
  EXPECT_EQ(value_of(bans->version()), lifted);
}

TEST_P(BanStore, ListsNewestFirstPageByPage) {
  std::vector<ban_id> ids;
  for (int i = 0; i < 5; ++i)
    ids.push_back(imposed(net("10.0.0." + std::to_string(i) + "/32"), 60s, 1).id);
  std::reverse(ids.begin(), ids.end());
  std::vector<ban_id> got;
  page_request at{std::nullopt, 2};
  do {
    const auto p = value_of(bans->list(at));
    for (const auto& b : p.items)
      got.push_back(b.id);
    at.cursor = p.next_cursor;
  } while (at.cursor && got.size() < 20);
  EXPECT_EQ(got, ids);
}

TEST_P(BanStore, ARevokedWriterLiftsNothing) {
  const auto one = imposed(net("10.0.0.1/32"), 60s, 1);
  auto late = writer();
  late.by = key.id;
  revoke(key.id);
  const auto lifted = bans->lift(one.id, late);
  ASSERT_FALSE(lifted);
  EXPECT_EQ(lifted.error().code, fault::key_changed);
  EXPECT_EQ(value_of(bans->all(0s)).size(), 1U);
}

} // namespace rdev::test
