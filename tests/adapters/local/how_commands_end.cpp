// Cancels, races, and everything that goes wrong.
#include "adapters/local/processes.hpp"
#include "adapters/local/run_files.hpp"
#include "tests/adapters/local/local_rig.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

namespace rdev::test {

using std::chrono::milliseconds;

namespace {

bool alive(int pid) {
  return pid > 0 && local::starttime_of(pid).has_value();
}

int number_in(const std::string& path) {
  int n = 0;
  EXPECT_TRUE(comes_true([&] {
    std::ifstream file(path);
    return static_cast<bool>(file >> n);
  })) << path;
  return n;
}

} // namespace

class LocalRunnerEnds : public ::testing::Test {
protected:
  // A file in the workspace, where commands leave the numbers of their processes.
  [[nodiscard]] std::string note(const std::string& name) const {
    return rig.dir + "/projects/demo/" + name;
  }
  local_rig rig;
};

TEST_F(LocalRunnerEnds, TwoStartersAtOnceStartOnce) {
  for (int round = 0; round < 20; ++round) {
    const auto order = rig.script("echo one >> runs-" + std::to_string(round));
    const auto second = rig.made_runner();
    {
      const std::jthread a([&] { EXPECT_TRUE(rig.local->start(order)); });
      const std::jthread b([&] { EXPECT_TRUE(second->start(order)); });
    }
    EXPECT_EQ(ended(*rig.local, order.id).state, run_state::exited);
    EXPECT_EQ(std::filesystem::file_size(note("runs-" + std::to_string(round))), 4U);
  }
}

TEST_F(LocalRunnerEnds, AStartAndACancelAtOnceLeaveATombstoneOrAnEnd) {
  for (int round = 0; round < 20; ++round) {
    const auto order = rig.script("echo one >> ran-" + std::to_string(round) + "; exec sleep 600");
    const auto second = rig.made_runner();
    {
      const std::jthread a([&] { EXPECT_TRUE(rig.local->start(order)); });
      const std::jthread b([&] { EXPECT_TRUE(second->cancel(order.id, milliseconds(2000))); });
    }
    const auto s = ended(*rig.local, order.id);
    if (s.state == run_state::tombstone)
      EXPECT_FALSE(std::filesystem::exists(note("ran-" + std::to_string(round))));
    else
      EXPECT_TRUE(s.state == run_state::exited && s.killed_by_us) << s.reason;
  }
}

TEST_F(LocalRunnerEnds, ACancelReachesAGrandchildThatHidesAndIgnoresIt) {
  const auto order = rig.script("env -i setsid /bin/sh -c 'trap \"\" TERM; echo $$ > deep; while :; do sleep 1; done' "
                                "> /dev/null 2>&1 &\n"
                                "exec sleep 600");
  ASSERT_TRUE(rig.local->start(order));
  const int deep = number_in(note("deep"));
  ASSERT_TRUE(alive(deep));
  const auto s = rig.local->cancel(order.id, milliseconds(200));
  ASSERT_TRUE(s);
  const auto end = ended(*rig.local, order.id);
  EXPECT_EQ(end.state, run_state::exited);
  EXPECT_TRUE(end.killed_by_us);
  EXPECT_EQ(end.signal, SIGTERM) << "the main process obeyed";
  EXPECT_EQ(end.survivors, 0);
  EXPECT_FALSE(alive(deep));
}

TEST_F(LocalRunnerEnds, ACommandThatEndsItselfInTimeKeepsItsExitCode) {
  const auto order = rig.script("trap 'echo bye; exit 9' TERM; echo $$ > main; while :; do sleep 0.05; done");
  ASSERT_TRUE(rig.local->start(order));
  number_in(note("main"));
  ASSERT_TRUE(rig.local->cancel(order.id, milliseconds(20'000)));
  const auto s = ended(*rig.local, order.id);
  EXPECT_EQ(s.exit_code, 9);
  EXPECT_EQ(s.signal, 0);
  EXPECT_TRUE(s.killed_by_us);
  EXPECT_EQ(rig.out(order), "bye\n");
}

TEST_F(LocalRunnerEnds, ACommandThatDoesNotObeyIsKilledAfterTheGrace) {
  const auto order = rig.script("trap '' TERM; echo $$ > main; while :; do sleep 1; done");
  ASSERT_TRUE(rig.local->start(order));
  number_in(note("main"));
  ASSERT_TRUE(rig.local->cancel(order.id, milliseconds(100)));
  const auto s = ended(*rig.local, order.id);
  EXPECT_EQ(s.exit_code, 137);
  EXPECT_EQ(s.signal, SIGKILL);
  EXPECT_TRUE(s.killed_by_us);
}

TEST_F(LocalRunnerEnds, AStoppedCommandCanBeCancelled) {
  const auto order = rig.script("echo $$ > main; kill -STOP $$; exit 0");
  ASSERT_TRUE(rig.local->start(order));
  number_in(note("main"));
  ASSERT_TRUE(rig.local->cancel(order.id, milliseconds(10'000)));
  EXPECT_TRUE(ended(*rig.local, order.id).killed_by_us);
}

TEST_F(LocalRunnerEnds, ACancelWhoseSignalWasLostIsSentAgain) {
  const auto order = rig.runs_until_cancelled();
  ASSERT_TRUE(rig.local->start(order));
  std::ofstream(rig.folder(order.id) + "/cancel") << "100"; // the server died before it sent the signal
  const auto now = status_now(*rig.local, order.id);
  EXPECT_EQ(now.state, run_state::running);
  EXPECT_TRUE(now.ending);
  ASSERT_TRUE(rig.local->cancel(order.id, milliseconds(100)));
  EXPECT_TRUE(ended(*rig.local, order.id).killed_by_us);
}

TEST_F(LocalRunnerEnds, ABackgroundChildIsLeftAloneAfterANormalEnd) {
  const auto order = rig.script("(echo $PPID > shell; echo started; exec sleep 600) & echo $! > child; exit 4");
  const auto s = rig.run(order);
  EXPECT_EQ(s.exit_code, 4) << "the end does not wait for it, though it holds the pipes";
  const int child = number_in(note("child"));
  EXPECT_TRUE(alive(child));
  ::kill(child, SIGKILL);
  EXPECT_TRUE(comes_true([&] { return !alive(child); }));
}

TEST_F(LocalRunnerEnds, TheSizesOfTheEndAreFinalThoughABackgroundChildGoesOnWriting) {
  const auto order = rig.script("(while :; do echo more; done) & echo $! > child; sleep 0.2; exit 0");
  const auto s = rig.run(order);
  const int child = number_in(note("child"));
  const auto stored = rig.out(order);
  ::kill(child, SIGKILL);
  EXPECT_TRUE(comes_true([&] { return !alive(child); }));
  EXPECT_EQ(s.state, run_state::exited);
  EXPECT_EQ(rig.out(order).size(), s.out_bytes);
  EXPECT_EQ(stored.size(), s.out_bytes);
}

TEST_F(LocalRunnerEnds, AllOutputOfTheMainProcessIsThereOnceItHasEnded) {
  for (int i = 0; i < 30; ++i) {
    const auto order = rig.script("head -c 70000 /dev/zero; (sleep 600 & echo $! > child); echo end");
    const auto s = rig.run(order);
    EXPECT_EQ(s.out_bytes, 70004U);
    ::kill(number_in(note("child")), SIGKILL);
  }
}

TEST_F(LocalRunnerEnds, AKilledShimMeansLost) {
  const auto order = rig.script("echo $$ > main; echo before; exec sleep 600");
  ASSERT_TRUE(rig.local->start(order));
  const int main = number_in(note("main"));
  EXPECT_TRUE(comes_true([&] { return rig.out(order) == "before\n"; }));
  ASSERT_EQ(::kill(rig.shim_of(order.id), SIGKILL), 0);
  const auto s = ended(*rig.local, order.id);
  EXPECT_EQ(s.state, run_state::lost);
  EXPECT_FALSE(s.reason.empty());
  EXPECT_EQ(s.out_bytes, 7U) << "what it printed is still there";
  EXPECT_EQ(rig.out(order), "before\n");
  EXPECT_EQ(rig.local->start(order)->state, run_state::lost) << "never a second start";
  EXPECT_EQ(rig.local->cancel(order.id, milliseconds(10))->state, run_state::lost);
  EXPECT_EQ(*rig.local->end_leftovers(order.id), 0);
  EXPECT_TRUE(comes_true([&] { return !alive(main); })) << "what is lost runs no more";
}

TEST_F(LocalRunnerEnds, ARebootMeansLostForWhatRanAndNothingForWhatHadEnded) {
  const auto live = rig.runs_until_cancelled();
  const auto done_one = rig.prints_and_exits("x", 2);
  ASSERT_TRUE(rig.local->start(live));
  EXPECT_EQ(rig.run(done_one).exit_code, 2);
  rig.config.machine = "another boot";
  const auto later = rig.made_runner();
  EXPECT_NE(later->boot_tag(), rig.local->boot_tag());
  EXPECT_NE(later->why_gone(rig.local->boot_tag()).find("restarted"), std::string::npos);
  EXPECT_EQ(status_now(*later, live.id).state, run_state::lost);
  EXPECT_EQ(later->start(live)->state, run_state::lost);
  EXPECT_EQ(status_now(*later, done_one.id).exit_code, 2);
}

TEST_F(LocalRunnerEnds, AnotherRunnerOfTheSameMachineAttaches) {
  const auto order = rig.script("echo $$ > main; trap 'exit 3' USR1; while :; do sleep 0.05; done");
  ASSERT_TRUE(rig.local->start(order));
  const int main = number_in(note("main"));
  rig.local = rig.made_runner(); // the former one is gone, as after a restart
  EXPECT_EQ(rig.local->start(order)->state, run_state::running);
  ::kill(main, SIGUSR1);
  EXPECT_EQ(ended(*rig.local, order.id).exit_code, 3);
}

TEST_F(LocalRunnerEnds, AStartFileThatNobodyFinishesMeansLost) {
  const auto order = rig.runs_until_cancelled();
  std::filesystem::create_directories(rig.folder(order.id));
  std::ofstream(rig.folder(order.id) + ".start").close(); // the shim died between making and writing it
  const auto s = status_now(*rig.local, order.id);
  EXPECT_EQ(s.state, run_state::lost);
  EXPECT_EQ(rig.local->start(order)->state, run_state::lost) << "it may have been started";
  EXPECT_EQ(rig.local->cancel(order.id, milliseconds(10))->state, run_state::lost);
  const auto settled = std::chrono::steady_clock::now();
  EXPECT_EQ(status_now(*rig.local, order.id).state, run_state::lost);
  EXPECT_LT(std::chrono::steady_clock::now() - settled, std::chrono::seconds(30)) << "it is waited for no more";
}

TEST_F(LocalRunnerEnds, ADeletedRunFolderMeansLostAndAnEndOfAllItsProcesses) {
  const auto order = rig.script("echo $$ > main; exec sleep 600"); // without a byte of output
  ASSERT_TRUE(rig.local->start(order));
  const int main = number_in(note("main"));
  const int shim = rig.shim_of(order.id);
  std::filesystem::remove_all(rig.folder(order.id));
  const auto s = status_now(*rig.local, order.id);
  EXPECT_EQ(s.state, run_state::lost);
  EXPECT_NE(s.reason.find("run folder"), std::string::npos) << s.reason;
  EXPECT_EQ(text_of(*rig.local, order.id, stream::out), "");
  EXPECT_EQ(rig.made_runner()->start(order)->state, run_state::lost) << "never a second start";
  EXPECT_EQ(*rig.local->end_leftovers(order.id), 0);
  EXPECT_TRUE(comes_true([&] { return !alive(main) && !alive(shim); }));
}

TEST_F(LocalRunnerEnds, WhatAKilledShimLeavesBehindIsFoundAndKilled) {
  // Four that hide in different ways: by environment, by session, by both with a pipe still open, and a plain child.
  const auto order = rig.script("echo $$ > main\n"
                                "setsid /bin/sh -c 'trap \"\" TERM PIPE; echo $$ > session; while :; do sleep 1; done' "
                                ">/dev/null 2>&1 &\n"
                                "env -i /bin/sh -c 'trap \"\" TERM; echo $$ > bare; while :; do sleep 1; done' "
                                ">/dev/null 2>&1 &\n"
                                "env -i setsid /bin/sh -c 'trap \"\" TERM PIPE; echo $$ > pipe; while :; do sleep 1; "
                                "done' &\n"
                                "while :; do sleep 1; done");
  ASSERT_TRUE(rig.local->start(order));
  std::vector<int> pids;
  for (const auto* name : {"main", "session", "bare", "pipe"})
    pids.push_back(number_in(note(name)));
  ASSERT_EQ(::kill(rig.shim_of(order.id), SIGKILL), 0);
  EXPECT_EQ(ended(*rig.local, order.id).state, run_state::lost);
  EXPECT_EQ(*rig.local->end_leftovers(order.id), 0);
  for (const auto pid : pids)
    EXPECT_TRUE(comes_true([&] { return !alive(pid); })) << pid;
}

TEST_F(LocalRunnerEnds, ItsTimeOutEndsACommandThoughNobodyWatches) {
  auto order = rig.script("trap '' TERM; echo $$ > main; env -i setsid /bin/sh -c 'trap \"\" TERM; echo $$ > deep; "
                          "while :; do sleep 1; done' >/dev/null 2>&1 & while :; do sleep 1; done");
  order.timeout = milliseconds(1500);
  order.grace = milliseconds(200);
  ASSERT_TRUE(rig.local->start(order));
  const int main = number_in(note("main"));
  const int deep = number_in(note("deep"));
  rig.local.reset(); // the server is gone
  EXPECT_TRUE(comes_true([&] { return !alive(main) && !alive(deep); }));
  rig.local = rig.made_runner();
  const auto s = ended(*rig.local, order.id);
  EXPECT_EQ(s.state, run_state::exited);
  EXPECT_TRUE(s.killed_by_us);
  EXPECT_TRUE(s.timed_out);
  EXPECT_EQ(s.signal, SIGKILL);
  EXPECT_EQ(s.survivors, 0);
  ASSERT_TRUE(s.ended_ago);
  EXPECT_LT(*s.ended_ago, std::chrono::seconds(30));
}

TEST_F(LocalRunnerEnds, ACommandThatEndsInTimeIsNotTimedOut) {
  auto order = rig.prints_and_exits("x", 4);
  order.timeout = std::chrono::hours(1);
  const auto s = rig.run(order);
  EXPECT_EQ(s.exit_code, 4);
  EXPECT_FALSE(s.timed_out);
  EXPECT_FALSE(s.killed_by_us);
}

TEST_F(LocalRunnerEnds, RunnersThatShareAFolderHaveOneScope) {
  const auto second = rig.made_runner();
  EXPECT_EQ(second->scope(), rig.local->scope());
  EXPECT_FALSE(second->scope().empty());
  EXPECT_NE(local_rig().local->scope(), rig.local->scope());
}

TEST_F(LocalRunnerEnds, RunFoldersMadeAnewAreOthersInTheSamePlace) {
  const auto before = rig.local->boot_tag();
  const auto order = rig.script("echo $$ > main; exec sleep 600");
  ASSERT_TRUE(rig.local->start(order));
  const int main = number_in(note("main"));
  EXPECT_EQ(rig.made_runner()->boot_tag(), before);
  EXPECT_EQ(rig.made_runner()->why_gone(before), "");
  std::filesystem::remove_all(rig.dir + "/run");
  const auto later = rig.made_runner();
  EXPECT_NE(later->boot_tag(), before);
  EXPECT_NE(later->why_gone(before).find("deleted"), std::string::npos);
  EXPECT_EQ(later->scope(), rig.local->scope()) << "what is queued for it is still its own";
  EXPECT_EQ(*later->end_leftovers(order.id), 0);
  EXPECT_TRUE(comes_true([&] { return !alive(main); })) << "found by its environment alone";
}

TEST_F(LocalRunnerEnds, AForgottenCommandLeavesNothingButAMark) {
  const auto order = rig.prints_and_exits("x", 0);
  rig.run(order);
  EXPECT_TRUE(std::filesystem::exists(rig.folder(order.id)));
  ASSERT_TRUE(rig.local->forget(order.id));
  EXPECT_FALSE(std::filesystem::exists(rig.folder(order.id)));
  EXPECT_EQ(*local::read_small_file(rig.folder(order.id) + ".start"), "ended\n");
}

TEST_F(LocalRunnerEnds, TheStartFileOfACommandThatMayStillRunIsNoMark) {
  const auto order = rig.script("echo $$ > main; exec sleep 600");
  ASSERT_TRUE(rig.local->start(order));
  number_in(note("main"));
  std::filesystem::remove_all(rig.folder(order.id));
  EXPECT_EQ(*rig.local->kept(), std::vector{order.id});
  ASSERT_TRUE(rig.local->drop_marks(std::chrono::seconds(-1)));
  EXPECT_EQ(rig.local->start(order)->state, run_state::lost) << "never a second start";
  EXPECT_EQ(*rig.local->end_leftovers(order.id), 0);
}

TEST_F(LocalRunnerEnds, ABackgroundChildOfWhatEndedProperlyIsNoLeftover) {
  const auto order = rig.script("(sleep 600 & echo $! > child)");
  rig.run(order);
  const int child = number_in(note("child"));
  ASSERT_TRUE(rig.local->forget(order.id));
  EXPECT_EQ(*rig.local->end_leftovers(order.id), 0);
  EXPECT_TRUE(alive(child));
  ::kill(child, SIGKILL);
}

TEST_F(LocalRunnerEnds, WithoutDescriptorsItSaysThatItCannotKnow) {
  const auto order = rig.script("echo $$ > main; exec sleep 600");
  ASSERT_TRUE(rig.local->start(order));
  const int main = number_in(note("main"));
  std::vector<descriptor> all;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{64, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  for (descriptor one(::open("/dev/null", O_RDONLY)); one; one = descriptor(::open("/dev/null", O_RDONLY)))
    all.push_back(std::move(one));
  EXPECT_FALSE(rig.local->status(order.id));
  EXPECT_FALSE(rig.local->end_leftovers(order.id));
  all.clear();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(alive(main));
  EXPECT_EQ(status_now(*rig.local, order.id).state, run_state::running);
}

TEST_F(LocalRunnerEnds, NothingIsStartedInRunFoldersThatSomebodyElseMadeAnew) {
  std::filesystem::remove_all(rig.dir + "/run");
  const auto other = rig.made_runner();
  const auto order = rig.prints_and_exits("x", 0);
  const auto refused = rig.local->start(order);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("restart"), std::string::npos);
  ASSERT_TRUE(other->start(order));
  EXPECT_EQ(ended(*other, order.id).exit_code, 0);
}

TEST_F(LocalRunnerEnds, AnEndOfAnotherBootIsKnownButNotWhen) {
  const auto order = rig.prints_and_exits("x", 3);
  rig.run(order);
  EXPECT_TRUE(status_now(*rig.local, order.id).ended_ago);
  rig.config.machine = "another boot";
  const auto s = status_now(*rig.made_runner(), order.id);
  EXPECT_EQ(s.exit_code, 3);
  EXPECT_FALSE(s.ended_ago);
}

TEST_F(LocalRunnerEnds, StartsNothingWithoutRoom) {
  rig.config.min_free_bytes = ~0ULL;
  const auto full = rig.made_runner();
  const auto order = rig.prints_and_exits("x", 0);
  const auto refused = full->start(order);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, fault::no_space);
  EXPECT_EQ(status_now(*full, order.id).state, run_state::absent);
  EXPECT_EQ(rig.run(order).exit_code, 0) << "it may be started later";
}

TEST_F(LocalRunnerEnds, AMissingShimIsSaidAtOnce) {
  rig.config.shim = rig.dir + "/no-shim";
  const auto made = make_local_runner(rig.config);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, fault::invalid);
  EXPECT_NE(made.error().message.find("no-shim"), std::string::npos);
}

TEST_F(LocalRunnerEnds, AMissingUserIsSaidWithTheRemedy) {
  if (!as_root())
    GTEST_SKIP() << "only root can change the user";
  rig.config.user = "no-such-user";
  const auto made = make_local_runner(rig.config);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("useradd"), std::string::npos);
}

TEST_F(LocalRunnerEnds, AFullDiskLosesOutputButNotTheEnd) {
  const auto small = rig.dir + "/run";
  if (!as_root() || ::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=256k,mode=0755") != 0)
    GTEST_SKIP() << "a small file system cannot be mounted here";
  rig.local = rig.made_runner();
  const auto order = rig.script("head -c 3000000 /dev/zero; echo told >&2; exit 6");
  const auto s = rig.run(order);
  EXPECT_EQ(s.state, run_state::exited);
  EXPECT_EQ(s.exit_code, 6);
  EXPECT_TRUE(s.output_lost);
  EXPECT_LT(s.out_bytes, 300'000U);
  EXPECT_EQ(s.out_total, 3'000'000U);
  EXPECT_EQ(rig.out(order).size(), s.out_bytes);
  const auto refused = rig.local->start(rig.prints_and_exits("x", 0));
  ASSERT_FALSE(refused) << "no room for a script";
  EXPECT_EQ(refused.error().code, fault::no_space);
  rig.local.reset();
  EXPECT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
  rig.local = rig.made_runner();
}

} // namespace rdev::test
