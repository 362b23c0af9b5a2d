// Start, output and take-over of one command; execution_end_test.cpp has its ends.
#include "tests/support/execution_house.hpp"

#include <gmock/gmock.h>

#include <algorithm>

namespace rdev::execution {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Execution = test::execution_house;

// ---- start

TEST_F(Execution, StartsAScriptAnArgumentListGitAndTheAgent) {
  execute(claimed(test::a_script("demo", "echo hi")));
  EXPECT_EQ(processes->launched(id)->script, "echo hi");

  auto argv = test::a_script();
  argv.script.reset();
  argv.argv = {"ls", "-l"};
  argv.env = {{"SECRET", secret("x")}};
  argv.workdir = "sub";
  execute(claimed(argv));
  EXPECT_THAT(processes->launched(id)->argv, ElementsAre("ls", "-l"));
  EXPECT_EQ(processes->launched(id)->env.at(0).value.reveal(), "x");
  EXPECT_EQ(processes->launched(id)->workdir, "sub");

  auto git = argv;
  git.type = command_type::git;
  git.argv = {"status"};
  execute(claimed(git));
  EXPECT_THAT(processes->launched(id)->argv, ElementsAre("git", "status"));
  EXPECT_FALSE(processes->launched(id)->missing_hint.empty());

  auto agent = test::a_script();
  agent.type = command_type::claude;
  agent.script.reset();
  agent.prompt = "do it";
  execute(claimed(agent));
  EXPECT_THAT(processes->launched(id)->argv, ElementsAre("claude", "-p"));
  EXPECT_EQ(processes->launched(id)->stdin_text, "do it");
  EXPECT_EQ(processes->launched(id)->missing_hint, "install it");
}

TEST_F(Execution, TriesAgainWhenAStartFailed) {
  processes->fail_next_of("start", fault::no_space, 2);
  execute(claimed());
  EXPECT_EQ(processes->starts(id), 0);
  advance(800ms); // a quarter of a second, then half of one
  EXPECT_EQ(processes->starts(id), 1);
  EXPECT_EQ(counts.count("fault_seen execution"), 2);
}

TEST_F(Execution, EndsInTimeAlsoWhenItCanNeverBeStarted) {
  processes->fail_next_of("start", fault::no_space, 1000);
  auto what = test::a_script();
  what.timeout = 2s;
  execute(claimed(what));
  advance(4s);
  EXPECT_EQ(result().status, command_status::timed_out);
  EXPECT_EQ(processes->starts(id), 0);
}

// ---- output

TEST_F(Execution, StoresWholeLinesAtOnce) {
  execute(claimed());
  prints("one\ntwo\nunfin");
  EXPECT_EQ(out(), "one\ntwo\n");
  prints("ished\n");
  EXPECT_EQ(out(), "one\ntwo\nunfinished\n");
}

TEST_F(Execution, FlushesAnUnfinishedLineOnceItHasWaitedLongEnough) {
  execute(claimed());
  prints("prompt> ");
  advance(190ms);
  EXPECT_EQ(out(), "");
  advance(20ms);
  EXPECT_EQ(out(), "prompt> ");
}

TEST_F(Execution, StoresBothStreamsInOneOrder) {
  execute(claimed());
  prints("out\n");
  prints("err\n", stream::err);
  const auto chunks = world->chunks_of(id);
  ASSERT_THAT(chunks, SizeIs(2));
  EXPECT_EQ(chunks[0].seq, seq_first_chunk);
  EXPECT_EQ(chunks[1].seq, seq_first_chunk + 1);
  EXPECT_EQ(chunks[1].stream, stream::err);
}

TEST_F(Execution, ReadsMoreThanOneBatchToTheEnd) {
  settings.read_bytes = 100;
  execute(claimed());
  const std::string line(70, 'x');
  std::string all;
  for (int i = 0; i < 50; ++i)
    all += line + "\n";
  processes->prints(id, stream::out, all + "end without LF");
  processes->exits(id, 0);
  run();
  EXPECT_EQ(out(), all + "end without LF");
  EXPECT_EQ(result().out.bytes, all.size() + 14);
  EXPECT_EQ(result().out.sha256, to_hex(sha256(all + "end without LF")));
  EXPECT_TRUE(result().complete);
}

TEST_F(Execution, SaysInTheStreamWhenTheCapIsReachedAndOnlyCountsFromThenOn) {
  settings.max_output_bytes = 10;
  execute(claimed());
  prints("12345678\n");
  prints("abcdefgh\n");
  prints("never stored\n");
  auto chunks = world->chunks_of(id);
  ASSERT_FALSE(chunks.empty());
  EXPECT_TRUE(chunks.back().truncation_marker);
  EXPECT_EQ(std::count_if(chunks.begin(), chunks.end(), [](const auto& c) { return c.truncation_marker; }), 1);
  EXPECT_EQ(out(), "12345678\na");
  processes->exits(id, 0);
  run();
  EXPECT_EQ(result().status, command_status::completed);
  EXPECT_EQ(result().out.bytes, 10U);
  EXPECT_EQ(result().out.total_bytes, 31U);
  EXPECT_TRUE(result().out.truncated());
  EXPECT_FALSE(result().complete);
}

TEST_F(Execution, SaysNothingOfACapThatWasJustReached) {
  settings.max_output_bytes = 10;
  execute(claimed());
  prints("123456789\n");
  processes->exits(id, 0);
  run();
  EXPECT_THAT(world->chunks_of(id), SizeIs(1));
  EXPECT_TRUE(result().complete);
}

TEST_F(Execution, CountsBothStreamsAgainstOneCap) {
  settings.max_output_bytes = 10;
  execute(claimed());
  prints("12345\n");
  prints("abcdefgh\n", stream::err);
  EXPECT_EQ(out().size() + world->output_of(id, stream::err).size(), 10U);
  EXPECT_TRUE(world->chunks_of(id).back().truncation_marker);
}

TEST_F(Execution, StoresTheSameBytesAfterTheStoreWasAway) {
  execute(claimed());
  world->fail_next_of("output.append", fault::unavailable, 2);
  world->fail_next_of("output.append", fault::unknown_outcome, 1, memory::moment::after);
  prints("one\n");
  advance(300ms);
  prints("two\n");
  advance(2s);
  EXPECT_EQ(out(), "one\ntwo\n");
  processes->exits(id, 0);
  run();
  EXPECT_EQ(result().out.sha256, to_hex(sha256("one\ntwo\n")));
}

TEST_F(Execution, GoesOnAfterTheRunnerCouldNotRead) {
  execute(claimed());
  processes->fail_next_of("read", fault::unavailable);
  prints("one\n");
  EXPECT_EQ(out(), "");
  advance(300ms);
  EXPECT_EQ(out(), "one\n");
}

TEST_F(Execution, QuitsWithoutAWordWhenItsTokenIsStale) {
  execute(claimed());
  reclaimed(); // somebody else owns it now
  prints("one\n");
  EXPECT_FALSE(alive());
  EXPECT_THAT(world->chunks_of(id), IsEmpty());
  EXPECT_FALSE(world->result_of(id));
  EXPECT_THAT(processes->cancels(id), IsEmpty());
}

TEST_F(Execution, EndsWithItsRunnerAndTouchesNothing) {
  execute(claimed());
  kill(parent);
  EXPECT_FALSE(alive());
  EXPECT_THAT(processes->cancels(id), IsEmpty());
  EXPECT_FALSE(world->result_of(id));
}

// ---- take-over

class AdoptedExecution : public test::execution_house {
protected:
  // The first owner dies after it has stored `before`; meanwhile the command goes on.
  void adopt(std::string_view before, std::string_view meanwhile) {
    execute(claimed());
    prints(before);
    kill(one);
    prints(meanwhile);
    execute(reclaimed());
  }
};

TEST_F(AdoptedExecution, GoesOnWhereTheStoredOutputEnds) {
  adopt("first\nsecond\n", "third\n");
  EXPECT_EQ(processes->starts(id), 1);
  EXPECT_EQ(out(), "first\nsecond\nthird\n");
  const auto chunks = world->chunks_of(id);
  ASSERT_THAT(chunks, SizeIs(2));
  EXPECT_EQ(chunks[1].seq, seq_first_chunk + 1);
  EXPECT_EQ(chunks[1].offset, 13U);
}

TEST_F(AdoptedExecution, HashesAlsoWhatFormerOwnersStored) {
  adopt("first\nsecond\n", "third\n");
  prints("oops\n", stream::err);
  processes->exits(id, 0);
  run();
  EXPECT_EQ(result().out.sha256, to_hex(sha256("first\nsecond\nthird\n")));
  EXPECT_EQ(result().out.bytes, 19U);
  EXPECT_EQ(result().err.sha256, to_hex(sha256("oops\n")));
  EXPECT_TRUE(result().complete);
}

TEST_F(AdoptedExecution, RecordsTheEndThatNobodySaw) {
  execute(claimed());
  prints("first\n");
  kill(one);
  processes->prints(id, stream::out, "last");
  processes->exits(id, 3);
  execute(reclaimed());
  EXPECT_EQ(out(), "first\nlast");
  EXPECT_EQ(result().status, command_status::failed);
  EXPECT_EQ(result().exit_code, 3);
}

TEST_F(AdoptedExecution, WaitsForTheStoreBeforeItGoesOn) {
  execute(claimed());
  prints("first\n");
  kill(one);
  world->fail_next_of("reads.bytes", fault::unavailable, 3);
  execute(reclaimed());
  prints("second\n");
  EXPECT_EQ(out(), "first\n");
  advance(1s);
  EXPECT_EQ(out(), "first\nsecond\n");
}

TEST_F(AdoptedExecution, StartsWhatTheFormerOwnerNeverStarted) {
  auto what = claimed();
  execute(reclaimed());
  EXPECT_EQ(what.what.id, id);
  EXPECT_EQ(processes->starts(id), 1);
}

TEST_F(AdoptedExecution, IsLostWithoutAStartWhenTheMachineIsAnother) {
  claimed();
  processes->reboot("boot-2");
  execute(reclaimed());
  EXPECT_EQ(result().status, command_status::lost);
  EXPECT_TRUE(result().reason);
  EXPECT_FALSE(result().exit_code);
  EXPECT_FALSE(result().complete);
  EXPECT_EQ(processes->starts(id), 0);
}

TEST_F(AdoptedExecution, IsLostWithoutASecondStartWhenItsRunFolderIsGone) {
  execute(claimed());
  prints("first\n");
  kill(one);
  processes->lose_run_folder(id);
  execute(reclaimed());
  EXPECT_EQ(result().status, command_status::lost);
  EXPECT_EQ(result().out.bytes, 6U);
  EXPECT_EQ(processes->starts(id), 1);
}

TEST_F(AdoptedExecution, CancelsInsteadOfStartingWhenThatIsTheWish) {
  auto what = claimed();
  ASSERT_TRUE(commands->cancel({what.what.id, cancel_reason::user, {}, "sample", {}}));
  execute(reclaimed());
  EXPECT_EQ(processes->starts(id), 0);
  EXPECT_EQ(result().status, command_status::cancelled);
}

TEST_F(AdoptedExecution, SaysThatItRanElsewhereWhenTheRunnerIsAnother) {
  auto foreign = claimed();
  foreign.scope = "another runner";
  foreign.start_intent = "boot-9/another runner";
  execute(foreign);
  EXPECT_EQ(result().status, command_status::lost);
  EXPECT_NE(result().reason->find("another machine"), std::string::npos);
  EXPECT_EQ(processes->starts(id), 0);
  EXPECT_EQ(processes->sweeps(id), 0) << "it is not here";
}

TEST_F(AdoptedExecution, AsksWhetherAnOldLeaseStandsBeforeItStarts) {
  int asked = 0;
  bool stands = true;
  play<leases::actor>([&](const leases::confirm& what) {
    ++asked;
    EXPECT_EQ(what.command, id);
    return leases::confirmed{stands};
  });
  auto old = claimed();
  old.taken_at -= 31s;
  execute(old);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(processes->starts(id), 1);
  stands = false;
  auto lost_meanwhile = claimed();
  lost_meanwhile.taken_at -= 31s;
  execute(lost_meanwhile);
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(processes->starts(id), 0);
  EXPECT_FALSE(alive());
  EXPECT_FALSE(world->result_of(id));
}

TEST_F(AdoptedExecution, DoesNotAskWhenItOnlyAttaches) {
  execute(claimed());
  kill(one);
  auto old = reclaimed();
  old.taken_at -= 31s;
  execute(old);
  prints("on\n");
  EXPECT_EQ(out(), "on\n");
}

TEST_F(AdoptedExecution, IsLostWhenItsEnvironmentCannotBeReadAndItNeverRan) {
  auto locked = claimed();
  locked.unreadable = "no key opens it";
  execute(locked);
  EXPECT_EQ(result().status, command_status::lost);
  EXPECT_EQ(result().reason, "no key opens it");
  EXPECT_EQ(processes->starts(id), 0);
  EXPECT_EQ(processes->status(id)->state, run_state::lost) << "and never can be";
}

TEST_F(AdoptedExecution, AttachesThoughItsEnvironmentCannotBeRead) {
  execute(claimed());
  kill(one);
  auto locked = reclaimed();
  locked.unreadable = "no key opens it";
  execute(locked);
  prints("on\n");
  EXPECT_THAT(processes->cancels(id), IsEmpty());
  processes->exits(id, 0);
  run();
  EXPECT_EQ(result().status, command_status::completed);
  EXPECT_EQ(out(), "on\n");
}

TEST_F(AdoptedExecution, StoresNothingMoreBehindTheCap) {
  settings.max_output_bytes = 5;
  execute(claimed());
  prints("0123456789");
  kill(one);
  prints("more");
  execute(reclaimed());
  processes->exits(id, 0);
  run();
  EXPECT_EQ(out(), "01234");
  const auto chunks = world->chunks_of(id);
  EXPECT_EQ(std::count_if(chunks.begin(), chunks.end(), [](const auto& c) { return c.truncation_marker; }), 1);
  EXPECT_TRUE(result().out.truncated());
}

TEST_F(AdoptedExecution, StoresWhatWasWrittenAndHowItEndedBeforeTheMachineWasRestarted) {
  execute(claimed());
  prints("first\n");
  kill(one);
  processes->prints(id, stream::out, "second\n");
  processes->exits(id, 5);
  processes->reboot("boot-2");
  execute(reclaimed());
  EXPECT_EQ(result().status, command_status::failed);
  EXPECT_EQ(result().exit_code, 5);
  EXPECT_EQ(out(), "first\nsecond\n");
}

TEST_F(AdoptedExecution, StoresWhatWasWrittenBeforeItWasLost) {
  execute(claimed());
  prints("first\n");
  kill(one);
  processes->prints(id, stream::out, "second\n");
  processes->reboot("boot-2");
  execute(reclaimed());
  EXPECT_EQ(result().status, command_status::lost);
  EXPECT_EQ(out(), "first\nsecond\n");
}

TEST_F(AdoptedExecution, KillsNothingOfACommandThatIsNoLongerItsOwn) {
  execute(claimed());
  reclaimed(); // somebody else has it
  processes->vanishes(id, "its end was recorded before");
  run();
  EXPECT_EQ(processes->sweeps(id), 0);
  EXPECT_FALSE(alive());
  EXPECT_FALSE(world->result_of(id));
}

} // namespace
} // namespace rdev::execution
