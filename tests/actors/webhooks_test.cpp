// WEBHOOKS with its couriers, over an outbox and a sender that do as the test says.
#include "actors/webhooks.hpp"

#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/plain_outbox.hpp"
#include "tests/support/scripted_sender.hpp"
#include "tests/values/seeded.hpp"

#include <gmock/gmock.h>

#include <map>
#include <set>

namespace rdev::webhooks {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using test::answered_with;
using test::delivered_well;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class Webhooks : public test::actor_house {
protected:
  Webhooks() {
    settings.node = node_id::make();
    settings.courier.concurrency = 3;
    settings.courier.buffer = 8;
    settings.courier.retries = retry_schedule({1s, 10s});
  }
  ~Webhooks() override {
    sender->stop(); // what it would call keeps couriers alive
  }
  void start() {
    start_over(store);
  }
  void start_over(std::shared_ptr<webhook_outbox> outbox) {
    made = system.spawn(behavior, around(), settings, std::move(outbox), sender);
    webhooks = made;
    ends.push_back(caf::actor_cast<caf::actor>(made));
    run();
  }
  void TearDown() override {
    for (const auto& one : ends)
      caf::anon_send_exit(one, caf::exit_reason::kill);
    run();
  }

  // Something was committed, and WEBHOOKS is told.
  void commit(int n = 1) {
    store->tell(n);
    tell(webhooks, committed{{}, n});
  }
  void answer(const webhook_id& id, std::int64_t sequence, sent_message how) {
    answer_later(id, sequence, std::move(how));
    run();
  }
  void answer_later(const webhook_id& id, std::int64_t sequence, sent_message how) {
    for (auto& one : sender->all)
      if (one.done && one.what.webhook == id && one.what.sequence == sequence)
        return std::exchange(one.done, {})(std::move(how));
    throw std::logic_error("nothing of sequence " + std::to_string(sequence) + " is under way");
  }
  std::vector<std::int64_t> under_way(const webhook_id& id) {
    return sequences(id, true);
  }
  std::vector<std::int64_t> sent(const webhook_id& id) {
    return sequences(id, false);
  }
  std::vector<std::int64_t> sequences(const webhook_id& id, bool only_open) {
    std::vector<std::int64_t> out;
    for (const auto& one : sender->all)
      if (one.what.webhook == id && (one.done || !only_open))
        out.push_back(one.what.sequence);
    return out;
  }
  state& inside() {
    return caf::actor_cast<self_actor::stateful_pointer<state>>(made)->state;
  }
  std::size_t calls(const std::string& name) {
    return store->calls[name].size();
  }
  // In small steps: second looks are a matter of milliseconds.
  void pass_slowly(milliseconds d) {
    for (; d > 0ms; d -= 1ms)
      advance(1ms);
  }

  config settings;
  std::shared_ptr<test::plain_outbox> store = std::make_shared<test::plain_outbox>(around().boot_clock);
  std::shared_ptr<test::scripted_sender> sender = std::make_shared<test::scripted_sender>();
  self_actor made;
  actor webhooks;
  std::vector<caf::actor> ends;
};

// ---- facts become deliveries

TEST_F(Webhooks, SendsAFactToEveryEndpointAtOnceAndWritesHowItEnded) {
  const auto a = store->add_endpoint();
  const auto b = store->add_endpoint();
  start();
  commit();
  EXPECT_THAT(under_way(a), ElementsAre(1));
  EXPECT_THAT(under_way(b), ElementsAre(1));
  answer(a, 1, delivered_well());
  answer(b, 1, answered_with(500));
  ASSERT_THAT(store->records, SizeIs(2));
  EXPECT_EQ(store->records[0].outcome, attempt_outcome::delivered);
  EXPECT_EQ(store->records[1].outcome, attempt_outcome::retry);
  EXPECT_THAT(store->at(a).waits, IsEmpty());
}

TEST_F(Webhooks, SendsARetryWhenItIsDue) {
  const auto a = store->add_endpoint();
  start();
  commit();
  answer(a, 1, answered_with(500));
  advance(800ms);
  EXPECT_THAT(sent(a), ElementsAre(1));
  advance(1s);
  EXPECT_THAT(sent(a), ElementsAre(1, 1));
}

TEST_F(Webhooks, FindsWhatItWasNotToldOf) {
  const auto a = store->add_endpoint();
  start();
  store->tell();
  advance(500ms);
  EXPECT_THAT(under_way(a), ElementsAre(1));
}

TEST_F(Webhooks, FindsWhatWaitedBeforeItBegan) {
  const auto a = store->add_endpoint();
  store->put(a, 2);
  start();
  EXPECT_THAT(under_way(a), ElementsAre(1, 2));
}

TEST_F(Webhooks, LooksOnceForManyCommitsAtATime) {
  store->add_endpoint();
  start();
  const auto before = calls("spread");
  store->tell(50);
  for (int i = 0; i < 50; ++i)
    caf::anon_send(webhooks, committed{{}, 1});
  run();
  EXPECT_LE(calls("spread"), before + 2);
}

TEST_F(Webhooks, DoesNotStopAfterAsManyAsAreLookedAtAtOnce) {
  settings.spread_at_once = 2;
  const auto a = store->add_endpoint();
  start();
  commit(7);
  EXPECT_THAT(store->facts, IsEmpty());
  EXPECT_EQ(store->at(a).sequence, 7);
}

TEST_F(Webhooks, DoesNotLookAtCommitsWhileThereIsNoEndpoint) {
  store->share = 0;
  start();
  const auto before = calls("spread");
  for (int i = 0; i < 5; ++i)
    commit();
  EXPECT_EQ(calls("spread"), before);
  advance(500ms);
  EXPECT_EQ(calls("spread"), before + 1) << "the next look moves on";
  store->share = 1;
  const auto a = store->add_endpoint();
  tell(webhooks, changed{});
  commit();
  EXPECT_THAT(under_way(a), ElementsAre(1));
}

TEST_F(Webhooks, LooksAlsoForEndpointsOfOtherNodes) {
  const auto a = store->add_endpoint();
  store->at(a).ours = false;
  start();
  commit();
  EXPECT_EQ(store->at(a).waits.size(), 1U);
  EXPECT_THAT(sender->all, IsEmpty());
}

TEST_F(Webhooks, LooksAgainForWhatAnOpenTransactionKeptBack) {
  const auto a = store->add_endpoint();
  start();
  store->kept_back.resize(1);
  tell(webhooks, committed{{}, 1});
  pass_slowly(10ms);
  EXPECT_THAT(sent(a), IsEmpty());
  store->let_go();
  pass_slowly(10ms);
  EXPECT_THAT(under_way(a), ElementsAre(1));
}

TEST_F(Webhooks, LooksAgainForWhatWasKeptBackAlsoWhenItFoundOthers) {
  const auto a = store->add_endpoint();
  start();
  store->kept_back.resize(1);
  commit();
  EXPECT_THAT(sent(a), ElementsAre(1));
  store->let_go();
  pass_slowly(10ms);
  EXPECT_THAT(sent(a), ElementsAre(1, 2));
}

TEST_F(Webhooks, LooksAgainLessAndLessOftenForWhatIsKeptBackForLong) {
  store->add_endpoint();
  settings.look = 60s;
  start();
  const auto before = calls("spread");
  store->kept_back.resize(1);
  tell(webhooks, committed{{}, 1});
  pass_slowly(20ms);
  EXPECT_GE(calls("spread"), before + 3);
  pass_slowly(980ms);
  EXPECT_EQ(calls("spread"), before + 1 + static_cast<std::size_t>(settings.second_looks));
}

TEST_F(Webhooks, LooksForWhatIsKeptBackSoonAgainAfterEachCommit) {
  const auto a = store->add_endpoint();
  settings.look = 60s;
  start();
  store->kept_back.resize(1);
  tell(webhooks, committed{{}, 1});
  pass_slowly(400ms); // it has given up
  store->kept_back.resize(2);
  tell(webhooks, committed{{}, 1});
  store->let_go();
  pass_slowly(5ms);
  EXPECT_THAT(sent(a), ElementsAre(1, 2));
}

TEST_F(Webhooks, DoesNotLookAgainWhenNothingWasKeptBack) {
  store->add_endpoint();
  settings.look = 60s;
  start();
  const auto before = calls("spread");
  commit();
  pass_slowly(400ms);
  EXPECT_EQ(calls("spread"), before + 1);
}

// ---- what is written down

TEST_F(Webhooks, WritesWhatEndsAtATimeWithOneStatement) {
  const auto a = store->add_endpoint();
  const auto b = store->add_endpoint();
  const auto c = store->add_endpoint();
  start();
  commit(3);
  for (const auto& id : {a, b, c})
    for (std::int64_t n = 1; n <= 3; ++n)
      answer_later(id, n, delivered_well());
  run();
  EXPECT_THAT(store->calls["record"], ElementsAre(9));
}

TEST_F(Webhooks, WritesNoMoreThanItIsToWithOneStatement) {
  settings.record_at_once = 2;
  const auto a = store->add_endpoint();
  start();
  commit(3);
  for (std::int64_t n = 1; n <= 3; ++n)
    answer_later(a, n, delivered_well());
  run();
  EXPECT_THAT(store->calls["record"], ElementsAre(2, 1));
}

TEST_F(Webhooks, WritesLaterWhatItCouldNotWrite) {
  const auto a = store->add_endpoint();
  start();
  commit(2);
  store->failing["record"] = 1;
  answer(a, 1, delivered_well());
  EXPECT_THAT(store->records, IsEmpty());
  EXPECT_EQ(counts.count("fault_seen webhooks"), 1);
  advance(500ms);
  ASSERT_THAT(store->records, SizeIs(1));
  EXPECT_THAT(sent(a), ElementsAre(1, 2));
}

TEST_F(Webhooks, FetchesNothingBeforeWhatEndedIsWrittenDown) {
  const auto a = store->add_endpoint();
  const auto b = store->add_endpoint();
  start();
  commit();
  store->failing["record"] = 1'000'000;
  answer(a, 1, delivered_well());
  const auto fetched = calls("due");
  for (int i = 0; i < 5; ++i) {
    commit();
    advance(1s);
  }
  EXPECT_EQ(calls("due"), fetched);
  EXPECT_THAT(sent(a), ElementsAre(1)) << "it is still due there";
  store->failing["record"] = 0;
  advance(500ms);
  EXPECT_THAT(sent(a), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(sent(b), ElementsAre(1, 2, 3));
}

TEST_F(Webhooks, CountsAttemptsByOutcome) {
  const auto a = store->add_endpoint();
  start();
  store->put(a, 4);
  store->at(a).waits[2].what.attempts = 2;
  tell(webhooks, changed{});
  answer(a, 1, delivered_well());
  answer(a, 2, answered_with(500));
  answer(a, 3, answered_with(500));
  answer(a, 4, answered_with(410));
  for (const auto* outcome : {"delivered", "retry", "failed", "disabled"})
    EXPECT_EQ(counts.count(std::string("webhook_attempted ") + outcome), 1) << outcome;
}

TEST_F(Webhooks, SaysHowManyWait) {
  const auto a = store->add_endpoint();
  store->at(a).ours = false;
  store->put(a, 5);
  start();
  EXPECT_EQ(counts.count("webhooks_pending"), 5);
  store->put(a, 2);
  advance(settings.upkeep);
  EXPECT_EQ(counts.count("webhooks_pending"), 7);
}

// ---- endpoints come and go

TEST_F(Webhooks, TakesUpAnEndpointAtOnceWhenItIsToldOfAChange) {
  start();
  const auto a = store->add_endpoint();
  store->put(a);
  EXPECT_THAT(sent(a), IsEmpty());
  tell(webhooks, changed{});
  EXPECT_THAT(sent(a), ElementsAre(1));
}

TEST_F(Webhooks, EndsTheCourierOfALeaseThatAnotherNodeHas) {
  const auto a = store->add_endpoint();
  start();
  commit(5);
  store->at(a).ours = false;
  store->at(a).what.token = 8;
  advance(500ms);
  EXPECT_THAT(inside().couriers, IsEmpty());
  answer(a, 1, delivered_well());
  advance(2s);
  EXPECT_THAT(sent(a), ElementsAre(1, 2, 3));
  EXPECT_THAT(store->records, IsEmpty());
  EXPECT_EQ(counts.count("actor_restarted courier"), 0) << "it has not died";
  EXPECT_THAT(store->released, IsEmpty());
}

TEST_F(Webhooks, MakesANewCourierForANewToken) {
  const auto a = store->add_endpoint();
  start();
  commit();
  store->at(a).what.token = 8;
  advance(500ms);
  ASSERT_THAT(inside().couriers, SizeIs(1));
  EXPECT_THAT(under_way(a), ElementsAre(1, 1)) << "nobody knows how the first one will end";
  answer(a, 1, delivered_well());
  EXPECT_THAT(store->records, IsEmpty()) << "whoever made that attempt is gone";
  answer(a, 1, delivered_well());
  ASSERT_THAT(store->records, SizeIs(1));
  EXPECT_EQ(store->records[0].token, 8);
}

TEST_F(Webhooks, MindsNoWordOfACourierThatItHasReplaced) {
  const auto a = store->add_endpoint();
  start();
  store->at(a).what.token = 8;
  advance(500ms);
  commit();
  tell(made, courier::stopped{a, 7}); // was on its way
  EXPECT_THAT(store->released, IsEmpty());
  answer(a, 1, delivered_well());
  EXPECT_THAT(store->records, SizeIs(1));
}

TEST_F(Webhooks, KeepsTheCourierWhileTheTokenIsTheSame) {
  const auto a = store->add_endpoint();
  start();
  const auto before = inside().couriers.at(a).one;
  store->change(a, [](webhook& w) { w.url = "https://another.example/"; });
  advance(2s);
  EXPECT_EQ(inside().couriers.at(a).one, before);
}

TEST_F(Webhooks, GivesUpWhatIsMoreThanItsShareWhenNothingOfThatIsUnderWay) {
  const auto a = store->add_endpoint();
  const auto b = store->add_endpoint();
  start();
  commit(5);
  store->share = 1;
  advance(2s);
  EXPECT_THAT(store->released, IsEmpty());
  for (const std::int64_t n : {1, 2, 3})
    answer(b, n, delivered_well());
  EXPECT_THAT(sent(b), ElementsAre(1, 2, 3)) << "it starts nothing more";
  EXPECT_THAT(store->released, ElementsAre(b));
  EXPECT_THAT(store->records, SizeIs(3));
  answer(a, 1, delivered_well());
  EXPECT_THAT(sent(a), ElementsAre(1, 2, 3, 4)) << "the other one goes on";
  advance(5s);
  EXPECT_THAT(store->released, ElementsAre(b));
  EXPECT_THAT(inside().couriers, SizeIs(1));
}

TEST_F(Webhooks, KeepsItsShareInWhateverOrderTheStoreNamesThem) {
  const auto a = store->add_endpoint();
  const auto b = store->add_endpoint();
  start();
  commit();
  store->share = 1;
  advance(500ms);
  std::reverse(store->rows.begin(), store->rows.end());
  advance(500ms);
  answer(a, 1, delivered_well());
  answer(b, 1, delivered_well());
  EXPECT_THAT(store->released, SizeIs(1));
  EXPECT_THAT(inside().couriers, SizeIs(1));
}

// Or what it gives up would come back to it at once, again and again.
TEST_F(Webhooks, CountsNoPausedEndpointToItsShare) {
  const auto a = store->add_endpoint();
  const auto b = store->add_endpoint();
  const auto c = store->add_endpoint();
  store->change(a, [](webhook& w) { w.enabled = false; });
  store->share = 2;
  start();
  commit();
  advance(2s);
  EXPECT_THAT(store->released, IsEmpty());
  EXPECT_THAT(under_way(b), ElementsAre(1));
  EXPECT_THAT(under_way(c), ElementsAre(1));
  store->change(a, [](webhook& w) { w.enabled = true; });
  advance(500ms);
  EXPECT_THAT(inside().couriers, SizeIs(3)) << "one of them is stopping";
  for (const auto& id : {b, c})
    answer(id, 1, delivered_well());
  EXPECT_THAT(store->released, ElementsAre(c));
}

TEST_F(Webhooks, TakesBackWhatItGaveUpWhenTheStoreSaysSo) {
  const auto a = store->add_endpoint();
  start();
  store->share = 0;
  advance(500ms);
  ASSERT_THAT(store->released, ElementsAre(a));
  store->share = 1;
  store->at(a).ours = true;
  store->at(a).what.token = 9;
  advance(500ms);
  commit();
  EXPECT_THAT(under_way(a), ElementsAre(1));
}

TEST_F(Webhooks, MakesANewCourierForOneThatDied) {
  const auto a = store->add_endpoint();
  start();
  commit();
  kill(inside().couriers.at(a).one);
  EXPECT_EQ(counts.count("actor_restarted courier"), 1);
  EXPECT_TRUE(lines.says("a courier died"));
  advance(500ms);
  EXPECT_THAT(under_way(a), ElementsAre(1, 1));
  answer(a, 1, delivered_well());
  EXPECT_THAT(store->records, IsEmpty()) << "the answer to the first attempt has nobody to go to";
  answer(a, 1, delivered_well());
  EXPECT_THAT(store->at(a).waits, IsEmpty());
}

TEST_F(Webhooks, TakesItsCouriersAlongWhenItDies) {
  store->add_endpoint();
  store->add_endpoint();
  const auto before = system.registry().running();
  start();
  EXPECT_EQ(system.registry().running(), before + 3);
  kill(made);
  EXPECT_EQ(system.registry().running(), before);
}

TEST_F(Webhooks, SendsNothingWhenItsNodeMayBeThoughtDead) {
  const auto a = store->add_endpoint();
  store->left = 700ms;
  start();
  commit(5);
  store->failing["own"] = 1'000'000;
  advance(600ms);
  answer(a, 1, delivered_well());
  EXPECT_THAT(sent(a), ElementsAre(1, 2, 3, 4)) << "it is still alive";
  advance(100ms);
  answer(a, 2, delivered_well());
  commit();
  advance(5s);
  EXPECT_THAT(sent(a), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(store->records, SizeIs(2));
  store->failing["own"] = 0;
  advance(500ms);
  EXPECT_THAT(sent(a), ElementsAre(1, 2, 3, 4, 5));
}

// ---- going away

TEST_F(Webhooks, RestsAtOnceWhenNothingIsUnderWayAndGivesUpItsEndpoints) {
  const auto a = store->add_endpoint();
  const auto b = store->add_endpoint();
  start();
  auto rest_of_it = ask<rested>(webhooks, rest{});
  EXPECT_FALSE(rest_of_it.open());
  EXPECT_THAT(store->released, UnorderedElementsAre(a, b));
  const auto owned = calls("own");
  advance(5s);
  EXPECT_EQ(calls("own"), owned) << "it takes no further ones";
}

TEST_F(Webhooks, RestsAtOnceWhenItHasNoEndpoints) {
  start();
  EXPECT_FALSE(ask<rested>(webhooks, rest{}).open());
}

TEST_F(Webhooks, RestsWhenTheLastAnswerHasComeAndStartsNothingMore) {
  const auto a = store->add_endpoint();
  const auto b = store->add_endpoint();
  start();
  commit(5);
  auto rest_of_it = ask<rested>(webhooks, rest{});
  EXPECT_TRUE(rest_of_it.open());
  for (const std::int64_t n : {1, 2, 3})
    answer(a, n, delivered_well());
  EXPECT_THAT(store->released, ElementsAre(a));
  commit();
  advance(2s);
  EXPECT_TRUE(rest_of_it.open());
  for (const std::int64_t n : {2, 3, 1})
    answer(b, n, answered_with(500));
  EXPECT_FALSE(rest_of_it.open());
  EXPECT_EQ(rest_of_it.failed(), std::nullopt);
  EXPECT_THAT(store->records, SizeIs(6));
  EXPECT_THAT(store->released, ElementsAre(a, b));
  EXPECT_THAT(sender->all, SizeIs(6));
}

TEST_F(Webhooks, RestsAlsoWhenACourierDies) {
  const auto a = store->add_endpoint();
  start();
  commit();
  auto rest_of_it = ask<rested>(webhooks, rest{});
  EXPECT_TRUE(rest_of_it.open());
  kill(inside().couriers.at(a).one);
  EXPECT_FALSE(rest_of_it.open());
}

TEST_F(Webhooks, RestsAlsoWhenTheStoreIsAway) {
  store->add_endpoint();
  start();
  store->unreachable = true;
  auto rest_of_it = ask<rested>(webhooks, rest{});
  EXPECT_FALSE(rest_of_it.open());
  EXPECT_EQ(rest_of_it.failed(), std::nullopt);
}

// ---- trouble

TEST_F(Webhooks, GoesOnWhenTheStoreIsBack) {
  const auto a = store->add_endpoint();
  start();
  commit(5);
  const auto faults = counts.count("fault_seen webhooks");
  EXPECT_EQ(faults, 0);
  store->unreachable = true;
  answer(a, 1, delivered_well());
  answer(a, 2, answered_with(500));
  for (int i = 0; i < 5; ++i)
    commit();
  tell(webhooks, changed{});
  advance(20s);
  EXPECT_GT(counts.count("fault_seen webhooks"), faults);
  store->unreachable = false;
  advance(1s);
  EXPECT_THAT(store->records, SizeIs(2));
  EXPECT_EQ(store->at(a).sequence, 10);
  EXPECT_EQ(under_way(a).size(), 3U);
}

TEST_F(Webhooks, TellsTheOthersWhenAnEndpointIsGone) {
  const auto a = store->add_endpoint();
  const auto b = store->add_endpoint();
  start();
  commit();
  answer(a, 1, answered_with(410));
  EXPECT_FALSE(store->at(a).what.webhook.enabled);
  EXPECT_THAT(sent(b), ElementsAre(1, 2));
  EXPECT_THAT(sent(a), ElementsAre(1));
}

TEST_F(Webhooks, DisablesWhatHasFailedForTooLongAndTellsTheOthers) {
  const auto a = store->add_endpoint();
  const auto b = store->add_endpoint();
  start();
  EXPECT_EQ(store->calls["disable_failing"].at(0), static_cast<std::size_t>(settings.disable_after.count()));
  advance(9s);
  store->failing_too_long = {a};
  advance(1s);
  EXPECT_THAT(under_way(b), ElementsAre(1));
  store->put(a);
  advance(5s);
  EXPECT_THAT(sent(a), IsEmpty());
}

TEST_F(Webhooks, GoesOnWithTheRestOfItsUpkeepWhenAPartFails) {
  const auto a = store->add_endpoint();
  store->put(a, 3);
  store->failing["disable_failing"] = 1;
  start();
  EXPECT_EQ(counts.count("webhooks_pending"), 3);
  EXPECT_EQ(counts.count("fault_seen webhooks"), 1);
}

// ---- over the store that the contract suite of this port knows

TEST_F(Webhooks, DeliversOutOfTheStoreInMemoryToo) {
  const auto world = memory::make_world();
  const auto began = around().boot_clock();
  world->set_clock([clock = around().boot_clock, began, at = now_utc()] { return at + (clock() - began); });
  world->put_node(settings.node);
  const auto registry = memory::make_webhook_registry(world);
  webhook one;
  one.id = webhook_id::make();
  one.url = "https://hooks.example/";
  one.events = {"command.*"};
  ASSERT_TRUE(registry->create(one, secret("0123456789abcdef01234567"), {}));
  start_over(memory::make_webhook_outbox(world));
  world->put_event("key.created");
  world->put_event("command.completed", "demo");
  tell(webhooks, committed{{}, 2});
  ASSERT_THAT(under_way(one.id), ElementsAre(1));
  EXPECT_EQ(sender->all[0].what.what.event, "command.completed");
  EXPECT_EQ(sender->all[0].what.secrets.current.reveal(), "0123456789abcdef01234567");
  answer(one.id, 1, answered_with(500));
  EXPECT_EQ((*registry->find(one.id))->status(), webhook_status::failing);
  advance(2s);
  answer(one.id, 1, delivered_well());
  const auto seen = registry->deliveries({one.id, {}, {}})->items.at(0);
  EXPECT_EQ(seen.status, delivery_status::delivered);
  EXPECT_THAT(seen.attempts, SizeIs(2));
  EXPECT_EQ((*registry->find(one.id))->status(), webhook_status::active);
  world->put_event("command.lost");
  advance(500ms);
  answer(one.id, 2, answered_with(410));
  EXPECT_EQ((*registry->find(one.id))->status(), webhook_status::disabled);
  EXPECT_EQ((*registry->find(one.id))->disabled_reason, "status 410");
}

// ---- all of it, at random

class WebhooksAtRandom : public Webhooks {
protected:
  void watch() {
    sender->on_send = [this](const outgoing_message& what) {
      const auto& row = store->at(what.webhook);
      for (const auto& w : row.waits)
        ASSERT_TRUE(!row.what.webhook.ordered || w.what.sequence >= what.sequence ||
                    well[what.webhook].contains(w.what.sequence))
            << what.sequence << " overtakes " << w.what.sequence;
    };
  }
  void end_one(test::seeded& random, bool all_well) {
    std::vector<test::scripted_sender::request*> open;
    for (auto& one : sender->all)
      if (one.done)
        open.push_back(&one);
    if (open.empty())
      return;
    auto& one = *random.any_of(open);
    auto how = all_well || random.below(2) == 0 ? delivered_well()
                                                : answered_with(random.one_in(20)  ? 410
                                                                : random.one_in(2) ? 500
                                                                                   : 404);
    if (how.error.empty())
      well[one.what.webhook].insert(one.what.sequence);
    std::exchange(one.done, {})(std::move(how));
    if (random.below(3) != 0) // else it is under way while something else happens
      run();
  }
  void something_happens(test::seeded& random) {
    const auto& any = random.any_of(store->rows).what.webhook.id;
    switch (random.below(16)) {
    case 0:
      commit(static_cast<int>(1 + random.below(4)));
      break;
    case 1:
      store->kept_back.resize(store->kept_back.size() + random.below(2));
      tell(webhooks, committed{{}, 1});
      break;
    case 2:
      store->let_go();
      break;
    case 3:
      store->failing[random.any_of(names)] = static_cast<int>(1 + random.below(3));
      break;
    case 4:
      if (random.one_in(8))
        if (const auto found = inside().couriers.find(any); found != inside().couriers.end())
          kill(found->second.one);
      break;
    case 5:
      if (random.one_in(8)) { // another node had it for a while
        store->at(any).ours = !store->at(any).ours;
        ++store->at(any).what.token;
      }
      break;
    case 6:
      store->share = static_cast<int>(random.below(5));
      for (auto& r : store->rows)
        if (!r.ours && random.below(2) == 0) {
          r.ours = true;
          ++r.what.token;
        }
      break;
    case 7:
      if (random.one_in(30)) {
        kill(made);
        start();
      }
      break;
    case 8:
      if (!store->at(any).what.webhook.enabled)
        store->change(any, [](webhook& w) { w.enabled = true; });
      break;
    case 9:
    case 10:
      advance(milliseconds(10 * random.below(random.one_in(10) ? 200 : 10)));
      break;
    default:
      end_one(random, false);
    }
  }

  static constexpr std::array<const char*, 7> names{"spread",          "own",    "due", "record", "release",
                                                    "disable_failing", "pending"};
  std::map<webhook_id, std::set<std::int64_t>> well; // what the receivers have taken
};

TEST_F(WebhooksAtRandom, DeliversEverythingAtLeastOnceAndInOrderWhereAskedFor) {
  test::seeded random(71);
  settings.courier.buffer = 5;
  settings.courier.retries = retry_schedule(std::vector<milliseconds>(1'000, 300ms));
  settings.courier.limits.first_rest = 100ms;
  settings.courier.limits.longest_rest = 400ms;
  for (int i = 0; i < 4; ++i)
    store->add_endpoint(i % 2 == 0);
  start();
  watch();
  for (int i = 0; i < 10'000 && !HasFailure(); ++i) {
    SCOPED_TRACE("step " + std::to_string(i));
    something_happens(random);
  }
  store->failing.clear();
  store->let_go();
  store->share = 4;
  for (auto& r : store->rows) {
    ++r.what.token;
    if (!r.what.webhook.enabled)
      store->change(r.what.webhook.id, [](webhook& w) { w.enabled = true; });
  }
  for (int i = 0; i < 3'000 && *store->pending() > 0 && !HasFailure(); ++i) {
    for (auto& r : store->rows)
      r.ours = true; // what was given up at the last moment is taken again
    for (int n = 0; n < 8; ++n)
      end_one(random, true);
    advance(50ms);
  }
  EXPECT_EQ(*store->pending(), 0) << "what was told and never sent";
  for (const auto& r : store->rows) {
    EXPECT_EQ(well[r.what.webhook.id].size(), static_cast<std::size_t>(r.sequence));
    EXPECT_GT(r.sequence, 1'000);
  }
}

} // namespace
} // namespace rdev::webhooks
