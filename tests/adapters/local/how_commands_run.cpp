// What a command is given and what is recorded of it.
#include "tests/adapters/local/local_rig.hpp"

#include <fcntl.h>
#include <pwd.h>

#include <algorithm>
#include <csignal>
#include <sstream>

namespace rdev::test {

class LocalRunner : public ::testing::Test {
protected:
  std::vector<std::string> lines(const launch& what) {
    std::vector<std::string> found;
    std::istringstream in(rig.out(what));
    for (std::string line; std::getline(in, line);)
      found.push_back(line);
    std::sort(found.begin(), found.end());
    return found;
  }
  local_rig rig;
};

TEST_F(LocalRunner, RecordsTheExitCodeOfEveryKindOfEnd) {
  for (const int code : {0, 1, 7, 126, 127, 137, 255}) {
    const auto s = rig.run(rig.script("exit " + std::to_string(code)));
    EXPECT_EQ(s.state, run_state::exited);
    EXPECT_EQ(s.exit_code, code);
    EXPECT_EQ(s.signal, 0);
    EXPECT_FALSE(s.killed_by_us);
  }
}

TEST_F(LocalRunner, TellsDeathByASignalFromAnExitWithTheSameCode) {
  for (const int signal : {SIGKILL, SIGTERM, SIGABRT, SIGINT}) {
    const auto s = rig.run(rig.script("kill -" + std::to_string(signal) + " $$"));
    EXPECT_EQ(s.exit_code, 128 + signal);
    EXPECT_EQ(s.signal, signal);
    EXPECT_FALSE(s.killed_by_us) << "it was not our doing";
  }
}

TEST_F(LocalRunner, AProgramThatIsNotThereIs127WithAHint) {
  auto order = rig.program({"no-such-program-here"});
  order.missing_hint = "install it";
  EXPECT_EQ(rig.run(order).exit_code, 127);
  EXPECT_EQ(rig.err(order), "rdev: no-such-program-here: not found\nrdev: install it\n");
}

TEST_F(LocalRunner, AProgramThatCannotBeRunIs126) {
  std::ofstream(rig.dir + "/projects/demo/plain") << "text";
  const auto order = rig.program({"./plain"});
  EXPECT_EQ(rig.run(order).exit_code, 126);
  EXPECT_NE(rig.err(order).find("rdev: ./plain: "), std::string::npos);
  auto nowhere = rig.program({"true"});
  nowhere.workdir = "no/such/folder";
  EXPECT_EQ(rig.run(nowhere).exit_code, 126);
  EXPECT_NE(rig.err(nowhere).find("working directory"), std::string::npos);
}

TEST_F(LocalRunner, AnArrayIsRunWithoutAShell) {
  const auto order = rig.program({"printf", "%s|", "$HOME", "a  b", "", "*", "'\"\\", "\xff\xfe"});
  EXPECT_EQ(rig.run(order).exit_code, 0);
  EXPECT_EQ(rig.out(order), "$HOME|a  b||*|'\"\\|\xff\xfe|");
}

TEST_F(LocalRunner, ATextIsAScriptOfAnyLength) {
  std::string text = "x=1\nif [ $x = 1 ]; then\n  echo \"it's\" 'fine'\nfi\n";
  for (int i = 0; i < 20000; ++i)
    text += "# a comment that makes the script longer than any argument may be\n";
  text += "cat <<EOF\nend\nEOF\n";
  const auto order = rig.script(text);
  EXPECT_EQ(rig.run(order).exit_code, 0);
  EXPECT_EQ(rig.out(order), "it's fine\nend\n");
}

TEST_F(LocalRunner, NothingOfACommandIsInTheArgumentsOrTheEnvironmentOfItsShim) {
  auto order = rig.script(": secret-text; sleep 600");
  order.env = {{"TOKEN", secret("secret-text")}};
  ASSERT_TRUE(rig.local->start(order));
  const auto proc = "/proc/" + std::to_string(rig.shim_of(order.id));
  for (const auto* file : {"/cmdline", "/environ"}) {
    std::ifstream in(proc + file);
    const std::string all((std::istreambuf_iterator<char>(in)), {});
    EXPECT_EQ(all.find("secret-text"), std::string::npos) << file;
  }
}

TEST_F(LocalRunner, StandardInputIsTheTextOrNothing) {
  auto order = rig.program({"cat"});
  std::string text(300'000, 'x');
  text += "\nüend\xff";
  order.stdin_text = text;
  EXPECT_EQ(rig.run(order).exit_code, 0);
  EXPECT_EQ(rig.out(order), text);
  const auto without = rig.script("readlink /proc/self/fd/0; cat");
  EXPECT_EQ(rig.run(without).exit_code, 0);
  EXPECT_EQ(rig.out(without), "/dev/null\n");
}

TEST_F(LocalRunner, TheEnvironmentIsWhatTheContractSaysAndNothingElse) {
  ::setenv("RDEV_TEST_PASSED", "through", 1);
  ::setenv("RDEV_TEST_KEPT", "back", 1);
  rig.config.pass_env = {"RDEV_TEST_PASSED", "RDEV_TEST_UNSET"};
  rig.local = rig.made_runner();
  auto order = rig.program({"env"});
  order.env = {{"OWN", secret("a=b c")}, {"TERM", secret("xterm")}, {"RDEV_PROJECT", secret("forged")}};
  EXPECT_EQ(rig.run(order).exit_code, 0);
  EXPECT_EQ(lines(order), (std::vector<std::string>{"HOME=" + rig.dir + "/projects/demo", "LANG=C.UTF-8", "OWN=a=b c",
                                                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                                    "RDEV_COMMAND_ID=" + order.id.text(), "RDEV_PROJECT=demo",
                                                    "RDEV_TEST_PASSED=through", "TERM=xterm", "TZ=UTC"}));
}

TEST_F(LocalRunner, TheProgramIsLookedForInTheCommandsOwnPath) {
  const auto bin = rig.dir + "/projects/demo/bin";
  std::filesystem::create_directory(bin);
  std::ofstream(bin + "/mine") << "#!/bin/sh\necho found\n";
  std::filesystem::permissions(bin + "/mine", std::filesystem::perms(0755));
  auto order = rig.program({"mine"});
  order.env = {{"PATH", secret(bin + ":/usr/bin:/bin")}};
  EXPECT_EQ(rig.run(order).exit_code, 0);
  EXPECT_EQ(rig.out(order), "found\n");
}

TEST_F(LocalRunner, RunsAsTheUserForCommandsWithItsGroups) {
  if (!as_root())
    GTEST_SKIP() << "only root can change the user";
  const auto* entry = ::getpwnam("rdev-run");
  ASSERT_NE(entry, nullptr) << "make it with: useradd --system --no-create-home --shell /usr/sbin/nologin rdev-run";
  const auto order = rig.script("id -u; id -g; id -G; grep NoNewPrivs /proc/self/status");
  EXPECT_EQ(rig.run(order).exit_code, 0);
  const auto gid = std::to_string(entry->pw_gid);
  EXPECT_EQ(rig.out(order), std::to_string(entry->pw_uid) + "\n" + gid + "\n" + gid + "\nNoNewPrivs:\t1\n");
  const auto touch = rig.script("echo mine > file && cat file; ls " + rig.dir + "/records " + rig.dir + "/run; cat " +
                                rig.folder(command_id::make()) + "/out; echo over > " + rig.dir + "/run/scope");
  EXPECT_NE(rig.run(touch).exit_code, 0);
  EXPECT_EQ(rig.out(touch), "mine\n") << "it sees its workspace, not the server's folders";
}

TEST_F(LocalRunner, StartsInTheWorkspaceOrAFolderOfIt) {
  std::filesystem::create_directories(rig.dir + "/projects/demo/a/b");
  auto order = rig.program({"pwd"});
  EXPECT_EQ(rig.run(order).exit_code, 0);
  EXPECT_EQ(rig.out(order), rig.dir + "/projects/demo\n");
  auto deeper = rig.program({"pwd"});
  deeper.workdir = "a/b";
  EXPECT_EQ(rig.run(deeper).exit_code, 0);
  EXPECT_EQ(rig.out(deeper), rig.dir + "/projects/demo/a/b\n");
}

TEST_F(LocalRunner, InheritsNoDescriptors) {
  const int leak = ::open("/dev/null", O_RDWR); // without O_CLOEXEC, as a careless library would
  ASSERT_GE(leak, 3);
  const auto order = rig.script("for f in /proc/$$/fd/*; do [ -e $f ] && echo ${f##*/}; done; true");
  EXPECT_EQ(rig.run(order).exit_code, 0);
  ::close(leak);
  auto fds = lines(order);
  std::erase(fds, "10"); // where dash keeps the script it reads
  EXPECT_EQ(fds, (std::vector<std::string>{"0", "1", "2"}));
}

TEST_F(LocalRunner, HasASessionOfItsOwnAndDefaultSignals) {
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  ::sigaddset(&blocked, SIGUSR1);
  sigset_t before;
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  // Read by the shell itself: while it starts a process, it blocks all signals for a moment.
  const auto order = rig.script("ps -o sid= -p $$ | tr -d ' '; echo $$; while IFS= read -r line; do case $line in "
                                "SigBlk*|SigIgn*) echo \"$line\";; esac; done </proc/$$/status");
  EXPECT_EQ(rig.run(order).exit_code, 0);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  std::istringstream in(rig.out(order));
  std::string session;
  std::string pid;
  std::string rest;
  in >> session >> pid;
  EXPECT_EQ(session, pid);
  std::getline(in, rest, '\0');
  EXPECT_NE(rest.find("SigBlk:\t0000000000000000"), std::string::npos) << rest;
  const auto ignored = rest.find("SigIgn:\t");
  ASSERT_NE(ignored, std::string::npos) << rest;
  constexpr auto of_the_c_library = 0x180000000ULL; // signals 32 and 33, which nobody can set
  EXPECT_EQ(std::stoull(rest.substr(ignored + 8), nullptr, 16) & ~of_the_c_library, 0U) << rest;
}

TEST_F(LocalRunner, KeepsBinaryOutputOfBothStreamsByteForByte) {
  std::string all;
  for (int i = 0; i < 256 * 1024; ++i)
    all += static_cast<char>((i * 7 + i / 256) & 255);
  auto order = rig.script("tee /dev/stderr");
  order.stdin_text = all;
  const auto s = rig.run(order);
  EXPECT_EQ(s.exit_code, 0);
  EXPECT_EQ(s.out_bytes, all.size());
  EXPECT_EQ(s.err_total, all.size());
  EXPECT_TRUE(rig.out(order) == all);
  EXPECT_TRUE(rig.err(order) == all);
}

TEST_F(LocalRunner, CountsWhatLiesBeyondTheCapButDoesNotStoreIt) {
  auto order = rig.script("head -c 5000000 /dev/zero; head -c 999 /dev/zero >&2; exit 5");
  order.max_bytes = 1000;
  const auto s = rig.run(order);
  EXPECT_EQ(s.exit_code, 5) << "it never stood still";
  EXPECT_EQ(s.out_bytes, 1000U);
  EXPECT_EQ(s.out_total, 5'000'000U);
  EXPECT_EQ(s.err_bytes, 999U);
  EXPECT_EQ(s.err_total, 999U);
  EXPECT_FALSE(s.output_lost);
  EXPECT_EQ(rig.out(order).size(), 1000U);
}

TEST_F(LocalRunner, StartsAThousandQuickCommandsAndLosesNone) {
  std::vector<launch> orders;
  for (int i = 0; i < 1000; ++i)
    orders.push_back(rig.program({"printf", std::to_string(i)}));
  for (const auto& o : orders)
    ASSERT_TRUE(rig.local->start(o));
  for (std::size_t i = 0; i < orders.size(); ++i) {
    const auto s = ended(*rig.local, orders[i].id);
    ASSERT_EQ(s.state, run_state::exited) << s.reason;
    ASSERT_EQ(s.exit_code, 0);
    ASSERT_EQ(rig.out(orders[i]), std::to_string(i));
  }
}

} // namespace rdev::test
