#include "actors/courier.hpp"

#include "adapters/crypto.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/plain_outbox.hpp"
#include "tests/support/scripted_sender.hpp"
#include "tests/values/seeded.hpp"

#include <gmock/gmock.h>

#include <map>
#include <set>

namespace rdev::courier {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using test::answered_with;
using test::delivered_well;
using test::not_answered;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::SizeIs;

// One courier; the test plays WEBHOOKS over a plain outbox.
class Courier : public test::actor_house {
protected:
  Courier() {
    settings.concurrency = 3;
    settings.buffer = 8;
    settings.retries = retry_schedule({1s, 10s});
    settings.limits.fewest_calls = 5;
    settings.limits.first_rest = 1s;
    settings.limits.longest_rest = 4s;
  }
  ~Courier() override {
    sender->stop(); // what it would call keeps the courier alive
  }
  void start(bool ordered = false) {
    id = store.add_endpoint(ordered);
    keeper = open([this](caf::event_based_actor* me) {
      return caf::behavior{
          [](test::errand& work) { work.what(); },
          [this, me](const fetch& what) { return on_fetch(me, what); },
          [this](const attempted& what) {
            (void)store.record({&what.what, 1});
          },
          [this](const stopped& what) {
            EXPECT_EQ(what.webhook, id);
            ++stops;
            EXPECT_THAT(store.records, SizeIs(sender->sent().size())) << "all is reported before";
          },
      };
    });
    courier = open(behavior, around(), settings, caf::actor_cast<parent>(keeper), sender);
  }
  caf::result<fetched> on_fetch(caf::event_based_actor* me, const fetch& what) {
    auto due = store.due(what.webhook, what.token, what.most);
    if (!due)
      return to_error(due.error());
    if (!hold)
      return fetched{std::move(*due)};
    held.emplace_back(me->make_response_promise<fetched>(), fetched{std::move(*due)});
    return held.back().first;
  }
  // Answers the fetches that were held, with what was due when they were made.
  void let_go() {
    hold = false;
    tell(keeper, test::errand{[this] {
           for (auto& [promise, due] : held)
             promise.deliver(std::move(due));
           held.clear();
         }});
  }

  void serve_it() {
    tell(courier, serve{store.seen(id), boot() + store.left});
  }
  void put(int n) {
    store.put(id, n);
    serve_it();
  }
  void wake_it() {
    tell(courier, wake{});
  }
  void answer(std::int64_t sequence, sent_message how) {
    sender->answer(sequence, std::move(how));
    run();
  }
  void change(const std::function<void(webhook&)>& how) {
    store.change(id, how);
    serve_it();
  }
  // Time passes, and WEBHOOKS looks twice a second meanwhile.
  void pass(milliseconds d) {
    for (constexpr milliseconds step = 500ms; d > 0ms; d -= step) {
      advance(std::min(d, step));
      serve_it();
    }
  }
  milliseconds boot() {
    return around().boot_clock();
  }
  state& inside() {
    return caf::actor_cast<actor::stateful_pointer<state>>(courier)->state;
  }
  const attempt_record& last_record() {
    return store.records.back();
  }
  // Five failures of five, and it opens.
  void open_the_circuit() {
    put(5);
    for (std::int64_t n = 1; n <= 5; ++n)
      answer(n, answered_with(500));
    ASSERT_EQ(inside().breaker.state(), circuit_state::open);
  }

  config settings;
  test::plain_outbox store{around().boot_clock};
  std::shared_ptr<test::scripted_sender> sender = std::make_shared<test::scripted_sender>();
  webhook_id id;
  caf::actor keeper;
  actor courier;
  bool hold = false;
  std::vector<std::pair<caf::typed_response_promise<fetched>, fetched>> held;
  int stops = 0;
};

// ---- what is sent, and how much at once

TEST_F(Courier, HidesTheSecretsOfItsEndpointAsLongAsItHasThem) {
  start();
  auto what = store.seen(id);
  what.secrets = {secret("\x01 thirty-two bytes or so \xff"), secret("the former one, in use")};
  tell(courier, serve{what, boot() + store.left});
  const auto text = "whsec_" + to_base64("\x01 thirty-two bytes or so \xff");
  EXPECT_TRUE(is_hidden(text.substr(6)));
  EXPECT_TRUE(is_hidden(to_base64(text)));
  EXPECT_TRUE(is_hidden("the former one, in use"));
  what.secrets.former.reset();
  tell(courier, serve{what, boot() + store.left});
  EXPECT_TRUE(is_hidden(text.substr(6)));
  EXPECT_FALSE(is_hidden("the former one, in use"));
  kill(courier);
  EXPECT_FALSE(is_hidden(text.substr(6)));
}

TEST_F(Courier, SendsWhatIsDueWithUrlSecretsAndSequence) {
  start();
  store.at(id).what.secrets.former = secret("the one before that one");
  put(1);
  ASSERT_THAT(sender->all, SizeIs(1));
  const auto& message = sender->all[0].what;
  EXPECT_EQ(message.webhook, id);
  EXPECT_EQ(message.url, store.at(id).what.webhook.url);
  EXPECT_EQ(message.secrets.current.reveal(), "0123456789abcdef01234567");
  EXPECT_EQ(message.secrets.former->reveal(), "the one before that one");
  EXPECT_EQ(message.sequence, 1);
  EXPECT_EQ(message.what.id, store.at(id).waits[0].what.what.id);
}

TEST_F(Courier, ReportsADeliveryWithItsAnswerAndWhenItBegan) {
  start();
  put(1);
  const auto delivery = store.at(id).waits[0].what.id;
  advance(40ms);
  answer(1, delivered_well());
  ASSERT_THAT(store.records, SizeIs(1));
  EXPECT_EQ(last_record().webhook, id);
  EXPECT_EQ(last_record().token, 7);
  EXPECT_EQ(last_record().delivery, delivery);
  EXPECT_EQ(last_record().outcome, attempt_outcome::delivered);
  EXPECT_EQ(last_record().ago, 40ms);
  EXPECT_EQ(last_record().what.status, 204);
  EXPECT_EQ(last_record().what.latency, 3ms);
  EXPECT_THAT(store.at(id).waits, IsEmpty());
}

TEST_F(Courier, SendsNoMoreAtOnceThanItMay) {
  start();
  put(5);
  EXPECT_THAT(sender->under_way(), ElementsAre(1, 2, 3));
  answer(2, delivered_well());
  EXPECT_THAT(sender->under_way(), ElementsAre(1, 3, 4));
  wake_it();
  pass(2s);
  EXPECT_THAT(sender->under_way(), ElementsAre(1, 3, 4));
}

TEST_F(Courier, SendsNothingThatIsDueLater) {
  start();
  put(2);
  answer(1, answered_with(500));
  answer(2, delivered_well());
  advance(800ms);
  wake_it();
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2));
  pass(500ms);
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 1));
}

TEST_F(Courier, FetchesNoMoreThanItsBufferHolds) {
  start();
  put(1'000);
  const auto most = static_cast<std::size_t>(settings.buffer) + static_cast<std::size_t>(settings.concurrency);
  for (std::int64_t n = 1; n <= 1'000; ++n) {
    answer(n, delivered_well());
    if (n % 7 == 0)
      wake_it();
    ASSERT_LE(inside().buffer.size(), most);
  }
  EXPECT_THAT(store.calls["due"], Each(Le(most)));
  EXPECT_THAT(store.at(id).waits, IsEmpty());
  EXPECT_THAT(sender->sent(), SizeIs(1'000));
}

// ---- in order

TEST_F(Courier, SendsOneAtATimeWhereOrderIsAskedFor) {
  start(true);
  put(3);
  EXPECT_THAT(sender->sent(), ElementsAre(1));
  answer(1, delivered_well());
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2));
  answer(2, delivered_well());
  answer(3, delivered_well());
  EXPECT_THAT(store.at(id).waits, IsEmpty());
}

TEST_F(Courier, LetsNothingOvertakeAFailureWhereOrderIsAskedFor) {
  start(true);
  put(3);
  answer(1, answered_with(500));
  wake_it();
  pass(500ms);
  EXPECT_THAT(sender->sent(), ElementsAre(1));
  pass(1s);
  EXPECT_THAT(sender->sent(), ElementsAre(1, 1));
  answer(1, delivered_well());
  EXPECT_THAT(sender->sent(), ElementsAre(1, 1, 2));
}

TEST_F(Courier, LetsNothingOvertakeAFailureThatComesWhileOthersAreFetched) {
  start(true);
  put(3);
  hold = true;
  store.put(id, 3);
  while (sender->sent().size() < 3) // until it wants more
    answer(static_cast<std::int64_t>(sender->sent().size()), delivered_well());
  wake_it();
  ASSERT_THAT(held, SizeIs(1));
  answer(3, answered_with(500));
  let_go();
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3)) << "what was read before the failure does not count";
  pass(1500ms);
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3, 3));
  answer(3, delivered_well());
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3, 3, 4));
}

TEST_F(Courier, GoesOnAtOnceWhenADeliveryHasFailedForGood) {
  start(true);
  store.put(id, 3);
  store.at(id).waits[0].what.attempts = 2;
  serve_it();
  answer(1, answered_with(500));
  EXPECT_EQ(last_record().outcome, attempt_outcome::failed);
  EXPECT_THAT(sender->under_way(), ElementsAre(2));
}

TEST_F(Courier, LetsOthersGoOnWhereOrderIsNotAskedFor) {
  start();
  put(5);
  answer(1, answered_with(404));
  EXPECT_THAT(sender->under_way(), ElementsAre(2, 3, 4));
}

// ---- never twice

TEST_F(Courier, DoesNotSendAgainWhatEndedWhileOthersWereFetched) {
  start();
  hold = true;
  put(2);
  let_go();
  ASSERT_THAT(sender->under_way(), ElementsAre(1, 2));
  hold = true;
  store.put(id);
  wake_it();
  ASSERT_THAT(held, SizeIs(1)) << "with 1 and 2, which are not written down yet";
  answer(1, delivered_well());
  answer(2, answered_with(404));
  let_go();
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3));
}

TEST_F(Courier, DoesNotSendAgainWhatIsUnderWayOrInItsBuffer) {
  start();
  put(5);
  for (int i = 0; i < 5; ++i) {
    wake_it();
    store.put(id);
    serve_it();
  }
  for (std::int64_t n = 1; n <= 10; ++n)
    answer(n, delivered_well());
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
}

TEST_F(Courier, TakesAnAnswerOnce) {
  start();
  put(1);
  tell(courier, sent{store.at(id).waits[0].what.id, delivered_well()});
  tell(courier, sent{delivery_id::make(), delivered_well()}); // of nothing it knows
  answer(1, delivered_well());
  EXPECT_THAT(store.records, SizeIs(1));
}

// ---- retries

TEST_F(Courier, RetriesByTheScheduleAndThenGivesUp) {
  start();
  put(1);
  answer(1, answered_with(500));
  EXPECT_EQ(last_record().outcome, attempt_outcome::retry);
  EXPECT_GE(last_record().retry_in, 900ms);
  EXPECT_LE(last_record().retry_in, 1'100ms);
  EXPECT_EQ(last_record().what.status, 500);
  EXPECT_EQ(last_record().what.error, "status 500");
  EXPECT_EQ(last_record().what.body, "no");
  pass(1500ms);
  answer(1, not_answered());
  EXPECT_EQ(last_record().outcome, attempt_outcome::retry);
  EXPECT_GE(last_record().retry_in, 9s);
  EXPECT_LE(last_record().retry_in, 11s);
  EXPECT_EQ(last_record().what.status, std::nullopt);
  pass(8500ms);
  EXPECT_THAT(sender->under_way(), IsEmpty());
  pass(3s);
  answer(1, answered_with(301));
  EXPECT_EQ(last_record().outcome, attempt_outcome::failed);
  pass(60s);
  EXPECT_THAT(sender->sent(), ElementsAre(1, 1, 1));
}

TEST_F(Courier, RetriesNoSoonerThanTheEndpointWishes) {
  start();
  put(2);
  answer(1, answered_with(500, 1h));
  EXPECT_EQ(last_record().retry_in, 1h);
  answer(2, answered_with(503, 0s));
  EXPECT_GE(last_record().retry_in, 900ms);
}

TEST_F(Courier, GivesUpAfterTheLastAttemptWhateverTheEndpointWishes) {
  start();
  store.put(id);
  store.at(id).waits[0].what.attempts = 2;
  serve_it();
  answer(1, answered_with(503, 10s));
  EXPECT_EQ(last_record().outcome, attempt_outcome::failed);
}

// ---- an endpoint that is gone

TEST_F(Courier, DisablesAnEndpointThatIsGoneAndSendsNothingMore) {
  start();
  put(6);
  const auto before = store.seen(id);
  answer(1, answered_with(410));
  EXPECT_EQ(last_record().outcome, attempt_outcome::disable);
  EXPECT_EQ(last_record().what.status, 410);
  tell(courier, serve{before, boot() + 3s}); // was read before that was written down
  wake_it();
  answer(2, delivered_well());
  answer(3, answered_with(500));
  pass(5s);
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3));
  change([](webhook& w) { w.enabled = true; });
  EXPECT_THAT(sender->under_way(), ElementsAre(1, 3, 4)) << "all are kept until somebody enables it";
}

TEST_F(Courier, SendsNothingThatWasFetchedWhileItTurnedOutToBeGone) {
  start();
  put(2);
  const auto before = store.seen(id);
  hold = true;
  store.put(id, 3);
  wake_it();
  ASSERT_THAT(held, SizeIs(1));
  answer(1, answered_with(410));
  let_go();
  tell(courier, serve{before, boot() + 3s});
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2));
  pass(2s);
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2));
}

TEST_F(Courier, TakesA2xxForDeliveredWhateverItSaysOtherwise) {
  start();
  put(1);
  auto how = delivered_well();
  how.status = 202;
  how.retry_after = 1h;
  answer(1, how);
  EXPECT_EQ(last_record().outcome, attempt_outcome::delivered);
  put(1);
  EXPECT_THAT(sender->under_way(), ElementsAre(2));
}

// ---- an endpoint in trouble

TEST_F(Courier, LeavesAnEndpointAloneThatFailsAndProbesItOnce) {
  start();
  open_the_circuit();
  EXPECT_TRUE(lines.says("an endpoint is left alone"));
  const auto so_far = sender->sent().size();
  store.put(id, 4);
  pass(500ms);
  wake_it();
  EXPECT_THAT(sender->sent(), SizeIs(so_far)) << "nothing is sent while it is open";
  pass(1s);
  ASSERT_THAT(sender->under_way(), SizeIs(1)) << "one probe";
  pass(2s);
  ASSERT_THAT(sender->under_way(), SizeIs(1));
  answer(sender->under_way()[0], delivered_well());
  EXPECT_THAT(sender->under_way(), SizeIs(3));
  EXPECT_TRUE(lines.says("an endpoint is well again"));
}

TEST_F(Courier, RestsTwiceAsLongAfterAFailedProbe) {
  start();
  open_the_circuit();
  store.put(id, 4);
  pass(1500ms);
  ASSERT_THAT(sender->under_way(), SizeIs(1));
  answer(sender->under_way()[0], not_answered());
  pass(1500ms);
  EXPECT_THAT(sender->under_way(), IsEmpty());
  pass(1s);
  EXPECT_THAT(sender->under_way(), SizeIs(1));
}

// WEBHOOKS may be busy: then its own timers have to do.
TEST_F(Courier, GoesOnByItselfWhenARestIsOver) {
  start();
  store.left = 1h;
  settings.retries = retry_schedule({1h});
  put(9);
  for (std::int64_t n = 1; n <= 5; ++n)
    answer(n, answered_with(500));
  for (const auto n : sender->under_way())
    answer(n, answered_with(500));
  advance(1s);
  ASSERT_THAT(sender->under_way(), SizeIs(1)) << "the probe";
  answer(sender->under_way()[0], answered_with(500));
  advance(1900ms);
  EXPECT_THAT(sender->under_way(), IsEmpty());
  advance(200ms);
  EXPECT_THAT(sender->under_way(), SizeIs(1)) << "not only when the time for a probe has passed";
}

TEST_F(Courier, TakesNoOffenceAtRequestsThatAreRefused) {
  start();
  put(30);
  for (std::int64_t n = 1; n <= 30; ++n)
    answer(n, answered_with(n % 2 == 0 ? 404 : 302));
  EXPECT_THAT(sender->sent(), SizeIs(30));
  EXPECT_EQ(inside().breaker.state(), circuit_state::closed);
}

TEST_F(Courier, TakesAnEndpointForFailingThatDoesNotAnswerOrIsTooSlow) {
  for (const auto& how : {not_answered(), answered_with(429), [] {
                            auto slow = delivered_well();
                            slow.latency = 11s;
                            return slow;
                          }()}) {
    start();
    put(8);
    for (std::int64_t n = 1; n <= 5; ++n)
      answer(n, how);
    EXPECT_EQ(inside().breaker.state(), circuit_state::open) << how.error;
    sender->stop();
    sender->all.clear();
  }
}

TEST_F(Courier, LeavesAnEndpointAloneForAsLongAsItWishes) {
  for (const int status : {429, 503}) {
    start();
    put(6);
    answer(1, answered_with(status, 20s));
    answer(2, delivered_well());
    pass(19500ms);
    EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3)) << status;
    pass(1s);
    EXPECT_THAT(sender->under_way(), SizeIs(3)) << status;
    sender->stop();
    sender->all.clear();
  }
}

TEST_F(Courier, HeedsTheLongestOfSeveralWishes) {
  start();
  put(6);
  answer(1, answered_with(503, 20s));
  answer(2, answered_with(503, 5s));
  pass(19s);
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3));
}

TEST_F(Courier, DelaysOnlyTheOneDeliveryForOtherWishes) {
  start();
  put(4);
  answer(1, answered_with(500, 20s));
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3, 4));
}

TEST_F(Courier, ForgetsWhatAnEndpointWishedWhenItsOwnerChangesIt) {
  start();
  put(6);
  answer(1, answered_with(429, 24h));
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3));
  change([](webhook& w) { w.url = "https://another.example/"; });
  ASSERT_THAT(sender->sent(), SizeIs(4)) << "the other one has wished nothing";
  EXPECT_EQ(sender->all[3].what.url, "https://another.example/");
}

TEST_F(Courier, ForgetsThatAnEndpointFailedWhenItsOwnerChangesIt) {
  start();
  open_the_circuit();
  const auto so_far = sender->sent().size();
  put(3);
  EXPECT_THAT(sender->sent(), SizeIs(so_far));
  change([](webhook& w) { w.url = "https://another.example/"; });
  EXPECT_THAT(sender->under_way(), SizeIs(3));
}

// ---- when it may not send

TEST_F(Courier, SendsNothingOnceItsNodeMayBeThoughtDead) {
  start();
  put(5);
  advance(3s);
  answer(1, delivered_well());
  wake_it();
  advance(10s);
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3));
  EXPECT_THAT(store.records, SizeIs(1)) << "but says how it ended";
  serve_it();
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3, 4));
}

TEST_F(Courier, SendsNothingUnderALeaseThatIsNotGoodAnyMore) {
  start();
  store.left = 0ms;
  put(1);
  EXPECT_THAT(sender->sent(), IsEmpty());
}

TEST_F(Courier, SendsNothingWhilePaused) {
  start();
  put(5);
  change([](webhook& w) { w.enabled = false; });
  answer(1, delivered_well());
  wake_it();
  pass(5s);
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3));
  change([](webhook& w) { w.enabled = true; });
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3, 4));
}

// ---- changes

TEST_F(Courier, SendsByAnotherUrlAndAnotherSecretFromTheNextOn) {
  start();
  put(5);
  store.at(id).what.secrets = {secret("another secret of 24 byt"), secret("0123456789abcdef01234567")};
  change([](webhook& w) { w.url = "https://another.example/"; });
  answer(1, answered_with(500));
  ASSERT_THAT(sender->sent(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(sender->all[3].what.url, "https://another.example/");
  EXPECT_EQ(sender->all[3].what.secrets.current.reveal(), "another secret of 24 byt");
  EXPECT_TRUE(sender->all[3].what.secrets.former);
}

TEST_F(Courier, TakesNoWordOfTheFormerEndpointForThatOfThePresentOne) {
  start();
  put(6);
  change([](webhook& w) { w.url = "https://another.example/"; });
  answer(1, answered_with(410));
  EXPECT_EQ(last_record().outcome, attempt_outcome::retry) << "the former one is gone";
  answer(2, answered_with(429, 1h));
  answer(3, delivered_well());
  EXPECT_THAT(sender->under_way(), ElementsAre(4, 5, 6));
}

TEST_F(Courier, KeepsToTheOrderFromTheNextOnWhenItIsAskedFor) {
  start();
  put(6);
  answer(1, answered_with(404));
  ASSERT_THAT(sender->under_way(), ElementsAre(2, 3, 4));
  change([](webhook& w) { w.ordered = true; });
  answer(2, delivered_well());
  answer(4, delivered_well());
  EXPECT_THAT(sender->under_way(), ElementsAre(3)) << "those that were under way are waited for";
  answer(3, delivered_well());
  EXPECT_THAT(sender->under_way(), IsEmpty()) << "1 is to come before 5 and is not due yet";
  pass(1500ms);
  EXPECT_THAT(sender->under_way(), ElementsAre(1));
  answer(1, delivered_well());
  EXPECT_THAT(sender->under_way(), ElementsAre(5));
}

TEST_F(Courier, SendsManyAtOnceWhenOrderIsAskedForNoLonger) {
  start(true);
  put(6);
  answer(1, answered_with(404));
  EXPECT_THAT(sender->under_way(), IsEmpty());
  change([](webhook& w) { w.ordered = false; });
  EXPECT_THAT(sender->under_way(), ElementsAre(2, 3, 4));
}

// ---- stopping

TEST_F(Courier, SaysThatItHasStoppedAtOnceWhenNothingIsUnderWay) {
  start();
  serve_it();
  tell(courier, stop{});
  EXPECT_EQ(stops, 1);
}

TEST_F(Courier, SaysThatItHasStoppedWhenTheLastAnswerHasComeAndStartsNothingMore) {
  start();
  put(6);
  tell(courier, stop{});
  EXPECT_EQ(stops, 0);
  answer(1, delivered_well());
  answer(3, answered_with(500));
  wake_it();
  pass(2s);
  EXPECT_EQ(stops, 0);
  answer(2, delivered_well());
  EXPECT_EQ(stops, 1);
  pass(5s);
  EXPECT_EQ(stops, 1);
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2, 3));
}

TEST_F(Courier, SendsNothingThatIsFetchedAfterItWasStopped) {
  start();
  hold = true;
  put(3);
  tell(courier, stop{});
  EXPECT_EQ(stops, 1);
  let_go();
  EXPECT_THAT(sender->sent(), IsEmpty());
}

// ---- the store is away

TEST_F(Courier, FetchesAgainWithTheNextLookWhenItCouldNot) {
  start();
  store.failing["due"] = 2;
  put(2);
  EXPECT_THAT(sender->sent(), IsEmpty());
  serve_it();
  EXPECT_THAT(sender->sent(), IsEmpty());
  serve_it();
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2));
}

TEST_F(Courier, FetchesAgainWhenWokenWhenItCouldNot) {
  start();
  serve_it();
  store.failing["due"] = 1;
  store.put(id, 2);
  wake_it();
  EXPECT_THAT(sender->sent(), IsEmpty());
  wake_it();
  EXPECT_THAT(sender->sent(), ElementsAre(1, 2));
}

TEST_F(Courier, DoesNotAskAgainAndAgainForNothing) {
  start();
  put(3);
  const auto asked = store.calls["due"].size();
  EXPECT_LE(asked, 3U);
  answer(1, delivered_well());
  EXPECT_LE(store.calls["due"].size(), asked + 1);
  for (int i = 0; i < 10; ++i)
    tell(courier, go_on{});
  EXPECT_LE(store.calls["due"].size(), asked + 1);
}

// ---- all of it, at random

// What must hold whenever something is sent, by what the test knows.
class CourierAtRandom : public Courier {
protected:
  void watch() {
    sender->on_send = [this](const outgoing_message& what) { on_send(what.sequence); };
  }
  const test::plain_outbox::waiting* row_of(std::int64_t sequence) {
    for (const auto& w : store.at(id).waits)
      if (w.what.sequence == sequence)
        return &w;
    return nullptr;
  }
  void on_send(std::int64_t sequence) {
    ++sends;
    sent_under[sequence] = revision;
    const auto under_way = sender->under_way();
    ASSERT_EQ(std::count(under_way.begin(), under_way.end(), sequence), 0) << sequence << " is under way already";
    ASSERT_FALSE(reported.contains(sequence)) << sequence << " has ended, and that is not written down yet";
    const auto* row = row_of(sequence);
    ASSERT_TRUE(row != nullptr) << sequence << " does not wait any more";
    ASSERT_LE(row->due_at, boot()) << sequence << " is not due";
    ASSERT_LT(boot(), good_until);
    ASSERT_TRUE(enabled);
    ASSERT_GE(boot(), left_alone_until);
    ASSERT_LT(under_way.size(), ordered ? 1U : static_cast<std::size_t>(settings.concurrency));
    for (const auto& w : store.at(id).waits)
      ASSERT_TRUE(!in_order || w.what.sequence >= sequence || closed.contains(w.what.sequence))
          << sequence << " overtakes " << w.what.sequence;
  }
  void look() {
    if (!held.empty())
      let_go(); // WEBHOOKS answers one thing after the other
    const auto now = store.seen(id);
    if (now.webhook.revision != revision)
      left_alone_until = 0ms;
    revision = now.webhook.revision;
    enabled = now.webhook.enabled;
    ordered = in_order = now.webhook.ordered;
    good_until = boot() + store.left;
    serve_it();
  }
  void end_one(test::seeded& random, bool all_well) {
    const auto open = sender->under_way();
    if (open.empty())
      return;
    const auto sequence = random.any_of(open);
    auto how = all_well ? delivered_well() : some_end(random);
    const auto* row = row_of(sequence);
    reported.insert(sequence);
    // What the courier has read may be older than the row, never newer: it counted no attempt that was not made.
    const bool of_this_one = sent_under[sequence] == revision;
    const bool gone = how.status == 410 && of_this_one;
    if (how.error.empty() || (!gone && row->what.attempts >= 2))
      closed.insert(sequence);
    if (gone)
      enabled = false;
    const auto status = how.status.value_or(0);
    if (std::set{429, 503}.contains(status) && how.retry_after && of_this_one)
      left_alone_until = std::max<milliseconds>(left_alone_until, boot() + *how.retry_after);
    answer(sequence, std::move(how));
    reported.erase(sequence);
  }
  static sent_message some_end(test::seeded& random) {
    switch (random.below(28)) {
    case 0:
      return answered_with(500);
    case 1:
      return answered_with(404);
    case 2:
      return not_answered();
    case 3:
      return answered_with(429, std::chrono::seconds(random.below(3)));
    case 4:
      return answered_with(503, std::chrono::seconds(random.below(3)));
    case 5:
      return answered_with(503);
    case 6:
      return answered_with(random.one_in(4) ? 410 : 400);
    case 7:
    case 8:
    case 9:
      return answered_with(400);
    default:
      return delivered_well();
    }
  }
  void something_happens(test::seeded& random) {
    switch (random.below(12)) {
    case 0:
      store.put(id, static_cast<int>(1 + random.below(2)));
      if (random.below(2) == 0)
        wake_it();
      break;
    case 1:
      wake_it();
      break;
    case 2:
    case 3:
      look();
      break;
    case 4:
      hold = held.empty() && random.below(2) == 0;
      break;
    case 5:
      if (!held.empty())
        let_go();
      break;
    case 6:
      if (random.one_in(3))
        store.failing["due"] = 1;
      break;
    case 7:
      if (random.one_in(4)) {
        store.change(id, [&](webhook& w) { (random.one_in(3) ? w.ordered : w.enabled) = random.below(4) != 0; });
        in_order = false;
      }
      break;
    case 8:
      advance(milliseconds(10 * random.below(random.one_in(10) ? 400 : 40)));
      break;
    default:
      end_one(random, false);
    }
  }

  std::set<std::int64_t> reported; // answered, while that is on its way
  std::set<std::int64_t> closed;   // will not be sent any more
  milliseconds good_until{0};
  milliseconds left_alone_until{0};
  std::map<std::int64_t, int> sent_under; // revision of the endpoint
  int revision = 0;
  bool enabled = true;
  bool ordered = false;
  bool in_order = false; // and nobody has changed that, whom the courier has not heard of yet
  int sends = 0;
};

TEST_F(CourierAtRandom, SendsEverythingAtLeastOnceAndKeepsItsLimits) {
  test::seeded random(70);
  settings.buffer = 6;
  settings.retries = retry_schedule({300ms, 1s});
  settings.limits.first_rest = 200ms;
  settings.limits.longest_rest = 800ms;
  start();
  watch();
  for (int i = 0; i < 20'000 && !HasFailure(); ++i) {
    SCOPED_TRACE("step " + std::to_string(i));
    something_happens(random);
  }
  EXPECT_GT(sends, 500);
  let_go();
  store.failing.clear();
  for (int i = 0; i < 5'000 && !HasFailure() && !store.at(id).waits.empty(); ++i) {
    if (!store.at(id).what.webhook.enabled)
      store.change(id, [](webhook& w) { w.enabled = true; });
    look();
    for (int n = 0; n < 4; ++n)
      end_one(random, true);
    advance(50ms);
  }
  EXPECT_EQ(store.at(id).waits.size(), 0U) << "what was due and never sent";
  const auto ended = std::count_if(store.records.begin(), store.records.end(), [](const auto& r) {
    return r.outcome == attempt_outcome::delivered || r.outcome == attempt_outcome::failed;
  });
  EXPECT_EQ(ended, store.at(id).sequence) << "each ends once";
  EXPECT_EQ(static_cast<std::size_t>(sends), store.records.size());
}

} // namespace
} // namespace rdev::courier
