#include "actors/leases.hpp"

#include "adapters/memory/memory_runner.hpp"
#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

#include <algorithm>

namespace rdev::leases {
namespace {

using namespace std::chrono_literals;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Leases : public test::actor_house {
protected:
  Leases() {
    key = test::a_key();
    world->put_key(key);
    world->set_clock([this] { return start_of_time + (now_here() - began); });
    settings.self = {node_id::make(), "here", "", ""};
    meet_runner();
  }

  // The database's clock follows virtual time.
  std::chrono::microseconds now_here() {
    return std::chrono::duration_cast<std::chrono::microseconds>(scheduler.clock().current_time.time_since_epoch());
  }
  void meet_runner() {
    play<runner::actor>(
        [this](runner::run& what) {
          ++hand_overs;
          for (auto& one : what.leases)
            handed.push_back(std::move(one));
          return runner::running{static_cast<int>(handed.size())};
        },
        [this](const runner::check& what) {
          runner::checked out{{}, strays};
          for (const auto& id : what.held)
            if (std::none_of(handed.begin(), handed.end(), [&](const auto& one) { return one.what.id == id; }))
              out.missing.push_back(id);
          return out;
        },
        [this](const runner::stop& what) { stops.push_back(what); },
        [this](const runner::drop& what) { dropped.push_back(what.commands); }, [](runner::abandon) {});
  }
  void start() {
    leases = open(behavior, around(), settings, memory::make_lease_store(world), processes);
    run();
  }
  // Only the living may claim: another node dies behind that.
  lease a_command_of(const node_id& node, std::chrono::milliseconds dies_after = -1ms) {
    world->put_node(node);
    new_command one{
        {command_id::make(), key.id, key.family, test::a_script(), {}}, test::a_request(), "sample", {}, {}};
    EXPECT_TRUE(commands->submit({&one, 1}));
    auto claimed = commands->claim({node, "boot-1", 1, 64, {}})->at(0);
    if (node != settings.self.id) {
      EXPECT_TRUE(memory::make_lease_store(world)->beat({node, "there", "", ""}, dies_after));
    }
    return claimed;
  }

  const timestamp start_of_time = now_utc();
  const std::chrono::microseconds began = now_here();
  std::shared_ptr<memory::world> world = memory::make_world();
  std::shared_ptr<command_store> commands = memory::make_command_store(world);
  std::shared_ptr<memory::runner> processes = std::make_shared<memory::runner>();
  api_key key;
  config settings;
  actor leases;
  int hand_overs = 0;
  std::vector<command_id> strays; // that RUNNER names
  std::vector<std::vector<command_id>> dropped;
  std::vector<lease> handed;
  std::vector<runner::stop> stops;
};

TEST_F(Leases, BeatsAtEveryInterval) {
  start();
  EXPECT_THAT(world->calls("leases.beat"), SizeIs(1));
  advance(5s);
  EXPECT_THAT(world->calls("leases.beat"), SizeIs(11));
}

TEST_F(Leases, ReclaimsItsOwnCommandsOnceAfterAStart) {
  const auto before = a_command_of(settings.self.id);
  start();
  ASSERT_THAT(handed, SizeIs(1));
  EXPECT_EQ(handed[0].what.id, before.what.id);
  EXPECT_GT(handed[0].token, before.token);
  EXPECT_EQ(handed[0].attempt, 2);
  advance(5s);
  EXPECT_THAT(world->calls("leases.reclaim"), SizeIs(1));
}

TEST_F(Leases, SaysWhenTheRunnerHasWhatThisNodeRanBefore) {
  a_command_of(settings.self.id);
  world->unreachable(true);
  start();
  const auto waiting = ask<settled>(leases, settle{});
  EXPECT_TRUE(waiting.open());
  world->unreachable(false);
  advance(600ms);
  EXPECT_THAT(handed, SizeIs(1));
  EXPECT_FALSE(waiting.open());
  EXPECT_FALSE(ask<settled>(leases, settle{}).open()) << "it stays so";
}

TEST_F(Leases, ReclaimsAgainWhenTheRunnerHasRestarted) {
  const auto before = a_command_of(settings.self.id);
  start();
  tell(leases, reclaim{});
  ASSERT_THAT(handed, SizeIs(2));
  EXPECT_EQ(handed[1].what.id, before.what.id);
  EXPECT_GT(handed[1].token, handed[0].token);
}

TEST_F(Leases, HandsOverNothingTooSoThatTheRunnerReportsItsLoad) {
  start();
  EXPECT_EQ(hand_overs, 1);
  tell(leases, reclaim{});
  EXPECT_EQ(hand_overs, 2);
  advance(5s); // scans that find nothing hand nothing over
  EXPECT_EQ(hand_overs, 2);
}

TEST_F(Leases, ReclaimsAtTheNextBeatWhatItCouldNotHandOver) {
  const auto before = a_command_of(settings.self.id);
  kill(peers.get<runner::actor>());
  start();
  EXPECT_THAT(handed, IsEmpty());
  meet_runner();
  advance(600ms);
  ASSERT_THAT(handed, SizeIs(1));
  EXPECT_EQ(handed[0].what.id, before.what.id);
}

TEST_F(Leases, ReclaimsNothingBeforeItsRowIsInTheStore) {
  a_command_of(settings.self.id);
  world->unreachable(true);
  start();
  tell(leases, reclaim{});
  EXPECT_THAT(world->calls("leases.reclaim"), IsEmpty());
  world->unreachable(false);
  advance(600ms);
  EXPECT_THAT(handed, SizeIs(1));
}

TEST_F(Leases, AdoptsCommandsOfANodeOnlyAfterItsLeaseHasPassed) {
  const auto orphan = a_command_of(node_id::make(), 2s);
  start();
  advance(1900ms);
  EXPECT_THAT(handed, IsEmpty());
  advance(700ms);
  ASSERT_THAT(handed, SizeIs(1));
  EXPECT_EQ(handed[0].what.id, orphan.what.id);
  EXPECT_GT(handed[0].token, orphan.token);
  EXPECT_EQ(world->leases().at(0).node, settings.self.id);
}

TEST_F(Leases, AdoptsNoMoreAtOnceThanItMay) {
  settings.adopt_at_once = 2;
  const auto gone = node_id::make();
  for (int i = 0; i < 5; ++i)
    a_command_of(gone);
  start();
  EXPECT_THAT(handed, IsEmpty()) << "its second heartbeat is still to come";
  advance(600ms);
  EXPECT_THAT(handed, SizeIs(2));
  advance(1s);
  EXPECT_THAT(handed, SizeIs(5));
}

TEST_F(Leases, RepeatsWishesToCancelUntilTheCommandEnds) {
  const auto mine = a_command_of(settings.self.id);
  a_command_of(node_id::make(), 3600s);
  start();
  advance(1s);
  EXPECT_THAT(stops, IsEmpty());
  ASSERT_TRUE(commands->cancel({mine.what.id, cancel_reason::timeout, {}, "system", {}}));
  advance(1s);
  ASSERT_THAT(stops, SizeIs(2));
  EXPECT_EQ(stops[0].command, mine.what.id);
  EXPECT_EQ(stops[0].reason, cancel_reason::timeout);
}

TEST_F(Leases, KeepsWhatNobodyTookWhenItWasTakenForDead) {
  a_command_of(settings.self.id);
  start();
  ASSERT_THAT(handed, SizeIs(1));
  world->expire(settings.self.id);
  advance(3s);
  EXPECT_THAT(dropped, IsEmpty());
  EXPECT_THAT(handed, SizeIs(1));
  EXPECT_THAT(world->calls("leases.reclaim"), SizeIs(1));
}

TEST_F(Leases, JudgesNobodyAfterItWasLateItself) {
  start();
  world->expire(settings.self.id);
  const auto orphan = a_command_of(node_id::make());
  advance(990ms);
  EXPECT_THAT(handed, IsEmpty()) << "the other one may just be as late";
  advance(600ms);
  ASSERT_THAT(handed, SizeIs(1));
  EXPECT_EQ(handed[0].what.id, orphan.what.id);
}

TEST_F(Leases, HasLetGoOfWhatItDoesNotHoldAtTwoLooks) {
  const auto others = command_id::make();
  const auto ends = command_id::make();
  start();
  strays = {others, ends};
  advance(510ms);
  EXPECT_THAT(dropped, IsEmpty()) << "it may have just ended";
  strays = {others};
  advance(510ms);
  ASSERT_THAT(dropped, SizeIs(1));
  EXPECT_EQ(dropped[0], std::vector{others});
}

TEST_F(Leases, HandsOverWhatItHoldsAndTheRunnerHasNotHeardOf) {
  start();
  const auto unheard = a_command_of(settings.self.id); // as when the answer of a claim is lost
  advance(600ms);
  EXPECT_THAT(handed, IsEmpty()) << "it may be on its way";
  advance(600ms);
  ASSERT_THAT(handed, SizeIs(1));
  EXPECT_EQ(handed[0].what.id, unheard.what.id);
  EXPECT_GT(handed[0].token, unheard.token);
  advance(3s);
  EXPECT_THAT(handed, SizeIs(1));
}

TEST_F(Leases, GivesUpCommandsOfAnotherRunnerOnlyAfterItsPatience) {
  settings.self.runner_scope = "somewhere else";
  settings.foreign_after = 60s;
  const auto orphan = a_command_of(node_id::make());
  start();
  advance(59s);
  EXPECT_THAT(handed, IsEmpty());
  advance(2s);
  ASSERT_FALSE(handed.empty()) << "and again with every look, until it has ended";
  EXPECT_EQ(handed[0].what.id, orphan.what.id);
}

TEST_F(Leases, SaysWhetherALeaseStands) {
  start();
  const auto mine = a_command_of(settings.self.id);
  EXPECT_TRUE(ask<confirmed>(leases, confirm{mine.what.id, mine.token}).reply().stands);
  EXPECT_FALSE(ask<confirmed>(leases, confirm{mine.what.id, mine.token + 1}).reply().stands);
}

TEST_F(Leases, SweepsWhatIsKeptOfCommandsThatAreOver) {
  const auto over = a_command_of(settings.self.id);
  const auto live = a_command_of(settings.self.id);
  const auto runs_on = a_command_of(settings.self.id);
  for (const auto& one : {over, live, runs_on}) {
    launch order;
    order.id = one.what.id;
    ASSERT_TRUE(processes->start(order));
  }
  processes->exits(over.what.id, 0);
  for (const auto& one : {over, runs_on}) { // the second was given up by others
    completion end{one.what.id, one.token, {}, {}};
    ASSERT_TRUE(commands->complete({&end, 1})->at(0));
  }
  start();
  EXPECT_TRUE(processes->forgotten(over.what.id));
  EXPECT_THAT(processes->cancels(runs_on.what.id), SizeIs(1));
  EXPECT_FALSE(processes->forgotten(runs_on.what.id));
  advance(61s);
  EXPECT_TRUE(processes->forgotten(runs_on.what.id));
  EXPECT_FALSE(processes->forgotten(live.what.id));
  EXPECT_THAT(processes->cancels(live.what.id), IsEmpty());
}

TEST_F(Leases, BeatsOnWhileTheStoreIsAway) {
  start();
  world->unreachable(true);
  advance(3s);
  EXPECT_GT(counts.count("fault_seen leases"), 5);
  EXPECT_THAT(dropped, IsEmpty());
  world->unreachable(false);
  const auto orphan = a_command_of(node_id::make());
  advance(2s);
  ASSERT_THAT(handed, SizeIs(1));
  EXPECT_EQ(handed[0].what.id, orphan.what.id);
}

TEST_F(Leases, GivesItsRowBackWhenItLeavesAndBeatsNoMore) {
  start();
  const auto mine = a_command_of(settings.self.id);
  ask<left>(leases, leave{}).reply();
  const auto beats = world->calls("leases.beat").size();
  advance(5s);
  EXPECT_THAT(world->calls("leases.beat"), SizeIs(beats));
  const node_info other{node_id::make(), "there", "", ""};
  world->put_node(other.id);
  auto taken = memory::make_lease_store(world)->adopt(other, 10, 1h);
  ASSERT_THAT(*taken, SizeIs(1));
  EXPECT_EQ(taken->at(0).what.id, mine.what.id);
}

TEST_F(Leases, RepeatsUpkeepSoonerAfterAFault) {
  start();
  EXPECT_THAT(world->calls("leases.upkeep"), SizeIs(1));
  advance(60s);
  EXPECT_THAT(world->calls("leases.upkeep"), SizeIs(1));
  world->fail_next_of("leases.upkeep", fault::unavailable);
  settings.upkeep = 20s;
  kill(leases);
  start();
  EXPECT_THAT(world->calls("leases.upkeep"), SizeIs(2));
  advance(11s);
  EXPECT_THAT(world->calls("leases.upkeep"), SizeIs(3));
}

} // namespace
} // namespace rdev::leases
