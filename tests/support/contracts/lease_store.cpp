#include "tests/support/contracts/store_contract.hpp"

#include <algorithm>
#include <set>

namespace rdev::test {

using std::chrono::minutes;

namespace {

node_info another(const std::string& name = "two") {
  return {node_id::make(), name, "127.0.0.1:2", here};
}

} // namespace

TEST_P(LeaseStore, ReclaimGivesANewTokenToEachLeaseOfThisNodeOnly) {
  const auto mine = running("a");
  const auto other = another();
  ASSERT_TRUE(value_of(leases->beat(other, minutes(1))));
  submitted("b");
  const auto theirs = value_of(commands->claim({other.id, machine, 10, 64, here})).at(0);
  ASSERT_TRUE(
      appended(mine, {piece(3, stream::out, 0, "abc"), piece(4, stream::err, 0, "x"), marker(5, stream::out, 3)}));
  const auto again = value_of(leases->reclaim(node, {}));
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
  const auto again = value_of(leases->reclaim(node, {}));
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
  EXPECT_TRUE(value_of(leases->adopt(other, 10, minutes(1))).empty()) << "the owner lives";
  ASSERT_TRUE(leases->leave(node.id));
  EXPECT_TRUE(value_of(leases->adopt(node, 10, minutes(1))).empty()) << "nobody adopts from oneself";
  const auto got = value_of(leases->adopt(other, 10, minutes(1)));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].what.id, l.what.id);
  EXPECT_GT(got[0].token, l.token);
  EXPECT_EQ(got[0].attempt, 2);
  EXPECT_FALSE(completed(l));
  EXPECT_TRUE(value_of(leases->reclaim(node, {})).empty());
  EXPECT_EQ(value_of(leases->reclaim(other, {})).size(), 1U);
}

TEST_P(LeaseStore, ANodeThatDoesNotBeatExpires) {
  running();
  const auto other = another();
  ASSERT_TRUE(value_of(leases->beat(other, minutes(1))));
  ASSERT_TRUE(value_of(leases->beat(node, std::chrono::milliseconds(-1))));
  EXPECT_EQ(value_of(leases->adopt(other, 10, minutes(1))).size(), 1U);
}

TEST_P(LeaseStore, AnOwnerMayRenewItsOwnExpiredRow) {
  running();
  ASSERT_TRUE(value_of(leases->beat(node, std::chrono::milliseconds(-1))));
  EXPECT_FALSE(value_of(leases->beat(node, minutes(1)))) << "it is told that it was late";
  EXPECT_TRUE(value_of(leases->beat(node, minutes(1))));
  const auto other = another();
  ASSERT_TRUE(value_of(leases->beat(other, minutes(1))));
  EXPECT_TRUE(value_of(leases->adopt(other, 10, minutes(1))).empty());
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
  EXPECT_EQ(value_of(leases->adopt(a, 2, minutes(1))).size(), 2U);
  EXPECT_EQ(value_of(leases->adopt(b, 100, minutes(1))).size(), 3U);
  EXPECT_TRUE(value_of(leases->adopt(a, 100, minutes(1))).empty());
}

TEST_P(LeaseStore, TellsWhatANodeHoldsAndWhatOfItIsToBeCancelled) {
  const auto a = running("a");
  const auto b = running("b");
  cancel(a.what.id);
  auto held = value_of(leases->held(node));
  ASSERT_EQ(held.size(), 2U);
  if (held[0].command != a.what.id)
    std::swap(held[0], held[1]);
  EXPECT_EQ(held[0].command, a.what.id);
  EXPECT_EQ(held[0].cancel, cancel_reason::user);
  EXPECT_EQ(held[1].command, b.what.id);
  EXPECT_FALSE(held[1].cancel);
  EXPECT_TRUE(value_of(leases->held(another())).empty());
}

TEST_P(LeaseStore, ReclaimsOnlyWhatIsNamed) {
  const auto a = running("a");
  const auto b = running("b");
  const std::vector<command_id> only{a.what.id};
  const auto got = value_of(leases->reclaim(node, only));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].what.id, a.what.id);
  EXPECT_TRUE(completed(b)) << "its token is as it was";
  EXPECT_TRUE(value_of(leases->reclaim(another(), only)).empty()) << "it is somebody else's";
}

TEST_P(LeaseStore, SaysWhetherATokenStillStands) {
  const auto l = running();
  EXPECT_TRUE(value_of(leases->holds(l.what.id, l.token)));
  EXPECT_FALSE(value_of(leases->holds(l.what.id, l.token + 1000)));
  const auto again = value_of(leases->reclaim(node, {})).at(0);
  EXPECT_FALSE(value_of(leases->holds(l.what.id, l.token)));
  ASSERT_TRUE(completed(again));
  EXPECT_FALSE(value_of(leases->holds(again.what.id, again.token)));
}

TEST_P(LeaseStore, CommandsOfAnotherRunnerAreAdoptedOnlyAfterItsPatience) {
  const auto l = running();
  auto stranger = another();
  stranger.runner_scope = "scope-2";
  ASSERT_TRUE(value_of(leases->beat(stranger, minutes(1))));
  ASSERT_TRUE(leases->leave(node.id));
  EXPECT_TRUE(value_of(leases->adopt(stranger, 10, minutes(1))).empty()) << "its own nodes may come back";
  const auto got = value_of(leases->adopt(stranger, 10, std::chrono::milliseconds(0)));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].what.id, l.what.id);
  EXPECT_EQ(got[0].scope, here) << "so that it knows that it cannot attach to it";
}

TEST_P(LeaseStore, WhoHasJustComeBackDoesNotJudgeOthers) {
  running();
  auto stranger = another();
  stranger.runner_scope = "scope-2";
  // An outage of the database: both rows expire; the stranger is the first to be back.
  ASSERT_TRUE(value_of(leases->beat(stranger, std::chrono::milliseconds(-1))));
  ASSERT_TRUE(value_of(leases->beat(node, -minutes(5))));
  EXPECT_FALSE(value_of(leases->beat(stranger, minutes(1))));
  EXPECT_TRUE(value_of(leases->adopt(stranger, 10, minutes(1))).empty());
}

TEST_P(LeaseStore, CommandsOfANodeThatHasAnotherRunnerNowAreForItsFormerNeighbours) {
  const auto l = running();
  auto moved = node;
  moved.runner_scope = "scope-2";
  ASSERT_TRUE(value_of(leases->beat(moved, minutes(1))));
  EXPECT_TRUE(value_of(leases->reclaim(moved, {})).empty());
  EXPECT_TRUE(value_of(leases->held(moved)).empty());
  EXPECT_TRUE(value_of(leases->adopt(moved, 10, minutes(1))).empty()) << "not before its patience";
  const auto neighbour = another();
  ASSERT_TRUE(value_of(leases->beat(neighbour, minutes(1))));
  const auto got = value_of(leases->adopt(neighbour, 10, minutes(1)));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].what.id, l.what.id);
}

TEST_P(LeaseStore, ANodeThatMovedEndsItsFormerCommandsItselfWhenNobodyElseDoes) {
  const auto l = running();
  auto moved = node;
  moved.runner_scope = "scope-2";
  ASSERT_TRUE(value_of(leases->beat(moved, minutes(1))));
  const auto got = value_of(leases->adopt(moved, 10, std::chrono::milliseconds(0)));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].what.id, l.what.id);
  EXPECT_EQ(got[0].scope, here);
}

TEST_P(LeaseStore, ANodeThatDoesNotCountAsAliveGetsNothing) {
  running("a");
  submitted("b");
  ASSERT_TRUE(leases->leave(node.id));
  EXPECT_TRUE(claimed().empty());
  const auto late = another();
  EXPECT_TRUE(value_of(leases->adopt(late, 10, minutes(1))).empty()) << "it has never been heard of";
  ASSERT_TRUE(value_of(leases->beat(late, std::chrono::milliseconds(-1))));
  EXPECT_TRUE(value_of(leases->adopt(late, 10, minutes(1))).empty());
  ASSERT_FALSE(value_of(leases->beat(node, minutes(1))));
  EXPECT_EQ(claimed().size(), 1U);
}

TEST_P(LeaseStore, ATakenOverLeaseSaysThatTheCapWasReached) {
  const auto l = running();
  ASSERT_TRUE(appended(l, {piece(3, stream::out, 0, "abc")}));
  const auto second = value_of(leases->reclaim(node, {})).at(0);
  EXPECT_FALSE(second.capped);
  ASSERT_TRUE(appended(second, {marker(4, stream::out, 3)}));
  EXPECT_TRUE(value_of(leases->reclaim(node, {})).at(0).capped);
}

TEST_P(LeaseStore, NamesTheCommandsThatAreOver) {
  const auto ended = running("a");
  const auto live = running("b");
  const auto queued = submitted("c");
  const auto cancelled = submitted("d");
  cancel(cancelled);
  ASSERT_TRUE(completed(ended));
  const std::vector<command_id> all{ended.what.id, live.what.id, queued, cancelled, command_id::make()};
  auto over = value_of(leases->over(all));
  std::sort(over.begin(), over.end());
  std::vector<command_id> expected{ended.what.id, cancelled};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(over, expected);
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
