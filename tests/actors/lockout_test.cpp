#include "actors/lockout.hpp"

#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

#include <array>

namespace rdev::lockout {
namespace {

using namespace std::chrono_literals;
using ::testing::SizeIs;

class Lockout : public test::actor_house {
protected:
  Lockout() {
    me = test::a_key({scope::admin});
    world->put_key(me);
    play<auth::actor>([this](const auth::banned& now) { heard.push_back(now.all); });
    play<audit::actor>([this](const audit::committed& what) { audited += what.rows; });
    play<webhooks::actor>([](const webhooks::committed&) {});
    lockout = open(behavior, around(), settings, memory::make_ban_store(world));
    run();
  }
  static impose a_ban(const std::string& network = "10.0.0.1/32") {
    return {{*ip_network::parse(network), 60s, 1, 10}};
  }
  test::asked<answer<outcome>> want(operation what) {
    return ask<answer<outcome>>(lockout, request{test::who_has(me), test::a_request(), std::move(what)});
  }
  std::vector<ban> listed() {
    return std::get<page<ban>>(*want(list_bans{}).reply()).items;
  }

  config settings;
  std::shared_ptr<memory::world> world = memory::make_world();
  api_key me;
  actor lockout;
  std::vector<std::vector<ban>> heard;
  int audited = 0;
};

TEST_F(Lockout, WritesABanDownAndTellsAuthOfAll) {
  tell(lockout, a_ban());
  ASSERT_THAT(listed(), SizeIs(1));
  EXPECT_EQ(listed()[0].network.text(), "10.0.0.1/32");
  EXPECT_EQ(audited, 1);
  advance(1s);
  EXPECT_THAT(heard.back(), SizeIs(1));
}

TEST_F(Lockout, WritesWhatItHasWhenItIsStopped) {
  world->unreachable(true);
  for (const auto* network : {"10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"})
    tell(lockout, a_ban(network));
  world->unreachable(false);
  caf::anon_send_exit(lockout, caf::exit_reason::user_shutdown);
  run();
  EXPECT_THAT(*memory::make_ban_store(world)->all(1h), SizeIs(3));
}

TEST_F(Lockout, TellsOfBansOfOtherNodesAndOfNothingElse) {
  const auto before = heard.size();
  advance(3s);
  EXPECT_EQ(heard.size(), before) << "nothing is new";
  ASSERT_TRUE(memory::make_ban_store(world)->impose(std::array{a_ban("10.0.0.2/32").what}));
  advance(1s);
  ASSERT_EQ(heard.size(), before + 1);
  EXPECT_EQ(heard.back().at(0).network.text(), "10.0.0.2/32");
}

TEST_F(Lockout, WritesDownLaterWhatTheStoreDidNotTake) {
  world->unreachable(true);
  tell(lockout, a_ban());
  tell(lockout, a_ban("10.0.0.2/32"));
  const auto before = heard.size();
  advance(3s);
  EXPECT_EQ(heard.size(), before) << "AUTH keeps to what it knows";
  world->unreachable(false);
  advance(1s);
  EXPECT_THAT(heard.back(), SizeIs(2));
}

TEST_F(Lockout, WritesManyThatComeAtOnceWithOneStatement) {
  for (int i = 0; i < 100; ++i)
    caf::anon_send(lockout, a_ban("10.0.1." + std::to_string(i) + "/32"));
  run();
  EXPECT_EQ(world->calls("bans.impose"), std::vector<std::size_t>{100});
  EXPECT_EQ(audited, 100);
}

TEST_F(Lockout, LiftsABanOnce) {
  tell(lockout, a_ban());
  const auto id = listed().at(0).id;
  const auto lifted = std::get<ban>(*want(lift_ban{id}).reply());
  EXPECT_EQ(lifted.id, id);
  EXPECT_TRUE(listed().empty());
  EXPECT_LE(heard.back().at(0).left, 0s);
  EXPECT_EQ(heard.back().at(0).strikes, 0) << "no earlier ban counts any more";
  EXPECT_EQ(want(lift_ban{id}).reply().why().code, refusal_code::not_found);
}

TEST_F(Lockout, TellsAnAuthThatHasLostWhatItKnew) {
  tell(lockout, a_ban());
  const auto before = heard.size();
  ask<told>(lockout, lockout::tell{}).reply();
  ASSERT_EQ(heard.size(), before + 1);
  EXPECT_THAT(heard.back(), SizeIs(1));
}

TEST_F(Lockout, PassesFaultsOn) {
  world->unreachable(true);
  EXPECT_EQ(want(list_bans{}).failed(), fault::unavailable);
  EXPECT_EQ(want(lift_ban{ban_id::make()}).failed(), fault::unavailable);
  world->unreachable(false);
  EXPECT_EQ(want(list_projects{}).failed(), fault::internal);
}

} // namespace
} // namespace rdev::lockout
