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
  auto knock() {
    return ask<api_reply>(door, perform{{test::a_request(), {}, scope::admin, {}, {}, {}}});
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
