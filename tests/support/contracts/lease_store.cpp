#include "tests/support/contracts/store_contract.hpp"

#include <set>

namespace rdev::test {

using std::chrono::minutes;

namespace {

node_info another(const std::string& name = "two") {
  return {node_id::make(), name, "127.0.0.1:2", machine};
}

} // namespace

TEST_P(LeaseStore, ReclaimGivesANewTokenToEachLeaseOfThisNodeOnly) {
  const auto mine = running("a");
  const auto other = another();
  ASSERT_TRUE(value_of(leases->beat(other, minutes(1))));
  submitted("b");
  const auto theirs = value_of(commands->claim({other.id, machine, 10, 64})).at(0);
  ASSERT_TRUE(
      appended(mine, {piece(3, stream::out, 0, "abc"), piece(4, stream::err, 0, "x"), marker(5, stream::out, 3)}));
  const auto again = value_of(leases->reclaim(node.id));
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].what.id, mine.what.id);
  EXPECT_GT(again[0].token, mine.token);
  EXPECT_EQ(again[0].attempt, 2);
  EXPECT_EQ(again[0].start_intent, machine);
  EXPECT_EQ(again[0].started_at, mine.started_at);
  EXPECT_EQ(again[0].next_seq, 6U);
  EXPECT_EQ(again[0].out_bytes, 3U);
  EXPECT_EQ(again[0].err_bytes, 1U);
  EXPECT_FALSE(completed(mine));
  EXPECT_TRUE(completed(again[0]));
  EXPECT_TRUE(completed(theirs)) << "nobody touched it";
}

TEST_P(LeaseStore, AReclaimedLeaseHasItsEnvironmentAndItsCancelWish) {
  auto one = a_command();
  one.what.what.env = {{"A", secret("1")}};
  submitted(one);
  claimed();
  cancel(one.what.id, cancel_reason::timeout);
  const auto again = value_of(leases->reclaim(node.id));
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].cancel, cancel_reason::timeout);
  EXPECT_EQ(again[0].next_seq, seq_first_chunk);
  ASSERT_EQ(again[0].what.what.env.size(), 1U);
  EXPECT_EQ(again[0].what.what.env[0].value.reveal(), "1");
}

TEST_P(LeaseStore, AdoptsOnlyFromNodesThatAreGone) {
  const auto l = running();
  const auto other = another();
  ASSERT_TRUE(value_of(leases->beat(other, minutes(1))));
  EXPECT_TRUE(value_of(leases->adopt(other.id, 10)).empty()) << "the owner lives";
  ASSERT_TRUE(leases->leave(node.id));
  EXPECT_TRUE(value_of(leases->adopt(node.id, 10)).empty()) << "nobody adopts from oneself";
  const auto got = value_of(leases->adopt(other.id, 10));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].what.id, l.what.id);
  EXPECT_GT(got[0].token, l.token);
  EXPECT_EQ(got[0].attempt, 2);
  EXPECT_FALSE(completed(l));
  EXPECT_TRUE(value_of(leases->reclaim(node.id)).empty());
  EXPECT_EQ(value_of(leases->reclaim(other.id)).size(), 1U);
}

TEST_P(LeaseStore, ANodeThatDoesNotBeatExpires) {
  running();
  const auto other = another();
  ASSERT_TRUE(value_of(leases->beat(other, minutes(1))));
  ASSERT_TRUE(value_of(leases->beat(node, std::chrono::milliseconds(-1))));
  EXPECT_EQ(value_of(leases->adopt(other.id, 10)).size(), 1U);
}

TEST_P(LeaseStore, AnOwnerMayRenewItsOwnExpiredRow) {
  running();
  ASSERT_TRUE(value_of(leases->beat(node, std::chrono::milliseconds(-1))));
  ASSERT_TRUE(value_of(leases->beat(node, minutes(1))));
  const auto other = another();
  ASSERT_TRUE(value_of(leases->beat(other, minutes(1))));
  EXPECT_TRUE(value_of(leases->adopt(other.id, 10)).empty());
}

TEST_P(LeaseStore, AdoptsNoMoreThanAskedForAndEachLeaseOnce) {
  for (int i = 0; i < 5; ++i)
    submitted("p" + std::to_string(i));
  ASSERT_EQ(claimed().size(), 5U);
  ASSERT_TRUE(leases->leave(node.id));
  const auto a = another("a");
  const auto b = another("b");
  ASSERT_TRUE(value_of(leases->beat(a, minutes(1))));
  ASSERT_TRUE(value_of(leases->beat(b, minutes(1))));
  std::set<command_id> seen;
  EXPECT_EQ(value_of(leases->adopt(a.id, 2)).size(), 2U);
  EXPECT_EQ(value_of(leases->adopt(b.id, 100)).size(), 3U);
  EXPECT_TRUE(value_of(leases->adopt(a.id, 100)).empty());
}

TEST_P(LeaseStore, TellsTheCancelWishesOfOneNode) {
  const auto a = running("a");
  running("b");
  EXPECT_TRUE(value_of(leases->cancels(node.id)).empty());
  cancel(a.what.id);
  using wishes = std::vector<std::pair<command_id, cancel_reason>>;
  EXPECT_EQ(value_of(leases->cancels(node.id)), (wishes{{a.what.id, cancel_reason::user}}));
  EXPECT_TRUE(value_of(leases->cancels(node_id::make())).empty());
}

TEST_P(LeaseStore, UpkeepTouchesNothingThatIsStillNeeded) {
  const auto l = running();
  ASSERT_TRUE(appended(l, {piece(3, stream::out, 0, "abc")}));
  auto once = a_command();
  once.idempotency = idempotency{"once", digest_of(1)};
  const auto id = submitted(once);
  ASSERT_TRUE(leases->upkeep());
  ASSERT_TRUE(leases->upkeep());
  auto twin = a_command();
  twin.idempotency = once.idempotency;
  EXPECT_EQ(value_of(commands->submit({&twin, 1}))[0].id, id);
  EXPECT_EQ(joined(value_of(queries->chunks({l.what.id, std::nullopt, std::nullopt, 9})).chunks), "abc");
  EXPECT_TRUE(completed(l));
}

} // namespace rdev::test
