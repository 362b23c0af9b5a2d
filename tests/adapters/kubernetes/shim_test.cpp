// The shim under real shells, by the same words that reach it in a pod.
#include "adapters/crypto.hpp"
#include "adapters/kubernetes/shim_protocol.hpp"
#include "messages/values/time.hpp"
#include "tests/support/local_exec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>

namespace rdev::kubernetes {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto patience = 30s;

// One connection: sends an order, sorts what comes back.
class conversation final : public exec_listener {
public:
  explicit conversation(const std::string& nonce) : splitter_(nonce) {
  }
  void on_open() override {
  }
  bool on_bytes(stream which, std::string_view bytes) override {
    {
      std::lock_guard guard(mutex_);
      if (which == stream::err)
        err_ += bytes;
      else
        sort(bytes);
    }
    changed_.notify_all();
    return true;
  }
  void on_end(const exec_end&) override {
    {
      std::lock_guard guard(mutex_);
      over_ = true;
    }
    changed_.notify_all();
  }

  // The n-th record, from 0; empty when the connection ends before it.
  std::string record(std::size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return over_ || records_.size() > n; });
    return records_.size() > n ? records_[n] : "";
  }
  bool wait_for_output(std::size_t bytes) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return out_.size() >= bytes; });
  }
  void wait_for_output_or_end(std::size_t bytes) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return out_.size() >= bytes || records_.size() > 1; });
  }
  bool wait_for_errors(std::size_t bytes) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return err_.size() >= bytes; });
  }
  std::string out() {
    std::lock_guard guard(mutex_);
    return out_;
  }
  std::string err() {
    std::lock_guard guard(mutex_);
    return err_;
  }

private:
  void sort(std::string_view bytes) {
    for (auto got = splitter_.take(bytes);; got = splitter_.take({})) {
      out_ += got.bytes;
      if (!got.record)
        return;
      records_.push_back(*got.record);
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  record_splitter splitter_;
  std::vector<std::string> records_;
  std::string out_;
  std::string err_;
  bool over_ = false;
};

// How a command ended, with all that it printed.
struct outcome {
  run_status status;
  std::string out;
  std::string err;
};

class Shim : public ::testing::TestWithParam<std::vector<std::string>> {
protected:
  void SetUp() override {
    transport = test::make_local_exec(GetParam());
    folder = std::filesystem::temp_directory_path() / ("rdev-shim-" + command_id::make().text());
    place = greet();
  }
  void TearDown() override {
    transport.reset();
    std::filesystem::remove_all(folder);
  }

  struct connection {
    std::shared_ptr<conversation> said;
    std::shared_ptr<exec_session> session;
  };
  shim_channel channel() const {
    return {command_id::make().text().substr(4), folder};
  }
  connection open(const shim_channel& on, const std::string& order) {
    connection out;
    out.said = std::make_shared<conversation>(on.nonce);
    out.session = transport->open({"", "", "", shim_argv()}, out.said);
    out.session->send(order);
    return out;
  }
  std::string ask(const shim_channel& on, const std::string& order) {
    const auto c = open(on, order);
    auto out = c.said->record(0);
    c.session->close();
    return out;
  }
  shim_place greet() {
    const auto on = channel();
    const auto here = parse_greeting(ask(on, greet_order(on)));
    EXPECT_TRUE(here);
    return here ? shim_place{here->mark, here->uptime - boot_clock_now()} : shim_place{};
  }
  connection start(const launch& what, std::array<std::uint64_t, 2> from = {}) {
    const auto on = channel();
    return open(on, start_order(on, place, what, from));
  }
  connection attach(const command_id& id, std::array<std::uint64_t, 2> from = {}) {
    const auto on = channel();
    return open(on, attach_order(on, id, from));
  }
  outcome end_of(const connection& c, std::array<std::uint64_t, 2> from = {}) {
    outcome out;
    const auto state = parse_state(c.said->record(1), place);
    EXPECT_TRUE(state) << c.said->record(0) << " / " << c.said->record(1);
    if (!state)
      return out;
    out.status = *state;
    EXPECT_TRUE(c.said->wait_for_errors(state->err_bytes - from[1]));
    c.session->close();
    out.out = c.said->out();
    out.err = c.said->err();
    return out;
  }
  outcome run(const launch& what) {
    return end_of(start(what));
  }
  run_status state_of(const command_id& id) {
    const auto on = channel();
    const auto c = open(on, attach_order(on, id, {}));
    const auto out = parse_state(c.said->record(0), place);
    c.session->close();
    EXPECT_TRUE(out) << c.said->record(0);
    return out.value_or(run_status{});
  }
  std::string cancel(const command_id& id, std::chrono::milliseconds grace = 1s) {
    const auto on = channel();
    return ask(on, cancel_order(on, place, id, grace));
  }

  static launch script(const std::string& text) {
    launch out;
    out.id = command_id::make();
    out.project = "demo";
    out.script = text;
    return out;
  }
  static launch argv(std::vector<std::string> words) {
    launch out;
    out.id = command_id::make();
    out.project = "demo";
    out.argv = std::move(words);
    return out;
  }
  [[nodiscard]] std::string in(const launch& what, const std::string& name) const {
    return folder + "/" + what.id.text() + "/" + name;
  }

  std::unique_ptr<exec_transport> transport;
  std::string folder;
  shim_place place;
};

template <class Condition>
bool comes_true(Condition what) {
  for (const auto end = std::chrono::steady_clock::now() + patience; std::chrono::steady_clock::now() < end;
       ::poll(nullptr, 0, 5))
    if (what())
      return true;
  return false;
}

bool process_lives(const std::string& pid) {
  std::ifstream stat("/proc/" + pid + "/stat");
  std::string text;
  std::getline(stat, text);
  const auto state = text.rfind(") ");
  return state != std::string::npos && text[state + 2] != 'Z';
}

TEST_P(Shim, KnowsItsPlaceAgain) {
  EXPECT_EQ(greet().mark, place.mark);
  EXPECT_LT(std::chrono::abs(place.clock_ahead), 1s); // uptime is our boot clock here
}

TEST_P(Shim, TellsHowACommandEnded) {
  const auto good = run(script("echo out; echo err >&2"));
  EXPECT_EQ(good.status.state, run_state::exited);
  EXPECT_EQ(good.status.exit_code, 0);
  EXPECT_EQ(good.out, "out\n");
  EXPECT_EQ(good.err, "err\n");
  EXPECT_EQ(good.status.out_total, 4U);
  EXPECT_EQ(good.status.err_total, 4U);
  EXPECT_FALSE(good.status.output_lost);
  ASSERT_TRUE(good.status.ended_ago);
  EXPECT_LT(*good.status.ended_ago, patience);
  EXPECT_EQ(run(script("exit 7")).status.exit_code, 7);
  EXPECT_EQ(run(script("exit 255")).status.exit_code, 255);
}

TEST_P(Shim, TellsADeathBySignalFromAnExit) {
  const auto killed = run(script("kill -9 $$")).status;
  EXPECT_EQ(killed.exit_code, 137);
  EXPECT_EQ(killed.signal, 9);
  const auto exited = run(script("exit 137")).status;
  EXPECT_EQ(exited.exit_code, 137);
  EXPECT_EQ(exited.signal, 0);
  EXPECT_EQ(run(script("kill -INT $$")).status.exit_code, 130);
  EXPECT_EQ(run(script("kill -TERM $$")).status.signal, SIGTERM);
}

TEST_P(Shim, SaysWhyACommandCannotBeStarted) {
  auto missing = argv({"no-such-program"});
  missing.missing_hint = "install it's package";
  const auto none = run(missing);
  EXPECT_EQ(none.status.exit_code, 127);
  EXPECT_EQ(none.err, "rdev: no-such-program: not found\nrdev: install it's package\n");
  EXPECT_EQ(run(argv({"/etc/passwd"})).status.exit_code, 126);
  auto nowhere = script("true");
  nowhere.workdir = "no/such folder";
  EXPECT_EQ(run(nowhere).status.exit_code, 126);
}

TEST_P(Shim, PassesEveryByteOfScriptArgumentsEnvironmentAndPrompt) {
  std::string all;
  for (int c = 1; c < 256; ++c)
    all += static_cast<char>(c);
  all += "'\\'' $(echo no) `echo no` \"$HOME\" #end";
  auto what = argv({"printf", "%s", all});
  EXPECT_EQ(run(what).out, all);
  what = script("printf %s \"$VALUE\"");
  what.env = {{"VALUE", secret(all)}, {"D", secret("x")}, {"I", secret("x")}, {"N", secret("x")}};
  EXPECT_EQ(run(what).out, all);
  what = argv({"cat"});
  what.stdin_text = all + std::string(200'000, 'p');
  EXPECT_EQ(run(what).out, what.stdin_text);
  EXPECT_FALSE(std::filesystem::exists(in(what, "stdin"))) << "a prompt is not kept";
  what = script("# " + all.substr(10) + "\nprintf '%s' '" + std::string(300'000, 's') + "' | wc -c");
  EXPECT_THAT(run(what).out, HasSubstr("300000"));
}

TEST_P(Shim, GivesACommandItsOwnEnvironmentAndNothingOfTheShim) {
  auto what =
      script("echo \"$RDEV_COMMAND_ID $RDEV_PROJECT ${LC_ALL-none}\"; exec grep -E 'SigIgn|SigBlk' /proc/self/status");
  what.env = {{"RDEV_PROJECT", secret("another")}};
  const auto got = run(what);
  EXPECT_THAT(got.out, StartsWith(what.id.text() + " demo none\n"));
  // But for 32 and 33, which the C library keeps for itself.
  EXPECT_THAT(got.out, ::testing::ContainsRegex("SigIgn:\t0000000[01][08]0000000\n"));
  EXPECT_THAT(got.out, HasSubstr("SigBlk:\t0000000000000000"));
  what = argv({"ls", "/proc/self/fd"});
  EXPECT_EQ(run(what).out, "0\n1\n2\n3\n") << "the fourth is the folder itself";
  what = script("readlink /proc/self/fd/0");
  EXPECT_EQ(run(what).out, "/dev/null\n");
}

TEST_P(Shim, KeepsOutputOfEverySizeAndKind) {
  const auto got = run(script("head -c 3000000 /dev/urandom | tee \"" + folder +
                              "/copy\"; printf '\\036RDEV x running\\n\\0\\377' >&2"));
  std::ifstream file(folder + "/copy", std::ios::binary);
  const std::string copy((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  ASSERT_EQ(copy.size(), 3'000'000U);
  EXPECT_TRUE(got.out == copy);
  EXPECT_EQ(got.err, std::string("\x1eRDEV x running\n\0\xff", 18));
}

TEST_P(Shim, RunsACommandOnceHoweverOftenItIsAsked) {
  const auto what = script("echo ran >>\"" + folder + "/runs\"; sleep 0.2; echo end");
  std::vector<connection> all;
  for (int i = 0; i < 8; ++i)
    all.push_back(start(what));
  for (const auto& one : all)
    EXPECT_EQ(end_of(one).out, "end\n");
  EXPECT_EQ(run(what).out, "end\n") << "also when it is over";
  std::ifstream file(folder + "/runs");
  EXPECT_EQ(std::string((std::istreambuf_iterator<char>(file)), {}), "ran\n");
}

TEST_P(Shim, GoesOnWithoutAClientAndServesTheNextFromAnyByte) {
  const auto what = script(
      "i=0; while [ $i -lt 2000 ]; do echo \"line $i\"; echo \"error $i\" >&2; i=$((i + 1)); done; while [ ! -e \"" +
      folder + "/go\" ]; do sleep 0.05; done; echo end");
  const auto first = start(what);
  ASSERT_TRUE(first.said->wait_for_output(5000));
  first.session->close();
  const auto whole = [&] {
    const auto second = attach(what.id);
    EXPECT_EQ(second.said->record(0), "running");
    std::ofstream(folder + "/go") << "";
    return end_of(second);
  }();
  EXPECT_THAT(whole.out, StartsWith("line 0\nline 1\n"));
  EXPECT_TRUE(whole.out.ends_with("line 1999\nend\n"));
  EXPECT_EQ(whole.status.out_bytes, whole.out.size());
  const std::array<std::uint64_t, 2> near{whole.out.size() - 4, whole.err.size() - 5};
  const auto rest = end_of(attach(what.id, near), near);
  EXPECT_EQ(rest.out, "end\n");
  EXPECT_EQ(rest.err, "1999\n");
  const std::array<std::uint64_t, 2> end{whole.out.size(), whole.err.size()};
  const auto nothing = end_of(attach(what.id, end), end);
  EXPECT_EQ(nothing.out + nothing.err, "");
  EXPECT_EQ(nothing.status.exit_code, 0);
}

TEST_P(Shim, CutsAnywhereLoseAndRepeatNothing) {
  const auto what = script(
      "i=0; while [ $i -lt 300 ]; do printf '%01000d\\n' $i; i=$((i + 1)); [ $((i % 20)) != 0 ] || sleep 0.02; done");
  std::string expected;
  for (int i = 0; i < 300; ++i) {
    const auto digits = std::to_string(i);
    expected += std::string(1000 - digits.size(), '0') + digits + "\n";
  }
  std::string got;
  auto now = start(what);
  for (std::size_t cut = 0; cut < 10; ++cut) {
    now.said->wait_for_output_or_end(1 + cut * 300);
    now.session->close();
    got += now.said->out();
    now = attach(what.id, {got.size(), 0});
  }
  const auto last = end_of(now);
  EXPECT_TRUE(got + last.out == expected);
  EXPECT_EQ(last.status.out_bytes, expected.size());
}

TEST_P(Shim, StartsAtOnceRunACommandOnceAndLoseNothing) {
  std::filesystem::create_directories(folder);
  for (int round = 0; round < 5; ++round) {
    const auto ledger = folder + "/ledger" + std::to_string(round);
    const auto what = script("echo run >>" + ledger + "; head -c 150000 /dev/zero; echo end >&2");
    const std::array<connection, 3> all{start(what), start(what), start(what)};
    for (const auto& one : all) {
      const auto got = end_of(one);
      EXPECT_EQ(got.status.state, run_state::exited);
      EXPECT_EQ(got.out, std::string(150'000, '\0'));
      EXPECT_EQ(got.err, "end\n");
      EXPECT_EQ(got.status.out_bytes, 150'000U);
    }
    std::ifstream file(ledger);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "run\n");
  }
}

TEST_P(Shim, ACancelEndsTheWholeTree) {
  const auto what = script("trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & setsid sleep "
                           "1000 & echo $$; while :; do sleep 1; done");
  const auto c = start(what);
  ASSERT_TRUE(comes_true([&] {
    const auto out = c.said->out();
    return std::count(out.begin(), out.end(), '\n') == 2;
  }));
  EXPECT_EQ(cancel(what.id, 0s), "ending");
  const auto got = end_of(c);
  EXPECT_EQ(got.status.state, run_state::exited);
  EXPECT_TRUE(got.status.killed_by_us);
  EXPECT_FALSE(got.status.timed_out);
  EXPECT_EQ(got.status.signal, SIGKILL);
  EXPECT_EQ(got.status.survivors, 0);
  std::istringstream pids(got.out);
  for (std::string pid; pids >> pid;)
    EXPECT_FALSE(process_lives(pid));
  EXPECT_THAT(cancel(what.id), StartsWith("exited 137 signal cancel"));
}

TEST_P(Shim, ACancelWithGraceLetsACommandEndByItself) {
  const auto what = script("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
  const auto c = start(what);
  ASSERT_TRUE(c.said->wait_for_output(6));
  EXPECT_EQ(cancel(what.id, 20s), "ending");
  const auto got = end_of(c);
  EXPECT_EQ(got.out, "ready\nbye\n");
  EXPECT_EQ(got.status.exit_code, 3);
  EXPECT_TRUE(got.status.killed_by_us);
}

TEST_P(Shim, ACancelBeforeTheStartIsATombstone) {
  const auto what = script("echo ran");
  EXPECT_EQ(cancel(what.id), "cancelled");
  EXPECT_EQ(start(what).said->record(0), "cancelled");
  EXPECT_EQ(state_of(what.id).state, run_state::tombstone);
}

TEST_P(Shim, ATimeOutNeedsNoClient) {
  auto what = script("sleep 1000");
  what.timeout = 1s;
  const auto first = start(what);
  EXPECT_EQ(first.said->record(0), "new running");
  first.session->close();
  const auto got = end_of(attach(what.id));
  EXPECT_TRUE(got.status.timed_out);
  EXPECT_EQ(got.status.signal, SIGTERM);
}

TEST_P(Shim, StartsNothingElsewhereOrTooLate) {
  const auto what = script("echo ran");
  const auto good = place;
  place.mark = "another.1.boot";
  EXPECT_EQ(start(what).said->record(0), "elsewhere " + good.mark);
  EXPECT_EQ(cancel(what.id), "elsewhere " + good.mark);
  place = good;
  auto late = what;
  late.valid_until = 1s;
  EXPECT_EQ(start(late).said->record(0), "late");
  EXPECT_EQ(state_of(what.id).state, run_state::absent);
  EXPECT_EQ(run(what).out, "ran\n") << "it may still be started";
}

TEST_P(Shim, IsLostWhenWhatStoodOverItIsKilled) {
  const auto what = script("echo $$; sleep 1000");
  const auto c = start(what);
  ASSERT_TRUE(c.said->wait_for_output(2));
  c.session->close();
  std::ifstream file(folder + "/" + what.id.text() + ".start");
  std::string word;
  pid_t waiter = 0;
  ASSERT_TRUE(file >> word >> waiter);
  ASSERT_EQ(word, "run");
  ::kill(waiter, SIGKILL);
  EXPECT_TRUE(comes_true([&] { return state_of(what.id).state == run_state::lost; }));
  const auto rest = end_of(attach(what.id));
  EXPECT_EQ(rest.status.state, run_state::lost);
  EXPECT_EQ(rest.status.reason, "what stood over the command was killed");
  EXPECT_FALSE(rest.out.empty()) << "the output so far";
  const auto on = channel();
  EXPECT_EQ(ask(on, leftovers_order(on, what.id)), "survivors 0");
  const auto pid = rest.out.substr(0, rest.out.size() - 1);
  EXPECT_TRUE(comes_true([&] { return !process_lives(pid); }));
}

TEST_P(Shim, LeavesBackgroundChildrenAlone) {
  const auto what = script("sleep 1000 & echo $!; exit 4");
  const auto got = run(what);
  EXPECT_EQ(got.status.exit_code, 4);
  const auto pid = got.out.substr(0, got.out.size() - 1);
  EXPECT_TRUE(process_lives(pid));
  ::kill(std::stoi(pid), SIGKILL);
  EXPECT_EQ(end_of(attach(what.id)).status.out_bytes, got.status.out_bytes) << "settled once";
}

TEST_P(Shim, CapsWhatIsKept) {
  auto what = script("head -c 500000 /dev/zero; echo done >&2");
  what.max_bytes = 100'000;
  const auto got = run(what);
  EXPECT_EQ(got.status.exit_code, 0) << "the command does not notice";
  EXPECT_GE(got.status.out_bytes, 100'000U);
  EXPECT_LT(got.status.out_bytes, 300'000U);
  EXPECT_GT(got.status.out_total, got.status.out_bytes);
  EXPECT_FALSE(got.status.output_lost);
  EXPECT_EQ(got.err, "done\n");
}

TEST_P(Shim, ForgetsAndNeverStartsAgain) {
  const auto what = script("echo ran");
  ASSERT_EQ(run(what).out, "ran\n");
  const auto live = script("sleep 1000");
  const auto c = start(live);
  EXPECT_EQ(c.said->record(0), "new running");
  const auto on = channel();
  EXPECT_EQ(ask(on, forget_order(on, {what.id, live.id}, 1h)), "forgotten");
  EXPECT_FALSE(std::filesystem::exists(folder + "/" + what.id.text()));
  EXPECT_EQ(state_of(what.id).state, run_state::lost);
  EXPECT_EQ(state_of(live.id).state, run_state::running) << "what runs is not forgotten";
  const auto here = channel();
  const auto kept = parse_greeting(ask(here, greet_order(here)));
  ASSERT_TRUE(kept);
  EXPECT_THAT(kept->kept, ::testing::ElementsAre(live.id));
  cancel(live.id, 0s);
  EXPECT_TRUE(end_of(c).status.killed_by_us);
}

TEST_P(Shim, LeavesNoProcessBehind) {
  const auto what = script("echo ran");
  ASSERT_EQ(run(what).out, "ran\n");
  EXPECT_TRUE(comes_true([&] {
    for (const auto& one : std::filesystem::directory_iterator("/proc")) {
      std::ifstream file(one.path() / "cmdline", std::ios::binary);
      std::ostringstream read;
      read << file.rdbuf(); // a process that has just ended is a failed read, not an exception
      const auto text = read.str();
      std::error_code gone;
      if (text.find("exit 125") == std::string::npos)
        continue;
      for (const auto& fd : std::filesystem::directory_iterator(one.path() / "fd", gone))
        if (const auto to = std::filesystem::read_symlink(fd, gone).string();
            to.find(what.id.text()) != std::string::npos)
          return false;
    }
    return true;
  }));
}

INSTANTIATE_TEST_SUITE_P(Shells, Shim,
                         ::testing::Values(std::vector<std::string>{"dash"}, std::vector<std::string>{"bash"},
                                           std::vector<std::string>{"busybox", "sh"}),
                         [](const auto& shell) { return shell.param.front(); });

} // namespace
} // namespace rdev::kubernetes
