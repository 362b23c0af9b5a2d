#include "actors/api_keys.hpp"

#include "adapters/crypto.hpp"
#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

namespace rdev::api_keys {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ApiKeys : public test::actor_house {
protected:
  ApiKeys() {
    now = std::chrono::floor<std::chrono::milliseconds>(now_utc());
    world->set_clock([this] { return now; });
    settings.wall_clock = [this] { return now; };
    me = test::a_key({scope::admin});
    me.created_at = now;
    world->put_key(me);
    play<auth::actor>([this](const auth::forget& what) {
      forgotten.push_back(*what.key);
      // A key is revoked in the store before it is forgotten; otherwise it could come back into the cache.
      revoked_when_forgotten.push_back(world->key(*what.key)->revoked_at.has_value());
      return auth::forgotten{};
    });
    play<streams::actor>([this](const streams::revoke& what) { cut.push_back(what.key); });
    play<audit::actor>([this](const audit::committed& what) { audited += what.rows; });
    play<webhooks::actor>([](const webhooks::committed&) {});
  }
  void SetUp() override {
    keys = open(behavior, around(), settings, memory::make_key_store(world));
  }

  test::asked<answer<outcome>> want(operation what, std::optional<idempotency> key = {}) {
    const auto who = test::who_has(me);
    return ask<answer<outcome>>(keys, request{who, test::a_request("POST", "/keys"), std::move(key), std::move(what)});
  }
  template <class T>
  T done(operation what, std::optional<idempotency> key = {}) {
    auto asked = want(std::move(what), std::move(key));
    EXPECT_TRUE(asked.reply()) << asked.reply().why().message;
    return std::get<T>(*asked.reply());
  }
  refusal refused(operation what, std::optional<idempotency> key = {}) {
    auto asked = want(std::move(what), std::move(key));
    EXPECT_FALSE(asked.reply());
    return asked.reply() ? refusal{} : asked.reply().why();
  }
  static create_key a_wish() {
    create_key out;
    out.what.name = "fresh";
    out.what.granted = {scope::projects_read};
    return out;
  }
  // From now on a weaker key asks.
  void ask_as(api_key key) {
    me = std::move(key);
    world->put_key(me);
  }
  api_key stored(scopes granted = {scope::projects_read}) {
    auto key = test::a_key(granted, make_key_text().prefix);
    key.created_at = now;
    world->put_key(key);
    return key;
  }

  timestamp now;
  std::shared_ptr<memory::world> world = memory::make_world();
  config settings;
  api_key me;
  actor keys;
  int audited = 0;
  std::vector<key_id> forgotten;
  std::vector<bool> revoked_when_forgotten;
  std::vector<key_id> cut;
};

// ---- look-ups

TEST_F(ApiKeys, FindsAKeyByItsPrefix) {
  const auto key = stored();
  EXPECT_EQ(ask<found>(keys, find{key.prefix}).reply().key->id, key.id);
  EXPECT_FALSE(ask<found>(keys, find{"rdev_nobody00"}).reply().key);
  world->fail_next(fault::unavailable);
  EXPECT_EQ(ask<found>(keys, find{key.prefix}).failed(), fault::unavailable);
}

TEST_F(ApiKeys, WritesUsesDown) {
  const auto key = stored();
  tell(keys, used{{{key.id, now, "10.0.0.1"}}});
  EXPECT_EQ(world->key(key.id)->last_used_at, now);
  world->fail_next(fault::unavailable);
  tell(keys, used{{{key.id, now + 1s, "10.0.0.1"}}});
  EXPECT_EQ(counts.count("fault_seen api_keys"), 1);
}

// ---- mint

TEST_F(ApiKeys, MintsAKeyWhoseTextFitsItsHash) {
  const auto made = done<minted_key>(a_wish());
  ASSERT_TRUE(made.text);
  EXPECT_EQ(key_prefix_of(made.text->reveal()), made.key.prefix);
  EXPECT_EQ(world->key(made.key.id)->hash, sha256(made.text->reveal()));
  EXPECT_EQ(made.key.created_by, me.id);
  EXPECT_EQ(made.key.family, made.key.id);
  EXPECT_FALSE(made.replayed);
  EXPECT_EQ(audited, 1);
}

TEST_F(ApiKeys, GivesNinetyDaysToAKeyThatAsksForNoLifetime) {
  EXPECT_EQ(done<minted_key>(a_wish()).key.expires_at, now + 24h * 90);
  auto wish = a_wish();
  wish.what.expires_in = 24h * 30;
  EXPECT_EQ(done<minted_key>(wish).key.expires_at, now + 24h * 30);
  wish.what.expires_in = 0s;
  EXPECT_FALSE(done<minted_key>(wish).key.expires_at);
  wish.what.expires_in.reset();
  wish.what.expires_at = now + 5s;
  EXPECT_EQ(done<minted_key>(wish).key.expires_at, now + 5s);
}

TEST_F(ApiKeys, ClipsTheDefaultLifetimeToTheMakersButNotAWishedOne) {
  auto maker = me;
  maker.expires_at = now + 24h * 10;
  ask_as(maker);
  EXPECT_EQ(done<minted_key>(a_wish()).key.expires_at, maker.expires_at);
  auto wish = a_wish();
  wish.what.expires_in = 24h * 30;
  EXPECT_EQ(refused(wish).code, refusal_code::forbidden);
  wish.what.expires_in = 0s;
  EXPECT_EQ(refused(wish).code, refusal_code::forbidden);
}

TEST_F(ApiKeys, NamesAllThatIsWrongWithAWish) {
  auto wish = a_wish();
  wish.what.granted = {scope::admin};
  wish.what.project_ids = {"demo"};
  wish.what.expires_in = 30s;
  wish.what.expires_at = now - 1s;
  wish.what.allowed_ips = {"10.0.0.0/8", "nonsense"};
  const auto why = refused(wish);
  EXPECT_EQ(why.code, refusal_code::bad_request);
  std::vector<std::string> fields;
  for (const auto& one : why.details)
    fields.push_back(one.field);
  EXPECT_THAT(fields, ElementsAre("expires_at", "expires_at", "project_ids", "allowed_ips[1]"));
}

TEST_F(ApiKeys, MintsOnlyKeysThatLieWithinTheMakersOwn) {
  auto maker = test::a_key({scope::keys_write, scope::projects_execute});
  maker.project_ids = {"a", "b"};
  maker.allowed_ips = {"10.0.0.0/8"};
  maker.rate_limit = 10;
  ask_as(maker);
  auto within = a_wish();
  within.what.project_ids = {"a"};
  within.what.allowed_ips = {"10.1.0.0/16"};
  within.what.rate_limit = 10;
  EXPECT_TRUE(done<minted_key>(within).text); // projects:execute implies projects:read

  auto wish = within;
  wish.what.granted = {scope::projects_write};
  EXPECT_EQ(refused(wish).code, refusal_code::forbidden);
  wish = within;
  wish.what.project_ids = {"a", "c"};
  EXPECT_EQ(refused(wish).code, refusal_code::forbidden);
  wish.what.project_ids.reset();
  EXPECT_EQ(refused(wish).code, refusal_code::forbidden);
  wish = within;
  wish.what.allowed_ips = {"11.0.0.0/8"};
  EXPECT_EQ(refused(wish).code, refusal_code::forbidden);
  wish.what.allowed_ips.reset();
  EXPECT_EQ(refused(wish).code, refusal_code::forbidden);
  wish = within;
  wish.what.rate_limit = 11;
  EXPECT_EQ(refused(wish).code, refusal_code::forbidden);
  wish.what.rate_limit.reset();
  EXPECT_EQ(refused(wish).code, refusal_code::forbidden);
}

TEST_F(ApiKeys, ShowsNoSecretInARepeat) {
  const auto first = done<minted_key>(a_wish(), test::an_idempotency_key("k"));
  const auto again = done<minted_key>(a_wish(), test::an_idempotency_key("k"));
  EXPECT_TRUE(again.replayed);
  EXPECT_EQ(again.key.id, first.key.id);
  EXPECT_FALSE(again.text);
  EXPECT_EQ(audited, 1);
  EXPECT_EQ(refused(a_wish(), test::an_idempotency_key("k", 2)).code, refusal_code::conflict);
}

TEST_F(ApiKeys, MintsNothingForAKeyThatWasRevokedMeanwhile) {
  world->meanwhile("keys.create", [this] {
    auto gone = me;
    gone.revoked_at = now;
    world->put_key(gone);
  });
  EXPECT_EQ(refused(a_wish()).code, refusal_code::key_revoked);
  EXPECT_THAT(world->event_rows(), IsEmpty());
}

// ---- show and list

TEST_F(ApiKeys, ShowsABoundKeyOnlyKeysOfItsProjects) {
  auto of_a = stored();
  of_a.project_ids = {"a"};
  world->put_key(of_a);
  const auto unbound = stored();
  auto asker = test::a_key({scope::keys_write});
  asker.project_ids = {"a", "b"};
  asker.prefix = "rdev_bound000";
  ask_as(asker);
  EXPECT_EQ(done<api_key>(get_key{of_a.id}).id, of_a.id);
  EXPECT_EQ(refused(get_key{unbound.id}).code, refusal_code::not_found);
  EXPECT_EQ(refused(revoke_key{unbound.id}).code, refusal_code::not_found);
  EXPECT_EQ(refused(rotate_key{unbound.id}).code, refusal_code::not_found);
  EXPECT_THAT(done<page<api_key>>(list_keys{}).items, SizeIs(2)); // its own and the one of `a`
}

// ---- revoke

TEST_F(ApiKeys, RevokesAndHasTheKeyForgottenBeforeItAnswers) {
  const auto key = stored();
  const auto gone = done<api_key>(revoke_key{key.id});
  EXPECT_EQ(gone.revoked_at, now);
  EXPECT_EQ(gone.revoked_by, me.id);
  EXPECT_THAT(forgotten, ElementsAre(key.id));
  EXPECT_THAT(revoked_when_forgotten, ElementsAre(true));
  EXPECT_THAT(cut, ElementsAre(key.id));
}

TEST_F(ApiKeys, WaitsForAuthToForget) {
  std::vector<caf::typed_response_promise<auth::forgotten>> held;
  play_with<auth::actor>([&](caf::event_based_actor* peer) {
    return caf::behavior{[&held, peer](const auth::forget&) {
      held.push_back(peer->make_response_promise<auth::forgotten>());
      return held.back();
    }};
  });
  auto asked = want(revoke_key{stored().id});
  EXPECT_TRUE(asked.open());
  within<auth::actor>([&] { held.at(0).deliver(auth::forgotten{}); });
  EXPECT_TRUE(asked.reply());
}

TEST_F(ApiKeys, RevokesAlsoWhileAuthIsAway) {
  kill(peers.get<auth::actor>());
  EXPECT_TRUE(done<api_key>(revoke_key{stored().id}).revoked_at);
}

TEST_F(ApiKeys, AnswersARepeatedRevocationWithTheFirstTime) {
  const auto key = stored();
  const auto first = done<api_key>(revoke_key{key.id}).revoked_at;
  now += 10s;
  EXPECT_EQ(done<api_key>(revoke_key{key.id}).revoked_at, first);
}

TEST_F(ApiKeys, RevokesOnlyWhatItDominates) {
  const auto strong = stored({scope::admin});
  ask_as(test::a_key({scope::keys_write}, "rdev_weak0000"));
  EXPECT_EQ(refused(revoke_key{strong.id}).code, refusal_code::forbidden);
  EXPECT_FALSE(world->key(strong.id)->revoked_at);
  EXPECT_EQ(refused(revoke_key{key_id::make()}).code, refusal_code::not_found);
}

TEST_F(ApiKeys, NeverRevokesOrRotatesTheAdministratorsRow) {
  auto admin = test::a_key({scope::admin}, "admin");
  world->put_key(admin);
  EXPECT_EQ(refused(revoke_key{admin.id}).code, refusal_code::conflict);
  EXPECT_EQ(refused(rotate_key{admin.id}).code, refusal_code::conflict);
}

// ---- rotate

TEST_F(ApiKeys, RotatesIntoANewKeyOfTheSameFamilyAndLetsTheOldOneLiveForTheOverlap) {
  auto old = stored({scope::projects_execute});
  old.project_ids = {"demo"};
  old.rate_limit = 5;
  world->put_key(old);
  const auto made = done<minted_key>(rotate_key{old.id, 60s});
  EXPECT_NE(made.key.id, old.id);
  EXPECT_EQ(made.key.rotated_from, old.id);
  EXPECT_EQ(made.key.family, old.family);
  EXPECT_EQ(made.key.granted, old.granted);
  EXPECT_EQ(made.key.project_ids, old.project_ids);
  EXPECT_EQ(made.key.rate_limit, old.rate_limit);
  EXPECT_NE(made.key.prefix, old.prefix);
  EXPECT_EQ(world->key(made.key.id)->hash, sha256(made.text->reveal()));
  EXPECT_EQ(world->key(old.id)->expires_at, now + 60s);
  EXPECT_THAT(forgotten, ElementsAre(old.id));
}

TEST_F(ApiKeys, RotatesWithAFreshLifetimeOfTheSameLength) {
  auto old = stored();
  old.created_at = now - 24h * 20;
  old.expires_at = now + 24h * 10;
  world->put_key(old);
  const auto made = done<minted_key>(rotate_key{old.id, 0s});
  EXPECT_EQ(made.key.expires_at, now + 24h * 30);
  EXPECT_EQ(world->key(old.id)->expires_at, now);
  EXPECT_EQ(refused(rotate_key{old.id, 0s}).code, refusal_code::conflict); // it has ended
}

TEST_F(ApiKeys, RotatesOnlyWhatItDominates) {
  const auto strong = stored({scope::admin});
  ask_as(test::a_key({scope::keys_write}, "rdev_weak0000"));
  EXPECT_EQ(refused(rotate_key{strong.id}).code, refusal_code::forbidden);
  EXPECT_FALSE(world->key(strong.id)->expires_at);
}

TEST_F(ApiKeys, DoesNotRotateARevokedKey) {
  const auto key = stored();
  done<api_key>(revoke_key{key.id});
  EXPECT_EQ(refused(rotate_key{key.id}).code, refusal_code::conflict);
}

TEST_F(ApiKeys, LowersNoExpiryInARepeatOfARotation) {
  const auto old = stored();
  const auto name = test::an_idempotency_key("k");
  const auto first = done<minted_key>(rotate_key{old.id, 60s}, name);
  now += 10s;
  const auto again = done<minted_key>(rotate_key{old.id, 60s}, name);
  EXPECT_TRUE(again.replayed);
  EXPECT_EQ(again.key.id, first.key.id);
  EXPECT_EQ(world->key(old.id)->expires_at, now + 50s);
}

// ---- faults

TEST_F(ApiKeys, PassesFaultsOn) {
  const auto key = stored();
  world->unreachable(true);
  EXPECT_EQ(want(a_wish()).failed(), fault::unavailable);
  EXPECT_EQ(want(get_key{key.id}).failed(), fault::unavailable);
  EXPECT_EQ(want(list_keys{}).failed(), fault::unavailable);
  EXPECT_EQ(want(revoke_key{key.id}).failed(), fault::unavailable);
  EXPECT_EQ(want(rotate_key{key.id}).failed(), fault::unavailable);
  EXPECT_EQ(want(list_projects{}).failed(), fault::internal);
}

} // namespace
} // namespace rdev::api_keys
