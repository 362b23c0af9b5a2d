#include "actors/streams.hpp"

#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

namespace rdev::streams {
namespace {

using namespace std::chrono_literals;

class Streams : public test::actor_house {
protected:
  Streams() {
    play_with<queries::actor>([this](caf::event_based_actor* me) {
      return caf::behavior{[this](const queries::look_behind& what) -> caf::result<queries::behind> {
                             looked.push_back(what.places);
                             if (away)
                               return to_error({fault::unavailable, "planned"});
                             return queries::behind{news ? std::vector{command} : std::vector<command_id>{}};
                           },
                           [this, me](const queries::events_after& what) -> caf::result<queries::events> {
                             asked_for.push_back(what);
                             if (away)
                               return to_error({fault::unavailable, "planned"});
                             if (!hold)
                               return page();
                             held.push_back(me->make_response_promise<queries::events>());
                             return held.back();
                           }};
    });
    streams = open(behavior, around(), config{});
  }

  queries::events page() {
    if (!there)
      return {};
    event_page out;
    out.command = command;
    out.running = news;
    return {out};
  }
  test::asked<answer<stream_news>> read(std::chrono::milliseconds wait, bool of_project = false) {
    stream_opened opened;
    opened.project = "demo";
    if (!of_project)
      opened.command = command;
    opened.key = key;
    return ask<answer<stream_news>>(streams, ingress::read_stream{opened, {1, 0}, wait});
  }
  test::asked<answer<stream_news>> read_as(const command_id& holder, bool of_project = false) {
    stream_opened opened;
    opened.project = "demo";
    if (!of_project)
      opened.command = command;
    opened.key = key;
    opened.holder = holder;
    return ask<answer<stream_news>>(streams, ingress::read_stream{opened, {1, 0}, 10s});
  }
  void grows() {
    news = true;
    tell(streams, grown{command});
  }

  const command_id command = command_id::make();
  const key_id key = key_id::make();
  bool there = true;
  bool news = false;
  bool away = false;
  bool hold = false;
  std::vector<queries::events_after> asked_for;
  std::vector<std::vector<event_place>> looked;
  std::vector<caf::typed_response_promise<queries::events>> held;
  actor streams;
};

TEST_F(Streams, AnswersAtOnceWhenThereIsSomething) {
  news = true;
  auto one = read(10s);
  ASSERT_FALSE(one.open());
  EXPECT_TRUE(one.reply()->events->running);
  EXPECT_EQ(asked_for.at(0).position, (event_position{1, 0}));
}

TEST_F(Streams, ParksAReaderUntilTheCommandGrows) {
  auto one = read(10s);
  auto other = read(10s);
  EXPECT_TRUE(one.open());
  tell(streams, grown{command_id::make()});
  EXPECT_EQ(asked_for.size(), 2U);
  grows();
  EXPECT_TRUE(one.reply()->events);
  EXPECT_TRUE(other.reply()->events);
}

class StreamsOfACommand : public Streams {
protected:
  StreamsOfACommand() {
    play_keys();
  }
  void play_keys() {
    keys = play<api_keys::actor>([this](const api_keys::find& what) {
      EXPECT_EQ(what.executions, std::vector{holder});
      api_keys::found out;
      if (runs)
        out.executions.push_back({holder, "demo", {}});
      return out;
    });
  }
  static refusal_code refused(const test::asked<answer<stream_news>>& one) {
    return one.reply() ? refusal_code::internal_error : one.reply().why().code;
  }

  const command_id holder = command_id::make(); // whose credential is shown
  bool runs = true;
  api_keys::actor keys;
};

TEST_F(StreamsOfACommand, EndAtTheFirstQuestionAfterIt) {
  news = true;
  EXPECT_TRUE(read_as(holder).reply());
  runs = false;
  EXPECT_EQ(refused(read_as(holder)), refusal_code::unauthorized);
}

TEST_F(StreamsOfACommand, TellNothingThatComesAfterIt) {
  const auto output = read_as(holder);
  const auto of_project = read_as(holder, true);
  runs = false;
  grows();
  EXPECT_EQ(refused(output), refusal_code::unauthorized);
  project demo;
  demo.id = "demo";
  tell(streams, project_changed{demo});
  EXPECT_EQ(refused(of_project), refusal_code::unauthorized);
}

TEST_F(StreamsOfACommand, TellOfItsProjectWhenTheStoreIsThereAgain) {
  const auto of_project = read_as(holder, true);
  kill(keys);
  project demo;
  demo.id = "demo";
  tell(streams, project_changed{demo});
  EXPECT_TRUE(of_project.open());
  play_keys();
  advance(1s);
  ASSERT_FALSE(of_project.open());
  ASSERT_TRUE(of_project.reply());
  EXPECT_EQ(of_project.reply()->project_status->id, "demo");
}

TEST_F(StreamsOfACommand, TellOfItsProjectWhileItRuns) {
  const auto of_project = read_as(holder, true);
  project demo;
  demo.id = "demo";
  tell(streams, project_changed{demo});
  ASSERT_TRUE(of_project.reply());
  EXPECT_EQ(of_project.reply()->project_status->id, "demo");
}

TEST_F(Streams, SendsReadersOfAChangedKeyAwayAndOnlyThose) {
  auto one = read(10s);
  auto of_project = read(10s, true);
  tell(streams, recheck{key_id::make()});
  EXPECT_TRUE(one.open());
  tell(streams, recheck{key});
  EXPECT_TRUE(one.reply()->draining);
  EXPECT_TRUE(of_project.reply()->draining);
  EXPECT_TRUE(read(10s).open()) << "whoever still may comes again";
}

TEST_F(Streams, EndsWithTheKeyThatOpenedIt) {
  stream_opened opened;
  opened.project = "demo";
  opened.command = command;
  opened.key = key;
  opened.ends_at = now_utc() - 1s;
  const auto ended = ask<answer<stream_news>>(streams, ingress::read_stream{opened, {1, 0}, 10s});
  EXPECT_EQ(ended.reply().why().code, refusal_code::key_expired);
}

TEST_F(Streams, LooksAgainByItselfInCaseANotificationWasLost) {
  auto one = read(10s);
  news = true;
  advance(900ms);
  EXPECT_TRUE(one.open());
  advance(200ms);
  EXPECT_TRUE(one.reply()->events);
}

TEST_F(Streams, LooksForManyWithOneQuestion) {
  std::vector<test::asked<answer<stream_news>>> all;
  for (int i = 0; i < 300; ++i)
    all.push_back(read(10s));
  auto of_a_project = read(10s, true);
  const auto before = asked_for.size();
  advance(1100ms);
  ASSERT_EQ(looked.size(), 2U);
  EXPECT_EQ(looked[0].size() + looked[1].size(), 300U);
  EXPECT_EQ(looked[0].size(), 256U);
  EXPECT_EQ(looked[0][0].command, command);
  EXPECT_EQ(looked[0][0].position, (event_position{1, 0}));
  EXPECT_EQ(asked_for.size(), before) << "nobody asks for a page where there is nothing";
  news = true;
  advance(1100ms);
  for (auto& one : all)
    EXPECT_TRUE(one.reply()->events);
  EXPECT_TRUE(of_a_project.open());
}

TEST_F(Streams, AnswersWithNothingWhenTheTimeIsUp) {
  auto one = read(3s);
  advance(2500ms);
  EXPECT_TRUE(one.open());
  advance(1500ms);
  ASSERT_FALSE(one.open());
  EXPECT_FALSE(one.reply()->events);
  EXPECT_FALSE(one.reply()->draining);
  auto at_once = read(0s);
  EXPECT_FALSE(at_once.open());
}

TEST_F(Streams, LosesNothingThatComesWhileAPageIsFetched) {
  hold = true;
  auto one = read(10s);
  grows();
  ASSERT_EQ(held.size(), 1U); // one page at a time
  event_page empty;
  within<queries::actor>([&] { held[0].deliver(queries::events{empty}); });
  ASSERT_EQ(held.size(), 2U);
  within<queries::actor>([&] { held[1].deliver(page()); });
  EXPECT_TRUE(one.reply()->events);
}

TEST_F(Streams, KeepsReadersWhileTheStoreIsAway) {
  away = true;
  auto one = read(10s);
  advance(3s);
  EXPECT_TRUE(one.open());
  EXPECT_GE(counts.count("fault_seen streams"), 3); // the first question and two polls
  away = false;
  news = true;
  advance(1100ms);
  EXPECT_TRUE(one.reply()->events);
}

TEST_F(Streams, SaysThatOutputIsGonePastItsRetention) {
  there = false;
  EXPECT_EQ(read(1s).reply().why().code, refusal_code::gone);
}

TEST_F(Streams, EndsAllStreamsOfARevokedKey) {
  auto one = read(10s);
  auto of_project = read(10s, true);
  tell(streams, revoke{key_id::make()});
  EXPECT_TRUE(one.open());
  tell(streams, revoke{key});
  EXPECT_EQ(one.reply().why().code, refusal_code::key_revoked);
  EXPECT_EQ(of_project.reply().why().code, refusal_code::key_revoked);
  news = true;
  EXPECT_EQ(read(10s).reply().why().code, refusal_code::key_revoked);
}

TEST_F(Streams, GivesAPageThatWasUnderWayToNobodyAfterARevocation) {
  hold = true;
  auto one = read(10s);
  tell(streams, revoke{key});
  news = true;
  within<queries::actor>([&] { held.at(0).deliver(page()); });
  EXPECT_EQ(one.reply().why().code, refusal_code::key_revoked);
}

TEST_F(Streams, TellsAllReadersThatTheServerGoesAway) {
  auto one = read(10s);
  auto of_project = read(10s, true);
  tell(streams, drain{});
  EXPECT_TRUE(one.reply()->draining);
  EXPECT_TRUE(of_project.reply()->draining);
  news = true;
  EXPECT_TRUE(read(10s).reply()->draining);
}

TEST_F(Streams, TellsReadersOfAProjectWhenItChanges) {
  auto one = read(10s, true);
  auto of_command = read(10s);
  project other;
  other.id = "other";
  tell(streams, project_changed{other});
  EXPECT_TRUE(one.open());
  project demo;
  demo.id = "demo";
  demo.status = project_status::stopped;
  tell(streams, project_changed{demo});
  EXPECT_EQ(one.reply()->project_status->status, project_status::stopped);
  EXPECT_TRUE(of_command.open());
}

} // namespace
} // namespace rdev::streams
