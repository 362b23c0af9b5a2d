// How one command ends, and how it is ended.
#include "tests/support/execution_house.hpp"

#include <csignal>
#include <gmock/gmock.h>

namespace rdev::execution {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using ExecutionEnd = test::execution_house;

TEST_F(ExecutionEnd, IsCompletedWithExitCodeZeroAndFailedWithAnyOther) {
  for (const int code : {0, 1, 126, 127, 137}) {
    execute(claimed());
    processes->exits(id, code);
    run();
    EXPECT_EQ(result().status, code == 0 ? command_status::completed : command_status::failed);
    EXPECT_EQ(result().exit_code, code);
    EXPECT_FALSE(result().signal);
    EXPECT_TRUE(result().complete);
    EXPECT_EQ(result().out.sha256, to_hex(sha256("")));
    EXPECT_TRUE(processes->forgotten(id));
    EXPECT_FALSE(alive());
  }
  EXPECT_EQ(counts.count("command_ended completed"), 1);
  EXPECT_EQ(counts.count("command_ended failed"), 4);
}

TEST_F(ExecutionEnd, NamesTheSignal) {
  execute(claimed());
  processes->dies_of(id, SIGSEGV);
  run();
  EXPECT_EQ(result().status, command_status::failed);
  EXPECT_EQ(result().exit_code, 128 + SIGSEGV);
  EXPECT_EQ(result().signal, "SIGSEGV");
}

TEST_F(ExecutionEnd, IsLostWhenTheProcessIsGoneWithoutAStatusAndKeepsItsOutput) {
  execute(claimed());
  processes->prints(id, stream::out, "so far");
  processes->vanishes(id, "the machine was restarted");
  run();
  EXPECT_EQ(result().status, command_status::lost);
  EXPECT_EQ(result().reason, "the machine was restarted");
  EXPECT_FALSE(result().exit_code);
  EXPECT_FALSE(result().complete);
  EXPECT_EQ(out(), "so far");
}

TEST_F(ExecutionEnd, IsLostWhenTheRunFolderIsDeletedMeanwhile) {
  execute(claimed());
  prints("one\n");
  processes->lose_run_folder(id);
  tell(one, changed{});
  EXPECT_EQ(result().status, command_status::lost);
  EXPECT_EQ(result().out.bytes, 4U);
}

TEST_F(ExecutionEnd, IsNotCompleteWhenOutputIsMissing) {
  execute(claimed());
  processes->disk_is_full(id);
  processes->exits(id, 0);
  run();
  EXPECT_EQ(result().status, command_status::completed);
  EXPECT_FALSE(result().complete);
  EXPECT_TRUE(result().reason);
}

TEST_F(ExecutionEnd, IsCancelledByAStop) {
  execute(claimed());
  tell(one, stop{cancel_reason::user});
  EXPECT_THAT(processes->cancels(id), ElementsAre(settings.kill_grace));
  EXPECT_EQ(result().status, command_status::cancelled);
  EXPECT_EQ(result().exit_code, 128 + SIGTERM);
  EXPECT_EQ(result().signal, "SIGTERM");
}

TEST_F(ExecutionEnd, CountsTheSurvivorsOfACancel) {
  execute(claimed());
  processes->ends_on_cancel(id, 128 + SIGKILL, SIGKILL, 2);
  tell(one, stop{cancel_reason::user});
  EXPECT_EQ(result().survivors, 2);
  EXPECT_EQ(result().signal, "SIGKILL");
}

TEST_F(ExecutionEnd, GoesOnReadingUntilACancelledCommandHasEnded) {
  execute(claimed());
  processes->resists_cancel(id);
  tell(one, stop{cancel_reason::user});
  prints("still here\n");
  EXPECT_FALSE(world->result_of(id));
  tell(one, stop{cancel_reason::user}); // repeated by LEASES
  EXPECT_THAT(processes->cancels(id), SizeIs(1));
  processes->exits(id, 0);
  run();
  EXPECT_EQ(out(), "still here\n");
  EXPECT_EQ(result().status, command_status::cancelled);
  EXPECT_EQ(result().exit_code, 0);
}

TEST_F(ExecutionEnd, KeepsTheStatusOfACommandThatEndedBeforeTheCancelReachedIt) {
  execute(claimed());
  world->fail_next_of("commands.complete", fault::unavailable, 2);
  processes->exits(id, 0);
  run();
  tell(one, stop{cancel_reason::user});
  advance(1s);
  EXPECT_EQ(result().status, command_status::completed);
}

TEST_F(ExecutionEnd, CancelsAgainWhenTheRunnerCouldNot) {
  execute(claimed());
  processes->fail_next_of("cancel", fault::unavailable, 2);
  tell(one, stop{cancel_reason::user});
  EXPECT_FALSE(world->result_of(id));
  advance(600ms);
  EXPECT_EQ(result().status, command_status::cancelled);
}

TEST_F(ExecutionEnd, AsksForItsOwnEndWhenItsTimeIsUp) {
  auto what = test::a_script();
  what.timeout = 60s; // much longer than this test takes by the wall clock, from which what is left is counted
  execute(claimed(what));
  advance(45s);
  EXPECT_THAT(world->calls("commands.cancel"), IsEmpty());
  EXPECT_FALSE(world->result_of(id));
  advance(16s);
  EXPECT_THAT(world->calls("commands.cancel"), SizeIs(1));
  EXPECT_EQ(result().status, command_status::timed_out);
  const auto rows = world->audit_rows();
  EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [](const auto& row) {
    return row.what.action == "command.cancel" && row.what.actor_name == "system" && row.what.reason == "timeout";
  }));
}

TEST_F(ExecutionEnd, RepeatsItsTimeOutWhileTheStoreIsAway) {
  auto what = test::a_script();
  what.timeout = 1s;
  execute(claimed(what));
  world->unreachable(true);
  advance(3s);
  EXPECT_THAT(processes->cancels(id), IsEmpty()); // the wish is made durable first
  world->unreachable(false);
  advance(300ms);
  EXPECT_EQ(result().status, command_status::timed_out);
}

TEST_F(ExecutionEnd, IsCancelledNotTimedOutWhenTheUserWasFirst) {
  auto what = test::a_script();
  what.timeout = 1s;
  execute(claimed(what));
  processes->resists_cancel(id);
  ASSERT_TRUE(commands->cancel({id, cancel_reason::user, {}, "sample", {}}));
  tell(one, stop{cancel_reason::user});
  advance(3s);
  processes->exits(id, 143);
  run();
  EXPECT_EQ(result().status, command_status::cancelled);
}

TEST_F(ExecutionEnd, HasItsFullTimeCountedFromItsFirstStartAlsoAfterATakeOver) {
  auto what = test::a_script();
  what.timeout = 3600s;
  auto adopted = claimed(what);
  adopted.age = 3599s;
  execute(adopted);
  EXPECT_FALSE(world->result_of(id));
  advance(1100ms);
  EXPECT_EQ(result().status, command_status::timed_out);
}

TEST_F(ExecutionEnd, RepeatsItsReceiptUntilItIsStored) {
  execute(claimed());
  world->fail_next_of("commands.complete", fault::unavailable, 3);
  prints("one\n");
  processes->exits(id, 0);
  run();
  EXPECT_FALSE(processes->forgotten(id)); // what is not stored is not thrown away
  EXPECT_TRUE(alive());
  advance(1s);
  EXPECT_EQ(result().status, command_status::completed);
  EXPECT_EQ(world->calls("commands.complete").size(), 4U);
  EXPECT_TRUE(processes->forgotten(id));
}

TEST_F(ExecutionEnd, RepeatsItsReceiptWhileCommandQueueIsAway) {
  execute(claimed());
  kill(peers.get<command_queue::actor>());
  processes->exits(id, 0);
  run();
  EXPECT_TRUE(alive());
  meet_command_queue();
  advance(300ms);
  EXPECT_EQ(result().status, command_status::completed);
}

TEST_F(ExecutionEnd, DoesNotThrowAwayWhatSomebodyElseOwns) {
  execute(claimed());
  reclaimed();
  processes->exits(id, 0);
  run();
  EXPECT_FALSE(alive());
  EXPECT_FALSE(processes->forgotten(id));
  EXPECT_FALSE(world->result_of(id));
}

TEST_F(ExecutionEnd, IsTimedOutWhenTheRunnerEndedItByItself) {
  execute(claimed());
  run_status how;
  how.state = run_state::exited;
  how.exit_code = 137;
  how.signal = SIGKILL;
  how.killed_by_us = true;
  how.timed_out = true;
  processes->ends(id, how);
  run();
  EXPECT_EQ(result().status, command_status::timed_out);
  EXPECT_EQ(result().signal, "SIGKILL");
}

TEST_F(ExecutionEnd, GivesTheRunnerTheTimeThatIsLeft) {
  auto what = test::a_script();
  what.timeout = 3600s;
  auto adopted = claimed(what);
  adopted.age = 600s;
  execute(adopted);
  const auto order = processes->launched(id);
  ASSERT_TRUE(order);
  EXPECT_LE(order->timeout, 3000s);
  EXPECT_GT(order->timeout, 2900s);
  EXPECT_EQ(order->grace, settings.kill_grace);
  EXPECT_EQ(order->valid_until, adopted.taken_at + settings.start_within);
}

TEST_F(ExecutionEnd, CountsWhatCouldNotBeKilledOfALostCommand) {
  execute(claimed());
  processes->leaves_survivors(id, 2);
  processes->vanishes(id, "the process that stood over it was killed");
  run();
  EXPECT_EQ(result().status, command_status::lost);
  EXPECT_EQ(result().survivors, 2);
  EXPECT_EQ(processes->sweeps(id), 1);
}

} // namespace
} // namespace rdev::execution
