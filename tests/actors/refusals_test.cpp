#include "actors/refusals.hpp"

#include "actors/refusal_record.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

namespace rdev::refusals {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class Refusals : public test::actor_house {
protected:
  void start(int per_window) {
    play<audit::actor>([this](const audit::record& row) { recorded.push_back(row.what); },
                       [](const audit::committed&) {});
    sampling_rules settings;
    settings.per_window = per_window;
    refusals = open(behavior, around(), settings);
    run();
  }
  void refuse(int n) {
    for (int i = 0; i < n; ++i) {
      auto row = refusal_record(around(), test::a_request(), why, {}, {});
      row.target = std::to_string(told++);
      tell(refusals, refused{std::move(row)});
    }
  }
  std::vector<std::string> targets() {
    std::vector<std::string> out;
    for (const auto& row : recorded)
      out.push_back(row.target);
    return out;
  }

  refusal why{refusal_code::unauthorized, "no", {}, {}};
  std::vector<audit_record> recorded;
  actor refusals;
  int told = 0;
};

TEST_F(Refusals, RecordsSomeOfASourceAndTellsHowManyTheOthersWere) {
  start(2);
  refuse(5);
  EXPECT_THAT(targets(), ElementsAre("0", "1"));
  advance(58s);
  EXPECT_EQ(recorded.size(), 2U);
  advance(3s);
  ASSERT_EQ(recorded.size(), 3U);
  EXPECT_EQ(recorded[2].detail.at("count"), "3");
  refuse(3);
  EXPECT_EQ(recorded.size(), 5U) << "a new minute";
  advance(61s);
  ASSERT_EQ(recorded.size(), 6U);
  EXPECT_EQ(recorded[5].detail.at("count"), "1");
  advance(5min);
  EXPECT_EQ(recorded.size(), 6U);
}

TEST_F(Refusals, TellsWhatItHasCountedWhenItIsStopped) {
  start(2);
  refuse(5);
  caf::anon_send_exit(refusals, caf::exit_reason::user_shutdown);
  run();
  ASSERT_EQ(recorded.size(), 3U);
  EXPECT_EQ(recorded[2].detail.at("count"), "3");
}

TEST_F(Refusals, HaveARecordOfWhoWasRefusedWhatAndWhy) {
  start(1);
  auto from = test::a_request();
  from.method = "DELETE";
  from.path = "/projects/demo";
  principal who;
  who.key = key_id::make();
  who.key_name = "ci";
  const auto row = refusal_record(around(), from, {refusal_code::forbidden, "no", {}, {}}, who, "demo");
  EXPECT_EQ(row.action, "request.refused");
  EXPECT_EQ(row.outcome, "refused");
  EXPECT_EQ(row.reason, "FORBIDDEN");
  EXPECT_EQ(row.target, "DELETE /projects/demo");
  EXPECT_EQ(row.actor, who.key);
  EXPECT_EQ(row.actor_name, "ci");
  EXPECT_EQ(row.project, "demo");
  EXPECT_EQ(row.from.request_id, from.request_id);
}

TEST_F(Refusals, OfNobodyKnownNameThePrefixOfTheKeyIfThatIs) {
  start(1);
  EXPECT_EQ(refusal_record(around(), test::a_request(), why, {}, {}).actor_name, "unknown");
  why.key_prefix = "rdev_abcdefgh";
  EXPECT_EQ(refusal_record(around(), test::a_request(), why, {}, {}).actor_name, "rdev_abcdefgh");
}

TEST_F(Refusals, HaveNoSecretsInTheirRecords) {
  start(1);
  const auto hidden = around().hide(secret("swordfish-and-chips"));
  auto from = test::a_request();
  from.path = "/projects/swordfish-and-chips";
  from.request_id = "swordfish-and-chips";
  const auto row = refusal_record(around(), from, why, {}, "swordfish-and-chips");
  EXPECT_EQ(row.target.find("swordfish"), std::string::npos) << row.target;
  EXPECT_EQ(row.from.request_id.find("swordfish"), std::string::npos) << row.from.request_id;
  EXPECT_EQ(row.project, std::nullopt);
}

} // namespace
} // namespace rdev::refusals
