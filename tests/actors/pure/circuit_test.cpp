// When a circuit opens, rests, probes and closes; and the board that keeps one for each dependency.
#include "actors/circuit.hpp"
#include "actors/circuit_board.hpp"
#include "tests/support/watched.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>

namespace rdev {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds quick(1);

circuit_limits limits() {
  circuit_limits out;
  out.window = milliseconds(1'000);
  out.fewest_calls = 4;
  out.failing_percent = 50;
  out.slow = milliseconds(100);
  out.first_rest = milliseconds(200);
  out.longest_rest = milliseconds(1'000);
  out.probe_limit = milliseconds(500);
  return out;
}

struct Circuit : ::testing::Test {
  // One call after the other, at the present time.
  void calls(std::initializer_list<bool> well, milliseconds took = quick) {
    for (const bool one : well) {
      const auto pass = it.admit(now);
      ASSERT_TRUE(pass);
      it.ended(now, *pass, one, took);
    }
  }
  void open_it() {
    calls({false, false, false, false});
    ASSERT_EQ(it.state(), circuit_state::open);
  }

  milliseconds now{50'000};
  circuit it{limits()};
};

TEST_F(Circuit, StaysClosedWhileLessThanHalfFail) {
  calls({true, true, true, false, false, true, true});
  EXPECT_EQ(it.state(), circuit_state::closed);
}

TEST_F(Circuit, OpensWhenHalfFail) {
  calls({true, true, false});
  EXPECT_EQ(it.state(), circuit_state::closed) << "three calls are too few";
  calls({false});
  EXPECT_EQ(it.state(), circuit_state::open);
  EXPECT_FALSE(it.admits(now));
  EXPECT_FALSE(it.admit(now));
  EXPECT_EQ(it.remaining(now), milliseconds(200));
}

TEST_F(Circuit, FewCallsNeverOpenIt) {
  calls({false, false, false});
  EXPECT_EQ(it.state(), circuit_state::closed);
}

TEST_F(Circuit, SlowCallsCountAsFailed) {
  calls({true, true, true, true}, milliseconds(100));
  EXPECT_EQ(it.state(), circuit_state::closed) << "as long as it may take";
  calls({true, true, true, true}, milliseconds(101));
  EXPECT_EQ(it.state(), circuit_state::open);
}

TEST_F(Circuit, ForgetsCallsBeforeTheWindow) {
  calls({false, false, false});
  now += milliseconds(1'000);
  calls({false});
  EXPECT_EQ(it.state(), circuit_state::closed);
}

TEST_F(Circuit, OneProbeAtATimeAfterTheRest) {
  open_it();
  now += milliseconds(199);
  EXPECT_FALSE(it.admit(now));
  now += milliseconds(1);
  const auto probe = it.admit(now);
  ASSERT_TRUE(probe);
  EXPECT_EQ(it.state(), circuit_state::half_open);
  EXPECT_FALSE(it.admit(now));
  it.ended(now, *probe, true, quick);
  EXPECT_EQ(it.state(), circuit_state::closed);
  EXPECT_TRUE(it.admit(now));
}

TEST_F(Circuit, AFailedProbeDoublesTheRestUpToALimit) {
  open_it();
  for (const int rest : {200, 400, 800, 1'000, 1'000}) {
    EXPECT_EQ(it.remaining(now), milliseconds(rest));
    now += milliseconds(rest);
    const auto probe = it.admit(now);
    ASSERT_TRUE(probe);
    it.ended(now, *probe, false, quick);
    ASSERT_EQ(it.state(), circuit_state::open);
  }
  now += milliseconds(1'000);
  it.ended(now, it.admit(now).value(), true, quick);
  open_it();
  EXPECT_EQ(it.remaining(now), milliseconds(200)) << "once it was well the rest is short again";
}

TEST_F(Circuit, ASlowProbeHasFailed) {
  open_it();
  now += milliseconds(200);
  it.ended(now, it.admit(now).value(), true, milliseconds(101));
  EXPECT_EQ(it.state(), circuit_state::open);
}

TEST_F(Circuit, AProbeThatNeverEndsIsGivenUp) {
  open_it();
  now += milliseconds(200);
  const auto lost = it.admit(now);
  ASSERT_TRUE(lost);
  now += milliseconds(499);
  EXPECT_FALSE(it.admit(now));
  now += milliseconds(1);
  const auto second = it.admit(now);
  ASSERT_TRUE(second);
  it.ended(now, *lost, false, quick);
  EXPECT_EQ(it.state(), circuit_state::half_open) << "the first one's end says nothing any more";
  it.ended(now, *second, true, quick);
  EXPECT_EQ(it.state(), circuit_state::closed);
}

TEST_F(Circuit, CallsFromBeforeAChangeDoNotCount) {
  const auto old = it.admit(now);
  ASSERT_TRUE(old);
  open_it();
  it.ended(now, *old, true, quick);
  EXPECT_EQ(it.state(), circuit_state::open);
  now += milliseconds(200);
  it.ended(now, it.admit(now).value(), true, quick);
  for (int i = 0; i < 10; ++i)
    it.ended(now, *old, false, quick);
  EXPECT_EQ(it.state(), circuit_state::closed);
}

TEST_F(Circuit, NewsFromElsewhereClosesIt) {
  open_it();
  it.recovered();
  EXPECT_EQ(it.state(), circuit_state::closed);
  EXPECT_TRUE(it.admit(now));
  open_it();
}

// Beside a model that keeps every call: it opens exactly when the model says so.
TEST_F(Circuit, OpensExactlyWhenTheModelDoes) {
  std::mt19937_64 dice(7);
  const auto part = limits().window / 10;
  for (int round = 0; round < 200; ++round) {
    circuit one(limits());
    std::deque<std::pair<std::int64_t, bool>> kept; // number of the tenth, failed
    const int failing = static_cast<int>(dice() % 100);
    for (int i = 0; i < 100 && one.state() == circuit_state::closed; ++i) {
      now += milliseconds(dice() % 150);
      const bool well = static_cast<int>(dice() % 100) >= failing;
      kept.emplace_back(now / part, !well);
      while (kept.front().first <= now / part - 10)
        kept.pop_front();
      const auto bad = std::count_if(kept.begin(), kept.end(), [](const auto& k) { return k.second; });
      const bool must = !well && kept.size() >= 4 && 2 * static_cast<std::size_t>(bad) >= kept.size();
      one.ended(now, one.admit(now).value(), well, quick);
      ASSERT_EQ(one.state() == circuit_state::open, must) << "round " << round << ", call " << i;
    }
  }
}

struct CircuitBoard : ::testing::Test {
  void fail(std::string_view name, int times = 5) {
    for (int i = 0; i < times; ++i)
      board.ended(name, *board.admit(name), false, quick);
  }

  milliseconds now{1'000};
  test::watched_log log;
  test::watched_metrics metrics;
  circuit_board board{[this] { return now; }, log, metrics, {{"quick", limits()}}};
};

TEST_F(CircuitBoard, KeepsOneForEachName) {
  fail("a");
  EXPECT_FALSE(board.admits("a"));
  EXPECT_TRUE(board.admits("b"));
  EXPECT_TRUE(board.admit("b"));
  EXPECT_THAT(board.broken(), ::testing::ElementsAre(::testing::Pair("a", circuit_state::open)));
}

TEST_F(CircuitBoard, SaysWhatIsOpenAndForHowLong) {
  fail("a");
  const auto refused = board.admit("a");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, fault::unavailable);
  EXPECT_EQ(refused.error().message, "the circuit of a is open: it is tried again in 1000 ms");
}

TEST_F(CircuitBoard, CountsAndLogsEachChange) {
  ASSERT_TRUE(board.admit("a"));
  EXPECT_EQ(metrics.count("circuit a"), 0);
  fail("a");
  EXPECT_EQ(metrics.count("circuit a"), 2);
  EXPECT_TRUE(log.says("a circuit opened: the dependency is left alone circuit=a"));
  now += milliseconds(1'000);
  const auto probe = board.admit("a");
  EXPECT_EQ(metrics.count("circuit a"), 1);
  board.ended("a", *probe, true, quick);
  EXPECT_EQ(metrics.count("circuit a"), 0);
  EXPECT_TRUE(log.says("a circuit closed: the dependency is well again circuit=a"));
  board.forget("a");
  EXPECT_EQ(metrics.count("circuit a"), -1) << "gone from the metrics";
}

TEST_F(CircuitBoard, SomeHaveLimitsOfTheirOwn) {
  fail("quick", 4);
  EXPECT_FALSE(board.admits("quick"));
  fail("a", 4);
  EXPECT_TRUE(board.admits("a"));
}

TEST_F(CircuitBoard, ForgetsWhatIsNoMore) {
  fail("a");
  board.forget("a");
  EXPECT_TRUE(board.admits("a"));
  EXPECT_TRUE(board.broken().empty());
}

TEST_F(CircuitBoard, CallsGoThroughIt) {
  int asked = 0;
  const auto call = [&]() -> result<int> {
    ++asked;
    return failure{fault::unavailable, "away"};
  };
  for (int i = 0; i < 10; ++i)
    EXPECT_FALSE(through(board, "a", call));
  EXPECT_EQ(asked, 5) << "the others were not made";
  now += milliseconds(1'000);
  const auto answered = through(board, "a", []() -> result<int> { return 7; });
  ASSERT_TRUE(answered);
  EXPECT_EQ(*answered, 7);
  EXPECT_TRUE(board.broken().empty());
  for (int i = 0; i < 10; ++i)
    EXPECT_FALSE(through(board, "a", []() -> result<int> { return failure{fault::invalid, "no"}; }));
  EXPECT_TRUE(board.broken().empty()) << "a refusal is an answer";
}

} // namespace
} // namespace rdev
