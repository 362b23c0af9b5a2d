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
    settings.checks = *credentials::make("", nullptr);
    settings.node = here;
    me = test::a_key({scope::admin});
    me.created_at = now;
    world->put_key(me);
    play<auth::actor>([this](const auth::forget& what) {
      if (!what.key) {
        ++forgot_all;
        return auth::forgotten{};
      }
      forgotten.push_back(*what.key);
      // A key is revoked in the store before it is forgotten; otherwise it could come back into the cache.
      const auto row = world->key(*what.key);
      revoked_when_forgotten.push_back(row && row->revoked_at);
      return auth::forgotten{};
    });
    play<streams::actor>([this](const streams::revoke& what) { cut.push_back(what.key); },
                         [this](const streams::recheck& what) { rechecked.push_back(what.key); });
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
  int forgot_all = 0;
  std::vector<std::optional<key_id>> rechecked;
  const node_id here = node_id::make();
};

// ---- look-ups

TEST_F(ApiKeys, FindsAKeyByItsPrefix) {
  const auto key = stored();
  const auto there = ask<found>(keys, find{{key.prefix, "rdev_nobody00"}, {}}).reply();
  ASSERT_THAT(there.keys, SizeIs(1));
  EXPECT_EQ(there.keys[0].id, key.id);
  world->fail_next(fault::unavailable);
  EXPECT_EQ(ask<found>(keys, find{{key.prefix}, {}}).failed(), fault::unavailable);
}

TEST_F(ApiKeys, WritesUsesDown) {
  const auto key = stored();
  tell(keys, used{{{key.id, now, "10.0.0.1", "10.0.0.0/24"}}});
  EXPECT_EQ(world->key(key.id)->last_used_at, now);
  world->fail_next(fault::unavailable);
  tell(keys, used{{{key.id, now + 1s, "10.0.0.1", "10.0.0.0/24"}}});
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
  EXPECT_EQ(want(a_wish()).failed(), fault::key_changed) << "who this is has to be asked again";
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

TEST_F(ApiKeys, CancelsWhatIsQueuedUntilThereIsNoMoreIfThatIsAskedFor) {
  std::vector<key_id> asked_for;
  play<command_queue::actor>([&](const command_queue::cancel_queued& what) {
    EXPECT_EQ(what.order.by, me.id);
    EXPECT_TRUE(world->key(what.order.key)->revoked_at) << "no more may come";
    asked_for.push_back(what.order.key);
    return command_queue::queued_cancelled{asked_for.size() < 3};
  });
  const auto kept = done<api_key>(revoke_key{stored().id});
  EXPECT_THAT(asked_for, IsEmpty());
  forgotten.clear();
  const auto key = stored();
  const auto cleared = want(revoke_key{key.id, true});
  advance(settings.barrier_look);
  EXPECT_TRUE(cleared.reply());
  EXPECT_THAT(asked_for, ElementsAre(key.id, key.id, key.id));
  EXPECT_THAT(forgotten, ElementsAre(key.id));
  const auto again = want(revoke_key{kept.id, true});
  advance(settings.barrier_look);
  EXPECT_EQ(std::get<api_key>(*again.reply()).revoked_at, kept.revoked_at) << "a repeat cancels too";
  EXPECT_THAT(asked_for, SizeIs(4));
}

TEST_F(ApiKeys, AnswersAQueueThatCannotBeClearedWithTheFault) {
  const auto key = stored();
  play_with<command_queue::actor>([](caf::event_based_actor*) {
    return caf::behavior{[](const command_queue::cancel_queued&) -> caf::result<command_queue::queued_cancelled> {
      return to_error({fault::unavailable, "away"});
    }};
  });
  EXPECT_EQ(want(revoke_key{key.id, true}).failed(), fault::unavailable);
  EXPECT_TRUE(world->key(key.id)->revoked_at) << "it stays revoked";
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

// ---- the barrier

class Barrier : public ApiKeys {
protected:
  Barrier() {
    ASSERT_OK(leases->beat({here, "here", "", "one"}, 1h));
    ASSERT_OK(leases->beat({there, "there", "", "one"}, 1h));
  }
  template <class T>
  static void ASSERT_OK(const result<T>& r) {
    ASSERT_TRUE(r);
  }
  void other_saw(std::int64_t epoch) {
    ASSERT_TRUE(memory::make_key_store(world)->saw(there, epoch));
  }
  std::optional<std::int64_t> seen_here() {
    const auto least = memory::make_key_store(world)->least_seen(there, 0s);
    return least ? *least : std::nullopt;
  }
  std::int64_t epoch() {
    return memory::make_key_store(world)->news_since(0)->epoch;
  }

  std::shared_ptr<lease_store> leases = memory::make_lease_store(world);
  const node_id there = node_id::make();
};

TEST_F(Barrier, ARevocationIsAnsweredWhenTheOtherNodeHasSeenIt) {
  auto asked = want(revoke_key{stored().id});
  advance(500ms);
  EXPECT_TRUE(asked.open());
  other_saw(epoch());
  advance(20ms);
  EXPECT_TRUE(asked.reply());
}

TEST_F(Barrier, ARevocationIsAnsweredAfterTheLeaseOfANodeThatStandsStill) {
  auto asked = want(revoke_key{stored().id});
  advance(settings.cache_lease);
  EXPECT_TRUE(asked.open()) << "it may still serve what it read just before";
  advance(settings.barrier_grace + 20ms);
  EXPECT_TRUE(asked.reply());
}

TEST_F(Barrier, TheLeaseEndsItAlsoWhileTheStoreIsAway) {
  auto asked = want(revoke_key{stored().id});
  world->unreachable(true);
  advance(settings.cache_lease + settings.barrier_grace + 20ms);
  EXPECT_TRUE(asked.reply());
}

TEST_F(Barrier, AQueueThatIsToBeClearedIsWaitedForBesideIt) {
  std::vector<caf::typed_response_promise<command_queue::queued_cancelled>> held;
  play_with<command_queue::actor>([&](caf::event_based_actor* peer) {
    return caf::behavior{[&held, peer](const command_queue::cancel_queued&) {
      held.push_back(peer->make_response_promise<command_queue::queued_cancelled>());
      return held.back();
    }};
  });
  auto asked = want(revoke_key{stored().id, true});
  ASSERT_THAT(held, SizeIs(1));
  EXPECT_THAT(forgotten, SizeIs(1)) << "that does not wait";
  advance(10s);
  EXPECT_TRUE(asked.open()) << "the barrier is over, the queue is not cleared";
  within<command_queue::actor>([&] { held.at(0).deliver(command_queue::queued_cancelled{false}); });
  advance(settings.barrier_look);
  EXPECT_TRUE(asked.reply());
}

TEST_F(Barrier, ARepeatedRevocationWaitsToo) {
  const auto key = stored();
  auto first = want(revoke_key{key.id});
  auto again = want(revoke_key{key.id});
  advance(100ms);
  EXPECT_TRUE(first.open());
  EXPECT_TRUE(again.open());
  other_saw(epoch());
  advance(20ms);
  EXPECT_TRUE(first.reply());
  EXPECT_TRUE(again.reply());
}

TEST_F(Barrier, AChangeAndARotationWaitToo) {
  change_key what{stored().id, {}};
  what.what.granted = scopes{scope::audit_read};
  auto changed = want(what);
  auto rotated = want(rotate_key{stored().id, 0s});
  advance(100ms);
  EXPECT_TRUE(changed.open());
  EXPECT_TRUE(rotated.open());
  other_saw(epoch());
  advance(20ms);
  EXPECT_TRUE(changed.reply());
  EXPECT_TRUE(rotated.reply());
}

TEST_F(Barrier, ItHoldsForANodeThatWasAliveAMomentAgo) {
  world->expire(there);
  auto asked = want(revoke_key{stored().id});
  advance(100ms);
  EXPECT_TRUE(asked.open());
  now += settings.cache_lease;
  advance(20ms);
  EXPECT_TRUE(asked.reply());
}

TEST_F(Barrier, PassesOnWhatItHearsInOrderAndWaitsForTheRestBehindAGap) {
  advance(10ms);
  tell(keys, changed{key_id::make(), 1, false});
  tell(keys, changed{key_id::make(), 2, false});
  EXPECT_EQ(seen_here(), 2);
  tell(keys, changed{key_id::make(), 4, false});
  EXPECT_EQ(seen_here(), 2) << "nobody told of the third";
}

TEST_F(Barrier, LooksItselfForWhatTheFeedDidNotTell) {
  const auto key = stored();
  ASSERT_TRUE(memory::make_key_store(world)->revoke(key.id, {}));
  EXPECT_EQ(seen_here(), 0);
  const auto before = forgot_all;
  advance(settings.look + 10ms);
  EXPECT_EQ(forgot_all, before + 1);
  EXPECT_EQ(seen_here(), 1);
  EXPECT_THAT(cut, ElementsAre(key.id)) << "its streams end";
}

TEST_F(Barrier, EndsTheStreamsOfAKeyThatAnotherNodeRevoked) {
  const auto key = key_id::make();
  tell(keys, changed{key, 1, true});
  EXPECT_THAT(cut, ElementsAre(key));
}

TEST_F(Barrier, SendsReadersOfAChangedKeyAwayToAskAgain) {
  const auto key = key_id::make();
  tell(keys, changed{key, 1, false});
  EXPECT_THAT(rechecked, ElementsAre(key));
  EXPECT_THAT(cut, IsEmpty());
  tell(keys, changed{key, {}, false}); // takes nothing away
  EXPECT_THAT(rechecked, SizeIs(1));
}

// ---- change

TEST_F(ApiKeys, ChangesOnlyWhatIsNamed) {
  auto key = stored({scope::projects_read});
  key.rate_limit = 5;
  key.allowed_ips = {"10.0.0.0/8"};
  world->put_key(key);
  change_key what{key.id, {}};
  what.what.allowed_ips = std::optional<std::vector<std::string>>{};
  what.what.name = "renamed";
  const auto changed = done<api_key>(what);
  EXPECT_EQ(changed.name, "renamed");
  EXPECT_FALSE(changed.allowed_ips);
  EXPECT_EQ(changed.rate_limit, 5);
  EXPECT_EQ(changed.granted, key.granted);
  EXPECT_THAT(forgotten, ElementsAre(key.id));
}

TEST_F(ApiKeys, ChangesOnlyWhatItDominatesBeforeAndAfter) {
  const auto strong = stored({scope::admin});
  const auto weak = stored({scope::projects_read});
  ask_as(test::a_key({scope::keys_write, scope::projects_execute}, "rdev_weak0000"));
  change_key what{strong.id, {}};
  what.what.granted = scopes{scope::projects_read};
  EXPECT_EQ(refused(what).code, refusal_code::forbidden);
  what = {weak.id, {}};
  what.what.granted = scopes{scope::projects_write};
  EXPECT_EQ(refused(what).code, refusal_code::forbidden);
  what.what.granted = scopes{scope::projects_execute};
  EXPECT_EQ(done<api_key>(what).granted, scopes{scope::projects_execute});
}

TEST_F(ApiKeys, ChangesNoKeyThatHasEndedAndNotTheAdministrators) {
  const auto key = stored();
  done<api_key>(revoke_key{key.id});
  change_key what{key.id, {}};
  what.what.name = "renamed";
  EXPECT_EQ(refused(what).code, refusal_code::conflict);
  auto admin = test::a_key({scope::admin}, "admin");
  world->put_key(admin);
  what.id = admin.id;
  EXPECT_EQ(refused(what).code, refusal_code::conflict);
  what.id = key_id::make();
  EXPECT_EQ(refused(what).code, refusal_code::not_found);
}

TEST_F(ApiKeys, ChangesAndRotatesAKeyThatWasChangedMeanwhileAsItIsNow) {
  const auto key = stored({scope::projects_read, scope::audit_read});
  const auto narrowed_meanwhile = [this, key] {
    auto narrowed = *world->key(key.id);
    narrowed.granted = {scope::audit_read};
    ++narrowed.revision;
    world->put_key(narrowed);
  };
  world->meanwhile("keys.change", narrowed_meanwhile);
  change_key what{key.id, {}};
  what.what.name = "renamed";
  const auto changed = done<api_key>(what);
  EXPECT_EQ(changed.name, "renamed");
  EXPECT_EQ(changed.granted, scopes{scope::audit_read}) << "the other change stands";
  world->meanwhile("keys.create", [this, key] {
    auto narrowed = *world->key(key.id);
    narrowed.project_ids = {"demo"};
    ++narrowed.revision;
    world->put_key(narrowed);
  });
  EXPECT_EQ(done<minted_key>(rotate_key{key.id}).key.project_ids, std::vector<std::string>{"demo"});
}

TEST_F(ApiKeys, RotatesNoKeyThatWasRevokedMeanwhile) {
  const auto key = stored();
  world->meanwhile("keys.create", [this, key] {
    auto gone = key;
    gone.revoked_at = now;
    world->put_key(gone);
  });
  EXPECT_EQ(refused(rotate_key{key.id}).code, refusal_code::conflict);
}

TEST_F(ApiKeys, NamesAllThatIsWrongWithAChange) {
  change_key what{stored().id, {}};
  what.what.granted = scopes{scope::admin};
  what.what.project_ids = std::vector<std::string>{"demo"};
  what.what.allowed_ips = std::vector<std::string>{"nonsense"};
  what.what.expires_at = now - 1s;
  std::vector<std::string> fields;
  for (const auto& one : refused(what).details)
    fields.push_back(one.field);
  EXPECT_THAT(fields, ElementsAre("allowed_ips[0]", "expires_at"));
  what.what.allowed_ips.reset();
  what.what.expires_at.reset();
  EXPECT_EQ(refused(what).details.at(0).field, "project_ids") << "an administrator cannot be bound";
  what.id = key_id::make();
  what.what.allowed_ips = std::vector<std::string>{"nonsense"};
  EXPECT_EQ(refused(what).code, refusal_code::bad_request) << "before it is looked for";
}

// ---- lifetimes

class MaxLifetime : public ApiKeys {
protected:
  MaxLifetime() {
    settings.policy.max_lifetime = 24h * 60;
  }
};

TEST_F(MaxLifetime, NoKeyIsMadeOrChangedToLiveLonger) {
  auto wish = a_wish();
  wish.what.expires_in = 0s; // never
  EXPECT_EQ(refused(wish).details.at(0).field, "expires_in");
  wish.what.expires_in = 24h * 90;
  EXPECT_EQ(refused(wish).code, refusal_code::bad_request);
  wish.what.expires_in = 24h * 60;
  EXPECT_EQ(done<minted_key>(wish).key.expires_at, now + 24h * 60);
  EXPECT_EQ(done<minted_key>(a_wish()).key.expires_at, now + 24h * 60) << "the default keeps to it";
  change_key what{stored().id, {}};
  what.what.expires_at = std::optional<timestamp>{};
  EXPECT_EQ(refused(what).details.at(0).field, "expires_at");
}

TEST_F(MaxLifetime, ARotationOfAnOlderKeyKeepsToIt) {
  EXPECT_EQ(done<minted_key>(rotate_key{stored().id}).key.expires_at, now + 24h * 60);
}

TEST_F(ApiKeys, AnnouncesEndsOfKeysAtStartAndAgain) {
  auto soon = stored();
  soon.created_at = now - 24h * 80;
  soon.expires_at = now + 24h * 10;
  world->put_key(soon);
  advance(settings.announce);
  now += 24h * 4;
  advance(settings.announce);
  now += 24h * 5;
  advance(settings.announce);
  advance(settings.announce);
  int announced = 0;
  for (const auto& row : world->event_rows())
    announced += row.event == "key.expiring" && row.key == soon.id ? 1 : 0;
  EXPECT_EQ(announced, 3);
}

TEST_F(ApiKeys, StoresHmacsOnceThereIsAPepper) {
  kill(keys);
  settings.checks = *credentials::make(to_base64(std::string(32, 'p')), nullptr);
  keys = open(behavior, around(), settings, memory::make_key_store(world));
  const auto made = done<minted_key>(a_wish());
  EXPECT_EQ(made.key.hash_scheme, 2);
  EXPECT_EQ(world->key(made.key.id)->hash, hmac_sha256(std::string(32, 'p'), made.text->reveal()));
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
