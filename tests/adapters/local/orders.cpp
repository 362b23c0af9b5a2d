// The order of a command, as it goes to the shim, and the files of a run folder.
#include "adapters/local/order.hpp"
#include "adapters/local/processes.hpp"
#include "adapters/local/run_files.hpp"
#include "tests/adapters/local/local_rig.hpp"

#include <fcntl.h>

#include <random>

namespace rdev::local {

namespace {

order full_order() {
  order o;
  o.folder = "/run/x";
  o.boot_tag = "tag/1";
  o.working_dir = "/w";
  o.change_user = true;
  o.uid = 7;
  o.gid = 4'000'000'000U;
  o.groups = {1, 2, 3};
  o.script = std::string("echo\0x\n", 7);
  o.argv = {"a", "", "c\xff"};
  o.environment = {"A=1", "B="};
  o.stdin_text = "in";
  o.max_bytes = 1ULL << 40U;
  o.missing_hint = "hint";
  o.timeout_ms = 1;
  o.grace_ms = 2;
  o.valid_until_ms = ~0ULL;
  return o;
}

void expect_same(const order& a, const order& b) {
  EXPECT_EQ(a.folder, b.folder);
  EXPECT_EQ(a.boot_tag, b.boot_tag);
  EXPECT_EQ(a.working_dir, b.working_dir);
  EXPECT_EQ(a.change_user, b.change_user);
  EXPECT_EQ(a.uid, b.uid);
  EXPECT_EQ(a.gid, b.gid);
  EXPECT_EQ(a.groups, b.groups);
  EXPECT_EQ(a.script, b.script);
  EXPECT_EQ(a.argv, b.argv);
  EXPECT_EQ(a.environment, b.environment);
  EXPECT_EQ(a.stdin_text, b.stdin_text);
  EXPECT_EQ(a.max_bytes, b.max_bytes);
  EXPECT_EQ(a.missing_hint, b.missing_hint);
  EXPECT_EQ(a.timeout_ms, b.timeout_ms);
  EXPECT_EQ(a.grace_ms, b.grace_ms);
  EXPECT_EQ(a.valid_until_ms, b.valid_until_ms);
}

} // namespace

TEST(Order, ComesOutAsItWentIn) {
  for (const auto& o : {full_order(), order{}}) {
    const auto back = decode(encode(o));
    ASSERT_TRUE(back);
    expect_same(o, *back);
  }
  auto empty_script = full_order();
  empty_script.script = "";
  EXPECT_EQ(decode(encode(empty_script))->script, "");
}

TEST(Order, IsRefusedWhenAnythingIsMissingOrLeftOver) {
  const auto whole = encode(full_order());
  for (std::size_t n = 0; n < whole.size(); ++n)
    EXPECT_FALSE(decode(whole.substr(0, n))) << n;
  EXPECT_FALSE(decode(whole + "x"));
  EXPECT_FALSE(decode("y" + whole.substr(1)));
}

TEST(Order, DamageNeverReadsBeyondTheBytes) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto whole = encode(full_order());
  std::size_t refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto damaged = whole;
    for (int n = 0; n < 3; ++n)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    if (!decode(damaged))
      ++refused;
  }
  EXPECT_GT(refused, 0U);
}

class RunFiles : public ::testing::Test {
protected:
  RunFiles() {
    std::filesystem::create_directories(folder);
  }
  test::local_rig rig;
  std::string folder = rig.dir + "/run/one";
};

TEST_F(RunFiles, TheStartFileIsTakenOnce) {
  descriptor first;
  descriptor second;
  EXPECT_EQ(take_start(folder, first), claim::won);
  EXPECT_EQ(take_start(folder, second), claim::taken);
  EXPECT_EQ(take_start(folder + "/nowhere/one", second), claim::failed);
  start_record record;
  EXPECT_EQ(read_start(folder, record), start_file::being_written);
  ASSERT_TRUE(write_start(first, {start_mark::run, 42, 4711, {7, 8}, "tag/1"}));
  ASSERT_EQ(read_start(folder, record), start_file::there);
  EXPECT_EQ(record.mark, start_mark::run);
  EXPECT_EQ(record.pipes, (std::array<std::uint64_t, 2>{7, 8}));
  EXPECT_EQ(record.shim, 42);
  EXPECT_EQ(record.starttime, 4711U);
  EXPECT_EQ(record.boot_tag, "tag/1");
}

TEST_F(RunFiles, AStartFileThatWasReplacedIsNoLongerOnesOwn) {
  descriptor mine;
  ASSERT_EQ(take_start(folder, mine), claim::won);
  EXPECT_TRUE(owns_start(folder, mine));
  for (const auto mark : {start_mark::lost, start_mark::ended, start_mark::cancelled}) {
    ASSERT_TRUE(replace_start(folder, mark));
    start_record record;
    ASSERT_EQ(read_start(folder, record), start_file::there);
    EXPECT_EQ(record.mark, mark);
    EXPECT_EQ(is_ended_mark(folder + ".start"), mark == start_mark::ended);
    EXPECT_FALSE(owns_start(folder, mine));
  }
}

TEST_F(RunFiles, AnEndIsMarkedWhateverStoodThere) {
  descriptor mine;
  ASSERT_EQ(take_start(folder, mine), claim::won);
  ASSERT_TRUE(write_start(mine, {start_mark::run, 42, 4711, {7, 8}, "tag/1"}));
  for (int i = 0; i < 2; ++i) { // also a second time
    ASSERT_TRUE(mark_ended(folder));
    start_record record;
    ASSERT_EQ(read_start(folder, record), start_file::there);
    EXPECT_EQ(record.mark, start_mark::ended);
    EXPECT_TRUE(is_ended_mark(folder + ".start"));
  }
  std::ofstream(folder + ".start") << "ended\n42 4711 7 8 tag/1\n"; // a death before the rest was cut off
  start_record record;
  ASSERT_EQ(read_start(folder, record), start_file::there);
  EXPECT_EQ(record.mark, start_mark::ended);
  std::filesystem::remove(folder + ".start");
  ASSERT_TRUE(mark_ended(folder)) << "what was never started";
  EXPECT_TRUE(is_ended_mark(folder + ".start"));
}

TEST_F(RunFiles, AHalfWrittenStartFileIsStillBeingWritten) {
  for (const auto* half : {"", "r", "run 42 47", "run 42 4711 ta", "cancell"}) {
    std::ofstream(folder + ".start") << half;
    start_record record;
    EXPECT_EQ(read_start(folder, record), start_file::being_written) << half;
  }
}

TEST_F(RunFiles, TheEndIsRecordedInTheRoomSetAside) {
  EXPECT_FALSE(read_end(folder));
  ASSERT_TRUE(reserve_end(folder));
  EXPECT_FALSE(read_end(folder));
  const end_record r{255,   64,    true,  true,  1000, std::chrono::milliseconds(std::int64_t{1} << 53),
                     ~0ULL, ~0ULL, ~0ULL, ~0ULL, true};
  ASSERT_TRUE(write_end(folder, r));
  const auto back = read_end(folder);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->exit_code, 255);
  EXPECT_EQ(back->signal, 64);
  EXPECT_TRUE(back->killed);
  EXPECT_TRUE(back->timed_out);
  EXPECT_EQ(back->at, r.at);
  EXPECT_EQ(back->survivors, 1000);
  EXPECT_EQ(back->out_bytes, ~0ULL);
  EXPECT_EQ(back->err_total, ~0ULL);
  EXPECT_TRUE(back->output_lost);
  EXPECT_EQ(std::filesystem::file_size(folder + "/code"), 256U);
}

TEST_F(RunFiles, AProcessIsToldFromALaterOneByItsStartTime) {
  EXPECT_TRUE(starttime_of(::getpid()));
  EXPECT_EQ(starttime_of(::getpid()), starttime_of(::getpid()));
  EXPECT_FALSE(starttime_of(0x3fffffff));
}

} // namespace rdev::local
