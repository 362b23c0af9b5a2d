#include "actors/command_queue.hpp"

#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

#include <stdexcept>

namespace rdev::command_queue {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAreArray;

class CommandQueue : public test::actor_house {
protected:
  CommandQueue() {
    key = test::a_key();
    world->put_key(key);
    settings.node = node_id::make();
    world->put_node(settings.node);
    settings.start_intent = "boot-1";
    settings.cancelled_at_once = 2;
    settings.max_running = 0; // nothing is claimed unless a test wants it
    play<runner::actor>(
        [this](runner::run& what) {
          running += static_cast<int>(what.leases.size());
          for (auto& one : what.leases)
            handed.push_back(std::move(one));
          return runner::running{running};
        },
        [this](const runner::stop& what) { stops.push_back(what); });
    play<streams::actor>([this](const streams::grown& what) { grown.push_back(what.command); });
    play<audit::actor>([this](const audit::committed& what) { audited += what.rows; });
    play<webhooks::actor>([this](const webhooks::committed& what) { announced += what.events; });
  }

  void start() {
    queue = open(behavior, around(), settings, memory::make_command_store(world));
    run();
  }
  submit a_submit(std::string project = "demo") {
    return {test::who_has(key), test::a_request(), {}, test::a_script(std::move(project))};
  }
  submit an_idempotent_submit(const std::string& name, std::uint8_t body = 1) {
    auto out = a_submit();
    out.idempotency = test::an_idempotency_key(name, body);
    return out;
  }
  // Many submissions that stand in the mailbox before the queue sees the first.
  std::vector<test::asked<answer<submitted>>> submit_together(const std::vector<submit>& all) {
    std::vector<test::asked<answer<submitted>>> out;
    for (const auto& one : all)
      out.push_back(send<answer<submitted>>(queue, one));
    run();
    return out;
  }

  std::shared_ptr<memory::world> world = memory::make_world();
  api_key key;
  config settings;
  actor queue;
  int running = 0;
  int audited = 0;
  int announced = 0;
  std::vector<lease> handed;
  std::vector<runner::stop> stops;
  std::vector<command_id> grown;
};

TEST_F(CommandQueue, HidesTheEnvironmentUntilTheSubmissionIsWritten) {
  bool hidden = false;
  settings.lanes = {caf::actor_cast<submit_lane::actor>(open([&](caf::event_based_actor*) {
    return caf::behavior{[&](const submit_lane::write& what) {
      hidden = is_hidden("a value that is secret");
      return submit_lane::written{{{submit_verdict::created, what.batch.at(0).what.id}}};
    }};
  }))};
  start();
  auto what = a_submit();
  what.what.env = {{"TOKEN", secret("value that is secret")}};
  EXPECT_TRUE(ask<answer<submitted>>(queue, what).reply());
  EXPECT_TRUE(hidden);
  EXPECT_FALSE(is_hidden("a value that is secret"));
}

TEST_F(CommandQueue, WritesAllSubmissionsOfTheMailboxInOneTransaction) {
  start();
  auto all = submit_together(std::vector<submit>(20, a_submit()));
  EXPECT_THAT(world->calls("commands.submit"), ElementsAre(20));
  for (auto& one : all)
    EXPECT_TRUE(one.reply());
  EXPECT_EQ(world->queued().size(), 20U);
  EXPECT_EQ(audited, 20);
  EXPECT_EQ(announced, 20);
}

TEST_F(CommandQueue, WritesNoMoreThanTheBatchLimitInOneTransaction) {
  settings.batch = 8;
  start();
  submit_together(std::vector<submit>(20, a_submit()));
  EXPECT_THAT(world->calls("commands.submit"), ElementsAre(8, 8, 4));
  EXPECT_EQ(world->queued().size(), 20U);
}

TEST_F(CommandQueue, GivesTheDefaultTimeOutToACommandThatAsksForNone) {
  settings.max_running = 2;
  settings.default_timeout = 77s;
  start();
  auto wish = a_submit();
  wish.what.timeout = 5s;
  submit_together({a_submit(), wish});
  ASSERT_EQ(handed.size(), 2U);
  EXPECT_EQ(handed[0].what.what.timeout, 77s);
  EXPECT_EQ(handed[1].what.what.timeout, 5s);
}

TEST_F(CommandQueue, AnswersARepeatedKeyWithTheFirstReceipt) {
  start();
  auto first = ask<answer<submitted>>(queue, an_idempotent_submit("k"));
  auto again = ask<answer<submitted>>(queue, an_idempotent_submit("k"));
  EXPECT_FALSE(first.reply()->replayed);
  EXPECT_TRUE(again.reply()->replayed);
  EXPECT_EQ(again.reply()->id, first.reply()->id);
  EXPECT_EQ(world->commands().size(), 1U);
  EXPECT_EQ(audited, 1);
}

TEST_F(CommandQueue, LetsTheFirstOfTwinsInOneBatchCount) {
  start();
  auto twins = submit_together({an_idempotent_submit("k"), an_idempotent_submit("k"), an_idempotent_submit("k", 2)});
  EXPECT_FALSE(twins[0].reply()->replayed);
  EXPECT_TRUE(twins[1].reply()->replayed);
  EXPECT_EQ(twins[1].reply()->id, twins[0].reply()->id);
  EXPECT_EQ(twins[2].reply().why().code, refusal_code::conflict);
  EXPECT_EQ(world->commands().size(), 1U);
}

TEST_F(CommandQueue, RefusesAKeyThatWasRevokedMeanwhile) {
  key.revoked_at = now_utc();
  world->put_key(key);
  start();
  auto refused = ask<answer<submitted>>(queue, a_submit());
  EXPECT_EQ(refused.failed(), fault::key_changed);
  EXPECT_THAT(world->commands(), IsEmpty());
}

TEST_F(CommandQueue, AnswersEverySubmissionOfABatchThatFailedWithTheFault) {
  start();
  world->fail_next_of("commands.submit", fault::unavailable);
  auto all = submit_together({a_submit(), a_submit()});
  EXPECT_EQ(all[0].failed(), fault::unavailable);
  EXPECT_EQ(all[1].failed(), fault::unavailable);
  EXPECT_THAT(world->commands(), IsEmpty());
  EXPECT_EQ(counts.count("fault_seen command_queue"), 1);
}

TEST_F(CommandQueue, FailsWhatItHasTakenButNotAnsweredWhenItDies) {
  start();
  world->meanwhile("commands.submit", [] { throw std::runtime_error("a bug"); });
  auto all = submit_together({a_submit(), a_submit()});
  EXPECT_EQ(all[0].failed(), fault::unknown_outcome);
  EXPECT_EQ(all[1].failed(), fault::unknown_outcome);
}

// ---- commits in doubt

TEST_F(CommandQueue, SettlesACommitInDoubtThatHasHappenedWithoutWritingAgain) {
  start();
  world->fail_next_of("commands.submit", fault::unknown_outcome, 1, memory::moment::after);
  auto all = submit_together({a_submit(), a_submit(), a_submit()});
  for (auto& one : all)
    EXPECT_TRUE(one.reply());
  EXPECT_EQ(world->commands().size(), 3U);
  EXPECT_THAT(world->calls("commands.submit"), ElementsAre(3));
}

TEST_F(CommandQueue, RepeatsACommitInDoubtOfWhichNothingIsThere) {
  start();
  world->fail_next_of("commands.submit", fault::unknown_outcome, 1, memory::moment::before);
  auto all = submit_together({a_submit(), a_submit(), a_submit()});
  for (auto& one : all)
    EXPECT_TRUE(one.reply());
  EXPECT_EQ(world->commands().size(), 3U);
  EXPECT_THAT(world->calls("commands.submit"), ElementsAre(3, 3));
}

TEST_F(CommandQueue, SettlesACommitInDoubtOfWhichSomeWereReplaysAndRefusals) {
  start();
  const auto before = ask<answer<submitted>>(queue, an_idempotent_submit("old")).reply()->id;
  world->fail_next_of("commands.submit", fault::unknown_outcome, 1, memory::moment::after);
  auto all = submit_together({a_submit(), an_idempotent_submit("old"), an_idempotent_submit("new"),
                              an_idempotent_submit("new"), an_idempotent_submit("old", 9)});
  EXPECT_FALSE(all[0].reply()->replayed);
  EXPECT_TRUE(all[1].reply()->replayed);
  EXPECT_EQ(all[1].reply()->id, before);
  EXPECT_FALSE(all[2].reply()->replayed);
  EXPECT_TRUE(all[3].reply()->replayed);
  EXPECT_EQ(all[3].reply()->id, all[2].reply()->id);
  EXPECT_EQ(all[4].reply().why().code, refusal_code::conflict);
  EXPECT_EQ(world->commands().size(), 3U);
}

TEST_F(CommandQueue, AnswersWithAnUnknownOutcomeWhenACommitCannotBeSettled) {
  settings.settle_attempts = 3;
  start();
  world->fail_next_of("commands.submit", fault::unknown_outcome, 1, memory::moment::after);
  world->fail_next_of("commands.existing", fault::unavailable, 3);
  auto one = ask<answer<submitted>>(queue, a_submit());
  EXPECT_EQ(one.failed(), fault::unknown_outcome);
  EXPECT_EQ(world->calls("commands.existing").size(), 3U);
}

// ---- claims

TEST_F(CommandQueue, ClaimsNeverMoreThanMayRun) {
  settings.max_running = 3;
  start();
  submit_together(std::vector<submit>(10, a_submit()));
  advance(5s);
  EXPECT_EQ(handed.size(), 3U);
  running = 2;
  tell(queue, load{2});
  EXPECT_EQ(handed.size(), 4U);
  advance(5s);
  EXPECT_EQ(handed.size(), 4U);
}

TEST_F(CommandQueue, ClaimsNothingWhileLeasesAreOnTheirWayToTheRunner) {
  settings.max_running = 4;
  std::vector<caf::typed_response_promise<runner::running>> held;
  play_with<runner::actor>([&](caf::event_based_actor* me) {
    return caf::behavior{[&held, me](runner::run&) {
      held.push_back(me->make_response_promise<runner::running>());
      return held.back();
    }};
  });
  start();
  within<runner::actor>([&] { held.back().deliver(runner::running{0}); }); // to the question how much runs
  submit_together(std::vector<submit>(2, a_submit()));
  ASSERT_EQ(world->leases().size(), 2U);
  submit_together(std::vector<submit>(5, a_submit()));
  tell(queue, load{0});
  advance(3s);
  EXPECT_EQ(world->leases().size(), 2U);
  within<runner::actor>([&] { held.back().deliver(runner::running{2}); });
  EXPECT_EQ(world->leases().size(), 4U);
}

TEST_F(CommandQueue, AsksTheRunnerAfterARestartHowMuchRuns) {
  settings.max_running = 3;
  start();
  submit_together(std::vector<submit>(5, a_submit()));
  ASSERT_EQ(handed.size(), 3U);
  kill(queue);
  start();
  advance(3s);
  EXPECT_EQ(handed.size(), 3U);
}

TEST_F(CommandQueue, FindsByPollingWhatNoMessageToldOf) {
  settings.max_running = 3;
  start();
  auto elsewhere = memory::make_command_store(world);
  new_command one{{command_id::make(), key.id, key.family, test::a_script(), {}}, test::a_request(), "sample", {}, {}};
  ASSERT_TRUE(elsewhere->submit({&one, 1}));
  advance(500ms);
  EXPECT_THAT(handed, IsEmpty());
  advance(600ms);
  ASSERT_EQ(handed.size(), 1U);
  EXPECT_EQ(handed[0].what.id, one.what.id);
  EXPECT_EQ(handed[0].start_intent, "boot-1");
  EXPECT_THAT(grown, ElementsAre(one.what.id));
}

TEST_F(CommandQueue, GoesOnClaimingAfterTheRunnerWasAway) {
  settings.max_running = 2;
  auto dead = play<runner::actor>([](runner::run&) { return runner::running{0}; });
  kill(dead);
  start();
  submit_together({a_submit()});
  play<runner::actor>([this](runner::run& what) {
    for (auto& one : what.leases)
      handed.push_back(std::move(one));
    return runner::running{static_cast<int>(handed.size())};
  });
  submit_together({a_submit()});
  EXPECT_EQ(handed.size(), 1U); // the first one comes back by LEASES
}

TEST_F(CommandQueue, ClaimsNothingMoreOnceItRests) {
  settings.max_running = 5;
  start();
  tell(queue, rest{});
  auto one = ask<answer<submitted>>(queue, a_submit());
  advance(3s);
  EXPECT_TRUE(one.reply());
  EXPECT_THAT(handed, IsEmpty());
}

TEST_F(CommandQueue, GoesOnAfterAClaimFailed) {
  settings.max_running = 1;
  start();
  world->fail_next_of("commands.claim", fault::unavailable, 1);
  submit_together({a_submit()});
  EXPECT_THAT(handed, IsEmpty());
  advance(1100ms);
  EXPECT_EQ(handed.size(), 1U);
}

// ---- ends

class CommandQueueWithOneRunning : public CommandQueue {
protected:
  CommandQueueWithOneRunning() {
    settings.max_running = 1;
    start();
    submit_together({a_submit()});
    grown.clear();
    audited = 0;
  }
  complete an_end(std::int64_t token) {
    completion what{handed.at(0).what.id, token, {}, {}};
    what.result.status = command_status::completed;
    what.result.exit_code = 0;
    return {what};
  }
};

TEST_F(CommandQueueWithOneRunning, RecordsAnEndAndTellsTheReaders) {
  auto done = ask<completed>(queue, an_end(handed[0].token));
  EXPECT_TRUE(done.reply().accepted);
  EXPECT_EQ(world->result_of(handed[0].what.id)->status, command_status::completed);
  EXPECT_THAT(grown, ElementsAre(handed[0].what.id));
  EXPECT_EQ(audited, 1);
}

TEST_F(CommandQueueWithOneRunning, RefusesAnEndUnderAStaleToken) {
  auto done = ask<completed>(queue, an_end(handed[0].token - 1));
  EXPECT_FALSE(done.reply().accepted);
  EXPECT_FALSE(world->result_of(handed[0].what.id));
  EXPECT_THAT(grown, IsEmpty());
}

TEST_F(CommandQueueWithOneRunning, AnswersAnEndThatCannotBeWrittenWithTheFault) {
  world->fail_next_of("commands.complete", fault::unavailable);
  EXPECT_EQ(ask<completed>(queue, an_end(handed[0].token)).failed(), fault::unavailable);
  EXPECT_TRUE(ask<completed>(queue, an_end(handed[0].token)).reply().accepted);
}

TEST_F(CommandQueueWithOneRunning, MakesTheWishToCancelDurableAndSendsItToTheRunner) {
  const cancel wish{{handed[0].what.id, cancel_reason::user, key.id, "sample", test::a_request()}};
  EXPECT_EQ(ask<cancelled>(queue, wish).reply().verdict, cancel_verdict::requested);
  EXPECT_EQ(world->leases().at(0).cancel, cancel_reason::user);
  ASSERT_EQ(stops.size(), 1U);
  EXPECT_EQ(stops[0].command, handed[0].what.id);
}

TEST_F(CommandQueueWithOneRunning, EndsAQueuedCommandAtOnceAndNeverRunsIt) {
  const auto waiting = ask<answer<submitted>>(queue, a_submit()).reply()->id;
  const cancel wish{{waiting, cancel_reason::user, key.id, "sample", test::a_request()}};
  EXPECT_EQ(ask<cancelled>(queue, wish).reply().verdict, cancel_verdict::never_ran);
  EXPECT_THAT(grown, ElementsAre(waiting));
  EXPECT_THAT(stops, IsEmpty());
  tell(queue, load{0});
  advance(3s);
  EXPECT_EQ(handed.size(), 1U);
  EXPECT_EQ(ask<cancelled>(queue, wish).reply().verdict, cancel_verdict::ended);
}

TEST_F(CommandQueueWithOneRunning, EndsWhatARevokedKeyHasInTheQueueInPieces) {
  std::vector<command_id> waiting;
  for (int i = 0; i < 3; ++i)
    waiting.push_back(ask<answer<submitted>>(queue, a_submit()).reply()->id);
  audited = 0;
  const cancel_queued wish{{key.id, key.id, "sample", test::a_request()}};
  EXPECT_TRUE(ask<queued_cancelled>(queue, wish).reply().more);
  EXPECT_THAT(grown, SizeIs(2));
  EXPECT_TRUE(ask<queued_cancelled>(queue, wish).reply().more) << "somebody else may have cancelled some";
  EXPECT_THAT(grown, UnorderedElementsAreArray(waiting));
  EXPECT_FALSE(ask<queued_cancelled>(queue, wish).reply().more);
  EXPECT_EQ(audited, 3);
  EXPECT_THAT(stops, IsEmpty()) << "what runs goes on";
  world->fail_next_of("commands.cancel", fault::unavailable);
  EXPECT_EQ(ask<queued_cancelled>(queue, wish).failed(), fault::unavailable);
}

TEST_F(CommandQueueWithOneRunning, KnowsNoCommandThatWasNeverSubmitted) {
  const cancel wish{{command_id::make(), cancel_reason::user, key.id, "sample", test::a_request()}};
  EXPECT_EQ(ask<cancelled>(queue, wish).reply().verdict, cancel_verdict::not_found);
  EXPECT_EQ(audited, 0);
  world->fail_next_of("commands.cancel", fault::unavailable);
  EXPECT_EQ(ask<cancelled>(queue, wish).failed(), fault::unavailable);
}

TEST_F(CommandQueueWithOneRunning, RecordsAChangeOfAProjectUnderItsIdempotencyKey) {
  const auto from = test::a_request("POST", "/projects");
  const auto name = test::an_idempotency_key("k", 1);
  auto before = ask<looked_up>(queue, look_up{key.family, from, name});
  EXPECT_FALSE(before.reply().hit);
  auto written = ask<recorded>(queue, record{{"fresh", "project.created", key.id, "sample", from, name}});
  EXPECT_FALSE(written.open());
  EXPECT_EQ(audited, 1);
  auto hit = ask<looked_up>(queue, look_up{key.family, from, name}).reply().hit;
  ASSERT_TRUE(hit);
  EXPECT_TRUE(hit->same_body);
  EXPECT_EQ(hit->resource, "fresh");
  EXPECT_FALSE(
      ask<looked_up>(queue, look_up{key.family, from, test::an_idempotency_key("k", 2)}).reply().hit->same_body);
  EXPECT_FALSE(ask<looked_up>(queue, look_up{key_id::make(), from, name}).reply().hit);
}

} // namespace
} // namespace rdev::command_queue
