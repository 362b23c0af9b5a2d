#include "messages/values/time.hpp"
#include "tests/support/contracts/runner_contract.hpp"

#include <mutex>
#include <set>

namespace rdev::test {

TEST_P(ProcessRunner, NothingIsKnownOfACommandThatWasNeverStarted) {
  const auto id = command_id::make();
  EXPECT_EQ(status_now(*runner, id).state, run_state::absent);
  EXPECT_EQ(text_of(*runner, id, stream::out), "");
}

TEST_P(ProcessRunner, TheBootTagStaysAsItIs) {
  EXPECT_FALSE(runner->boot_tag().empty());
  EXPECT_EQ(runner->boot_tag(), runner->boot_tag());
}

TEST_P(ProcessRunner, ACommandStartsPrintsAndEnds) {
  const auto order = rig->prints_and_exits("hello", 7);
  ASSERT_TRUE(runner->start(order));
  const auto s = ended(*runner, order.id);
  EXPECT_EQ(s.state, run_state::exited);
  EXPECT_EQ(s.exit_code, 7);
  EXPECT_EQ(s.signal, 0);
  EXPECT_FALSE(s.killed_by_us);
  EXPECT_EQ(s.survivors, 0);
  EXPECT_EQ(s.out_bytes, 5U);
  EXPECT_EQ(s.out_total, 5U);
  EXPECT_EQ(s.err_bytes, 0U);
  EXPECT_FALSE(s.output_lost);
  EXPECT_EQ(text_of(*runner, order.id, stream::out), "hello");
  EXPECT_EQ(text_of(*runner, order.id, stream::err), "");
}

TEST_P(ProcessRunner, OutputIsReadFromAnyOffset) {
  const auto order = rig->prints_and_exits("0123456789", 0);
  ASSERT_TRUE(runner->start(order));
  ended(*runner, order.id);
  const auto part = [&](std::uint64_t offset, std::size_t most) {
    auto r = runner->read(order.id, stream::out, offset, most);
    return r ? *r : "a fault: " + r.error().message;
  };
  EXPECT_EQ(part(0, 4), "0123");
  EXPECT_EQ(part(8, 4), "89");
  EXPECT_EQ(part(10, 4), "");
  EXPECT_EQ(part(1'000'000'000'000ULL, 4), "");
  EXPECT_EQ(part(3, 0), "");
}

TEST_P(ProcessRunner, ASecondStartChangesNothingInAnyState) {
  const auto live = rig->runs_until_cancelled();
  ASSERT_TRUE(runner->start(live));
  const auto again = runner->start(live);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->state, run_state::running);
  ASSERT_TRUE(runner->cancel(live.id, std::chrono::milliseconds(5000)));
  ended(*runner, live.id);
  EXPECT_EQ(runner->start(live)->state, run_state::exited);

  const auto order = rig->prints_and_exits("x", 3);
  ASSERT_TRUE(runner->start(order));
  ended(*runner, order.id);
  const auto repeated = runner->start(order);
  ASSERT_TRUE(repeated);
  EXPECT_EQ(repeated->state, run_state::exited);
  EXPECT_EQ(repeated->exit_code, 3);
  EXPECT_EQ(text_of(*runner, order.id, stream::out), "x");
}

TEST_P(ProcessRunner, ACancelBeforeTheStartIsATombstoneForEver) {
  const auto order = rig->prints_and_exits("never", 0);
  const auto cancelled = runner->cancel(order.id, std::chrono::milliseconds(10));
  ASSERT_TRUE(cancelled);
  EXPECT_EQ(cancelled->state, run_state::tombstone);
  const auto started = runner->start(order);
  ASSERT_TRUE(started);
  EXPECT_EQ(started->state, run_state::tombstone);
  EXPECT_EQ(runner->cancel(order.id, std::chrono::milliseconds(10))->state, run_state::tombstone);
  EXPECT_EQ(status_now(*runner, order.id).state, run_state::tombstone);
  EXPECT_EQ(text_of(*runner, order.id, stream::out), "");
}

TEST_P(ProcessRunner, ACancelEndsARunningCommand) {
  const auto order = rig->runs_until_cancelled();
  ASSERT_TRUE(runner->start(order));
  ASSERT_TRUE(runner->cancel(order.id, std::chrono::milliseconds(5000)));
  ASSERT_TRUE(runner->cancel(order.id, std::chrono::milliseconds(5000))) << "a repeat is harmless";
  const auto s = ended(*runner, order.id);
  EXPECT_EQ(s.state, run_state::exited);
  EXPECT_TRUE(s.killed_by_us);
  EXPECT_EQ(s.survivors, 0);
}

TEST_P(ProcessRunner, ACancelBehindTheEndChangesNothing) {
  const auto order = rig->prints_and_exits("", 0);
  ASSERT_TRUE(runner->start(order));
  ended(*runner, order.id);
  const auto s = runner->cancel(order.id, std::chrono::milliseconds(10));
  ASSERT_TRUE(s);
  EXPECT_EQ(s->state, run_state::exited);
  EXPECT_EQ(s->exit_code, 0);
  EXPECT_FALSE(s->killed_by_us);
}

TEST_P(ProcessRunner, ARunningCommandCannotBeForgottenAnEndedOneCan) {
  const auto order = rig->runs_until_cancelled();
  ASSERT_TRUE(runner->start(order));
  const auto refused = runner->forget(order.id);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, fault::invalid);
  EXPECT_EQ(status_now(*runner, order.id).state, run_state::running);
  ASSERT_TRUE(runner->cancel(order.id, std::chrono::milliseconds(5000)));
  ended(*runner, order.id);
  EXPECT_TRUE(runner->forget(order.id));
  EXPECT_TRUE(runner->forget(order.id));
  EXPECT_EQ(status_now(*runner, order.id).state, run_state::lost);
  EXPECT_EQ(text_of(*runner, order.id, stream::out), "");
}

TEST_P(ProcessRunner, WhatIsForgottenIsNeverStartedAgain) {
  const auto order = rig->prints_and_exits("x", 0);
  ASSERT_TRUE(runner->start(order));
  ended(*runner, order.id);
  ASSERT_TRUE(runner->forget(order.id));
  const auto again = runner->start(order);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->state, run_state::lost);
  EXPECT_EQ(text_of(*runner, order.id, stream::out), "");
  EXPECT_EQ(runner->cancel(order.id, std::chrono::milliseconds(10))->state, run_state::lost);
}

TEST_P(ProcessRunner, AnOrderThatComesTooLateStartsNothing) {
  auto order = rig->prints_and_exits("x", 0);
  order.valid_until = boot_clock_now() - std::chrono::milliseconds(1);
  const auto late = runner->start(order);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, fault::deadline);
  EXPECT_EQ(status_now(*runner, order.id).state, run_state::absent);
  order.valid_until = boot_clock_now() + std::chrono::minutes(5);
  ASSERT_TRUE(runner->start(order)) << "nothing stands in the way of another order";
  EXPECT_EQ(ended(*runner, order.id).exit_code, 0);
}

TEST_P(ProcessRunner, KnowsOfWhichCommandsSomethingIsKept) {
  const auto a = rig->prints_and_exits("a", 0);
  const auto b = rig->prints_and_exits("b", 0);
  for (const auto& one : {a, b}) {
    ASSERT_TRUE(runner->start(one));
    ended(*runner, one.id);
  }
  EXPECT_EQ(runner->kept()->size(), 2U);
  ASSERT_TRUE(runner->forget(a.id));
  EXPECT_EQ(*runner->kept(), std::vector{b.id});
}

TEST_P(ProcessRunner, KeepsMarksAsLongAsItIsTold) {
  const auto order = rig->prints_and_exits("a", 0);
  ASSERT_TRUE(runner->start(order));
  ended(*runner, order.id);
  ASSERT_TRUE(runner->forget(order.id));
  ASSERT_TRUE(runner->drop_marks(std::chrono::hours(1)));
  EXPECT_EQ(status_now(*runner, order.id).state, run_state::lost);
  ASSERT_TRUE(runner->drop_marks(std::chrono::seconds(-1)));
  EXPECT_EQ(status_now(*runner, order.id).state, run_state::absent);
}

TEST_P(ProcessRunner, TellsOfGrowthAndOfTheEnd) {
  std::mutex mutex;
  std::set<command_id> told;
  runner->watch([&](const command_id& id) {
    std::lock_guard guard(mutex);
    told.insert(id);
  });
  const auto a = rig->prints_and_exits("a", 0);
  const auto b = rig->prints_and_exits("b", 1);
  ASSERT_TRUE(runner->start(a));
  ASSERT_TRUE(runner->start(b));
  EXPECT_TRUE(comes_true([&] {
    std::lock_guard guard(mutex);
    return told.contains(a.id) && told.contains(b.id);
  }));
  ended(*runner, a.id);
  ended(*runner, b.id);
  runner->watch({});
}

TEST_P(ProjectHost, MakesFindsListsAndRemovesProjects) {
  const std::map<std::string, std::string> labels{{"team", "a b"}, {"empty", ""}, {"with", "a=b=c"}};
  EXPECT_TRUE(*host->create({"zeta", {}}));
  EXPECT_TRUE(*host->create({"alpha", labels}));
  EXPECT_FALSE(*host->create({"alpha", {}})) << "it is there";
  const auto found = host->find("alpha");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->id, "alpha");
  EXPECT_EQ((*found)->labels, labels);
  EXPECT_EQ((*found)->status, project_status::running);
  EXPECT_TRUE((*found)->ready);
  EXPECT_GT((*found)->created_at, now_utc() - std::chrono::minutes(5));
  EXPECT_LE((*found)->created_at, now_utc());
  auto all = host->list();
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ((*all)[0].id, "alpha");
  EXPECT_EQ((*all)[1].id, "zeta");
  EXPECT_TRUE(*host->remove("alpha"));
  EXPECT_FALSE(*host->remove("alpha"));
  EXPECT_FALSE(host->find("alpha")->has_value());
  EXPECT_TRUE(*host->create({"alpha", {}}));
  EXPECT_TRUE((*host->find("alpha"))->labels.empty()) << "labels of the former one are gone";
}

TEST_P(ProjectHost, FindsNothingThatIsNoProject) {
  for (const auto* id : {"none", "", ".", "..", "../records", "a/b", "A", ".removed-x"}) {
    EXPECT_FALSE(host->find(id)->has_value()) << id;
    EXPECT_FALSE(*host->remove(id)) << id;
  }
}

} // namespace rdev::test
