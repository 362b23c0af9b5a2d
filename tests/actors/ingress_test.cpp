#include "actors/ingress.hpp"

#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

namespace rdev::ingress {
namespace {

using namespace std::chrono_literals;

class Ingress : public test::actor_house {
protected:
  Ingress() {
    play_with<auth::actor>([this](caf::event_based_actor* me) {
      return caf::behavior{[this, me](const auth::identify&) {
        held.push_back(me->make_response_promise<answer<principal>>());
        return held.back();
      }};
    });
    made = system.spawn(behavior, around(), settings);
    door = made;
  }
  ~Ingress() override {
    kill(made);
  }
  test::asked<api_reply> knock(std::string ip = "127.0.0.1") {
    auto from = test::a_request();
    from.client_ip = std::move(ip);
    return ask<api_reply>(door, perform{{from, secret(), scope::admin, {}, {}, {}}});
  }
  // AUTH says so to the request that has come to it as number `n`.
  void turn_away(std::size_t n, refusal_code code, std::chrono::milliseconds retry_after = 0ms) {
    within<auth::actor>([&] { held.at(n).deliver(answer<principal>(refusal{code, "", {}, retry_after})); });
  }
  std::size_t under_way() {
    return caf::actor_cast<self_actor::stateful_pointer<state>>(made)->state.exchanges.size();
  }
  std::size_t spare() {
    return caf::actor_cast<self_actor::stateful_pointer<state>>(made)->state.spare.size();
  }

  config settings;
  self_actor made;
  actor door;
  std::vector<caf::typed_response_promise<answer<principal>>> held;
};

TEST_F(Ingress, GivesEveryRequestAnExchangeOfItsOwn) {
  auto first = knock();
  auto second = knock();
  EXPECT_EQ(under_way(), 2U);
  within<auth::actor>([this] {
    held.at(1).deliver(answer<principal>(refusal{refusal_code::too_many_requests, "", {}, {}}));
  });
  EXPECT_TRUE(first.open());
  EXPECT_EQ(second.reply().what.why().code, refusal_code::too_many_requests);
  EXPECT_EQ(under_way(), 1U);
}

TEST_F(Ingress, EndsExchangesThatAreOverdue) {
  auto early = knock();
  advance(6s);
  auto late = knock();
  advance(3900ms);
  EXPECT_TRUE(early.open());
  advance(700ms);
  EXPECT_EQ(early.reply().what.why().code, refusal_code::service_unavailable);
  EXPECT_TRUE(late.open());
  advance(6s);
  EXPECT_EQ(late.reply().what.why().code, refusal_code::service_unavailable);
  EXPECT_EQ(under_way(), 0U);
}

TEST_F(Ingress, GivesAnExchangeThatHasAnsweredTheNextRequest) {
  for (int i = 0; i < 3; ++i) {
    auto one = knock();
    within<auth::actor>([this] {
      held.back().deliver(answer<principal>(refusal{refusal_code::too_many_requests, "", {}, {}}));
    });
    EXPECT_EQ(one.reply().what.why().code, refusal_code::too_many_requests);
    EXPECT_EQ(under_way(), 0U);
    EXPECT_EQ(spare(), 1U);
  }
}

TEST_F(Ingress, GivesNoFurtherRequestToAnExchangeThatWasOverdue) {
  auto late = knock();
  advance(10600ms);
  EXPECT_EQ(late.reply().what.why().code, refusal_code::service_unavailable);
  EXPECT_EQ(spare(), 0U);
  auto next = knock();
  within<auth::actor>([this] { // the answer to the former request
    held.at(0).deliver(answer<principal>(refusal{refusal_code::too_many_requests, "", {}, {}}));
  });
  EXPECT_TRUE(next.open());
}

TEST_F(Ingress, KeepsNoMoreExchangesThanItIsTo) {
  std::vector<test::asked<api_reply>> all;
  for (int i = 0; i < 300; ++i)
    all.push_back(knock());
  within<auth::actor>([this] {
    for (auto& one : held)
      one.deliver(answer<principal>(refusal{refusal_code::too_many_requests, "", {}, {}}));
  });
  EXPECT_EQ(under_way(), 0U);
  EXPECT_EQ(spare(), settings.most_spare);
}

TEST_F(Ingress, TakesItsExchangesAlongWhenItDies) {
  auto one = knock();
  EXPECT_TRUE(one.open());
  kill(made);
  EXPECT_EQ(one.failed(), fault::unknown_outcome);
}

class LockedOut : public Ingress {
protected:
  LockedOut() {
    play<rate_limit::actor>([](const rate_limit::meter&) { return rate_limit::metered{}; });
    auto first = knock("10.0.0.1");
    turn_away(0, refusal_code::too_many_requests, 60s);
    EXPECT_EQ(first.reply().what.why().code, refusal_code::too_many_requests);
  }
  std::vector<test::asked<api_reply>> flood(int n, const std::string& ip = "10.0.0.1") {
    std::vector<test::asked<api_reply>> out;
    for (int i = 0; i < n; ++i)
      out.push_back(knock(ip));
    return out;
  }
  [[nodiscard]] std::size_t come_to_auth() const {
    return held.size() - 1; // but for the first
  }
};

TEST_F(LockedOut, AFewAtATimeAreLetInAndOthersGoPastThem) {
  auto all = flood(10);
  EXPECT_EQ(come_to_auth(), settings.most_locked_out);
  const auto other = knock("10.0.0.2");
  EXPECT_EQ(come_to_auth(), settings.most_locked_out + 1);
  turn_away(held.size() - 1, refusal_code::key_revoked);
  EXPECT_EQ(other.reply().what.why().code, refusal_code::key_revoked);
  for (std::size_t n = 1; n <= 4; ++n)
    turn_away(n, refusal_code::too_many_requests, 50s);
  EXPECT_EQ(come_to_auth(), 9U) << "as many as have been answered";
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(all[static_cast<std::size_t>(i)].open(), i >= 4) << "in the order in which they came: " << i;
  for (std::size_t n = 6; n < held.size(); ++n)
    turn_away(n, refusal_code::too_many_requests, 50s);
  for (const auto& one : all)
    ASSERT_FALSE(one.open());
}

TEST_F(LockedOut, EachWaitsForItsTurnHoweverManyComeAtOnce) {
  auto all = flood(1000);
  for (std::size_t n = 1; n < held.size(); ++n)
    turn_away(n, refusal_code::too_many_requests, 50s);
  EXPECT_EQ(come_to_auth(), all.size()) << "each has its turn";
  EXPECT_EQ(counts.count("rate_limited ban"), 0);
}

TEST_F(LockedOut, LongLinesLeaveRoomForOthers) {
  caf::actor_cast<self_actor::stateful_pointer<state>>(made)->state.settings.most_waiting = 100;
  for (int i = 2; i < 6; ++i) {
    const auto ip = "10.0.0." + std::to_string(i);
    auto first = knock(ip);
    turn_away(held.size() - 1, refusal_code::too_many_requests, 60s);
    (void)flood(200, ip);
  }
  const auto refused = counts.count("rate_limited ban");
  auto one = knock("10.0.0.1");
  EXPECT_TRUE(one.open());
  EXPECT_EQ(counts.count("rate_limited ban"), refused);
}

TEST_F(LockedOut, MoreThanCanWaitAreRefusedAtOnceAndOnRecord) {
  std::vector<audit_record> on_record;
  play<refusals::actor>([&](const refusals::refused& one) { on_record.push_back(one.what); });
  auto all = flood(static_cast<int>(settings.most_locked_out + settings.most_waiting / 2) + 1);
  EXPECT_TRUE(all[all.size() - 2].open());
  ASSERT_FALSE(all.back().open());
  const auto& why = all.back().reply().what.why();
  EXPECT_EQ(why.code, refusal_code::too_many_requests);
  EXPECT_EQ(why.details.at(0).field, "ban");
  EXPECT_GT(why.retry_after, 0ms);
  ASSERT_EQ(on_record.size(), 1U);
  EXPECT_EQ(on_record[0].reason, "TOO_MANY_REQUESTS");
  EXPECT_EQ(on_record[0].from.client_ip, "10.0.0.1");
  EXPECT_EQ(counts.count("rate_limited ban"), 1);
}

TEST_F(LockedOut, AddressesTakeTurns) {
  auto many = flood(20);
  auto second = knock("10.0.0.2");
  turn_away(held.size() - 1, refusal_code::too_many_requests, 60s);
  auto one = knock("10.0.0.2");
  EXPECT_EQ(come_to_auth(), 5U) << "it waits";
  for (std::size_t n = 1; n <= 2; ++n)
    turn_away(n, refusal_code::too_many_requests, 60s);
  EXPECT_EQ(come_to_auth(), 7U);
  turn_away(held.size() - 1, refusal_code::too_many_requests, 60s);
  EXPECT_FALSE(one.open()) << "not behind all of those that came before it";
}

TEST_F(LockedOut, ARequestThatTakesLongGivesItsPlaceBack) {
  auto all = flood(10);
  EXPECT_EQ(come_to_auth(), 4U);
  advance(1600ms);
  EXPECT_EQ(come_to_auth(), 8U);
}

TEST_F(LockedOut, OfIPv6AWhole64IsOneClient) {
  auto first = knock("2001:db8::1");
  turn_away(1, refusal_code::too_many_requests, 60s);
  auto all = flood(10, "2001:db8::2");
  EXPECT_EQ(come_to_auth(), 1 + settings.most_locked_out);
}

TEST_F(LockedOut, NobodyIsWhoseBanWasLifted) {
  auto one = knock("10.0.0.1");
  turn_away(1, refusal_code::unauthorized);
  EXPECT_EQ(one.reply().what.why().code, refusal_code::unauthorized);
  auto all = flood(10);
  EXPECT_EQ(come_to_auth(), 11U);
}

TEST_F(LockedOut, NobodyIsOfWhomThatWasNotSaidForSomeTime) {
  advance(1900ms);
  auto one = knock("10.0.0.1");
  turn_away(1, refusal_code::too_many_requests, 60s);
  advance(1900ms);
  auto some = flood(10);
  EXPECT_EQ(come_to_auth(), 1 + settings.most_locked_out) << "it was said again meanwhile";
  for (std::size_t n = 2; n <= 11; ++n)
    turn_away(n, refusal_code::too_many_requests, 60s);
  advance(2100ms);
  auto more = flood(10);
  EXPECT_EQ(come_to_auth(), 21U);
}

TEST_F(LockedOut, WhoWaitsIsAnsweredWhenNobodyIsLetIn) {
  caf::actor_cast<self_actor::stateful_pointer<state>>(made)->state.settings.longest_place = 1h;
  std::vector<audit_record> on_record;
  play<refusals::actor>([&](const refusals::refused& one) { on_record.push_back(one.what); });
  auto all = flood(10);
  advance(10600ms);
  for (const auto& one : all) {
    ASSERT_FALSE(one.open());
    EXPECT_EQ(one.reply().what.why().code, refusal_code::service_unavailable);
  }
  EXPECT_EQ(under_way(), 0U);
  EXPECT_EQ(counts.count("fault_seen deadline"), 10);
  EXPECT_EQ(on_record.size(), 10U);
  auto next = knock("10.0.0.1");
  turn_away(held.size() - 1, refusal_code::too_many_requests, 60s);
  EXPECT_FALSE(next.open()) << "places that were never given back would keep it out for ever";
}

TEST_F(LockedOut, WhoWaitsHearsOfTheDeathOfIngress) {
  auto all = flood(10);
  kill(made);
  for (const auto& one : all)
    EXPECT_TRUE(one.failed());
}

TEST_F(Ingress, PassesReadersOfStreamsToStreams) {
  play<streams::actor>([](const read_stream& what) {
    stream_news news;
    news.draining = what.wait == 7ms;
    return answer<stream_news>(news);
  });
  auto news = ask<answer<stream_news>>(door, read_stream{{}, {}, 7ms});
  EXPECT_TRUE(news.reply()->draining);
}

TEST_F(Ingress, PassesReadersOfStoredBytesToQueries) {
  play<queries::actor>([](const queries::stored& what) {
    output_bytes bytes;
    bytes.end = what.what.offset;
    return bytes;
  });
  auto bytes = ask<output_bytes>(door, read_bytes{{command_id::make(), stream::err, 42}});
  EXPECT_EQ(bytes.reply().end, 42U);
}

TEST_F(Ingress, AnswersReadersWithAFaultWhileStreamsIsAway) {
  auto gone = play<streams::actor>([](const read_stream&) { return answer<stream_news>(stream_news{}); });
  kill(gone);
  EXPECT_EQ(ask<answer<stream_news>>(door, read_stream{}).failed(), fault::unavailable);
}

} // namespace
} // namespace rdev::ingress
