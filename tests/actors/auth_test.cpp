#include "actors/auth.hpp"

#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

namespace rdev::auth {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class Auth : public test::actor_house {
protected:
  Auth() {
    settings.wall_clock = [this] { return wall; };
    text = make_key_text();
    key = test::a_key({scope::projects_read}, text.prefix);
    key.hash = sha256(text.text.reveal());
    rows[key.prefix] = key;
    play_with<api_keys::actor>([this](caf::event_based_actor* me) {
      return caf::behavior{
          [this, me](const api_keys::find& what) -> caf::result<api_keys::found> {
            looked_up.push_back(what.prefix);
            if (!hold)
              return row_of(what.prefix);
            auto promise = me->make_response_promise<api_keys::found>();
            held.emplace_back(what.prefix, promise);
            return promise;
          },
          [this](const api_keys::used& what) { uses.insert(uses.end(), what.uses.begin(), what.uses.end()); }};
    });
    auth = open(behavior, around(), settings);
  }

  api_keys::found row_of(const std::string& prefix) {
    const auto found = rows.find(prefix);
    return {found == rows.end() ? std::nullopt : std::optional(found->second)};
  }
  void answer_held() {
    within<api_keys::actor>([this] {
      for (auto& [prefix, promise] : std::exchange(held, {}))
        promise.deliver(row_of(prefix));
    });
  }
  identify with(const secret& credential, std::string ip = "127.0.0.1") {
    auto from = test::a_request("GET", "/projects");
    from.client_ip = std::move(ip);
    return {from, credential};
  }
  answer<principal> who_is(const secret& credential, std::string ip = "127.0.0.1") {
    return ask<answer<principal>>(auth, with(credential, std::move(ip))).reply();
  }
  refusal_code refused(const secret& credential, std::string ip = "127.0.0.1") {
    return who_is(credential, std::move(ip)).why().code;
  }
  void be_admin(const std::string& admin_text) {
    auto row = test::a_key({scope::admin}, "admin");
    row.hash = sha256(admin_text);
    rows["admin"] = row;
  }
  std::ptrdiff_t asked_for(const std::string& prefix) {
    return std::count(looked_up.begin(), looked_up.end(), prefix);
  }

  timestamp wall = now_utc();
  config settings;
  fresh_key text;
  api_key key;
  std::map<std::string, api_key> rows;
  std::vector<std::string> looked_up;
  std::vector<key_use> uses;
  bool hold = false;
  std::vector<std::pair<std::string, caf::typed_response_promise<api_keys::found>>> held;
  actor auth;
};

TEST_F(Auth, KnowsTheHolderOfAKey) {
  const auto who = who_is(text.text);
  ASSERT_TRUE(who);
  EXPECT_EQ(who->key, key.id);
  EXPECT_EQ(who->granted, key.granted);
  EXPECT_EQ(counts.count("auth_accepted"), 1);
}

TEST_F(Auth, RefusesARequestWithoutKeyAndAsksNobody) {
  EXPECT_EQ(refused(secret{}), refusal_code::unauthorized);
  EXPECT_TRUE(looked_up.empty());
}

TEST_F(Auth, RefusesAMalformedKeyWithoutLookingItUp) {
  EXPECT_EQ(refused(secret("rdev_nonsense")), refusal_code::unauthorized);
  auto mistyped = std::string(text.text.reveal());
  mistyped.back() = mistyped.back() == 'a' ? 'b' : 'a';
  EXPECT_EQ(refused(secret(mistyped)), refusal_code::unauthorized);
  EXPECT_THAT(looked_up, ElementsAre("admin")); // whose key may have any form
  EXPECT_EQ(counts.count("auth_refused UNAUTHORIZED"), 2);
}

TEST_F(Auth, RefusesAnotherSecretUnderAKnownPrefix) {
  rows[key.prefix].hash[0] ^= 1;
  EXPECT_EQ(refused(text.text), refusal_code::unauthorized);
}

TEST_F(Auth, NamesTheWorstFirstRevokedThenExpiredThenAddress) {
  auto& row = rows[key.prefix];
  row.allowed_ips = {"10.0.0.0/8"};
  row.expires_at = wall - 1s;
  row.revoked_at = wall;
  EXPECT_EQ(refused(text.text), refusal_code::key_revoked);
  row.revoked_at.reset();
  advance(2s);
  EXPECT_EQ(refused(text.text), refusal_code::key_expired);
  row.expires_at.reset();
  advance(2s);
  EXPECT_EQ(refused(text.text), refusal_code::ip_not_allowed);
  EXPECT_TRUE(who_is(text.text, "10.1.2.3"));
}

TEST_F(Auth, DoesNotTellAHolderOfTheWrongSecretThatTheKeyWasRevoked) {
  rows[key.prefix].revoked_at = wall;
  rows[key.prefix].hash[0] ^= 1;
  EXPECT_EQ(refused(text.text), refusal_code::unauthorized);
}

TEST_F(Auth, RefusesAnAddressThatCannotBeRead) {
  rows[key.prefix].allowed_ips = {"0.0.0.0/0", "::/0"};
  EXPECT_EQ(refused(text.text, "nonsense"), refusal_code::ip_not_allowed);
}

TEST_F(Auth, EndsACachedKeyTheMomentItExpires) {
  rows[key.prefix].expires_at = wall + 1s;
  EXPECT_TRUE(who_is(text.text));
  wall += 1s;
  EXPECT_EQ(refused(text.text), refusal_code::key_expired);
  EXPECT_EQ(asked_for(key.prefix), 1);
}

TEST_F(Auth, ServesAKeyFromCacheForOneLease) {
  EXPECT_TRUE(who_is(text.text));
  advance(1990ms);
  EXPECT_TRUE(who_is(text.text));
  EXPECT_EQ(asked_for(key.prefix), 1);
  advance(10ms);
  EXPECT_TRUE(who_is(text.text));
  EXPECT_EQ(asked_for(key.prefix), 2);
}

TEST_F(Auth, CountsTheLeaseFromBeforeTheQuery) {
  EXPECT_FALSE(who_is(secret("rdev_nonsense"))); // so that the administrator's row is known
  hold = true;
  auto slow = ask<answer<principal>>(auth, with(text.text));
  advance(1500ms);
  hold = false;
  answer_held();
  EXPECT_TRUE(slow.reply());
  advance(500ms);
  EXPECT_TRUE(who_is(text.text));
  EXPECT_EQ(asked_for(key.prefix), 2);
}

TEST_F(Auth, AnswersAlsoWhenEveryLookUpTakesLongerThanALease) {
  hold = true;
  auto slow = ask<answer<principal>>(auth, with(text.text));
  for (int i = 0; i < 4 && slow.open(); ++i) {
    advance(2500ms);
    answer_held();
  }
  ASSERT_FALSE(slow.open());
  EXPECT_TRUE(slow.reply());
  EXPECT_EQ(asked_for(key.prefix), 1);
}

TEST_F(Auth, DoesNotRememberUnknownPrefixes) {
  const auto stranger = make_key_text();
  EXPECT_EQ(refused(stranger.text), refusal_code::unauthorized);
  auto row = test::a_key({scope::projects_read}, stranger.prefix);
  row.hash = sha256(stranger.text.reveal());
  rows[row.prefix] = row;
  EXPECT_TRUE(who_is(stranger.text));
}

TEST_F(Auth, MakesOneQueryForConcurrentRequestsOfOneKey) {
  hold = true;
  std::vector<test::asked<answer<principal>>> all;
  for (int i = 0; i < 10; ++i)
    all.push_back(send<answer<principal>>(auth, with(text.text)));
  run();
  answer_held(); // the administrator's row
  answer_held();
  for (auto& one : all)
    EXPECT_TRUE(one.reply());
  EXPECT_THAT(looked_up, ElementsAre("admin", key.prefix));
}

TEST_F(Auth, ForgetsAKeyAtOnce) {
  EXPECT_TRUE(who_is(text.text));
  rows[key.prefix].revoked_at = wall;
  EXPECT_TRUE(who_is(text.text));
  ask<forgotten>(auth, forget{key.id}).reply();
  EXPECT_EQ(refused(text.text), refusal_code::key_revoked);
}

TEST_F(Auth, ForgetsAllKeysWhenAnyMayHaveChanged) {
  EXPECT_TRUE(who_is(text.text));
  rows[key.prefix].revoked_at = wall;
  ask<forgotten>(auth, forget{}).reply();
  EXPECT_EQ(refused(text.text), refusal_code::key_revoked);
}

TEST_F(Auth, DoesNotTrustALookUpThatWasUnderWayDuringAForget) {
  EXPECT_FALSE(who_is(secret("rdev_nonsense"))); // so that the administrator's row is known
  hold = true;
  auto one = ask<answer<principal>>(auth, with(text.text));
  ASSERT_EQ(held.size(), 1U);
  auto promise = held.front().second;
  held.clear();
  const auto as_it_was = row_of(key.prefix);
  rows[key.prefix].revoked_at = wall;
  ask<forgotten>(auth, forget{key.id}).reply();
  within<api_keys::actor>([&] { promise.deliver(as_it_was); });
  EXPECT_TRUE(one.open());
  answer_held();
  EXPECT_EQ(one.reply().why().code, refusal_code::key_revoked);
}

TEST_F(Auth, AcceptsTheAdministratorsKeyWhateverItsForm) {
  be_admin("an administrator's key of at least 32 characters");
  const auto who = who_is(secret("an administrator's key of at least 32 characters"));
  ASSERT_TRUE(who);
  EXPECT_EQ(who->key_prefix, "admin");
  EXPECT_EQ(refused(secret("another text")), refusal_code::unauthorized);
}

TEST_F(Auth, PassesAFaultOfTheStoreOnAndAsksAgainNextTime) {
  auto away = play<api_keys::actor>([](const api_keys::find&) -> caf::result<api_keys::found> {
    return to_error({fault::unavailable, "away"});
  });
  auto failed = ask<answer<principal>>(auth, with(text.text));
  EXPECT_EQ(failed.failed(), fault::unavailable);
  kill(away);
  EXPECT_EQ(ask<answer<principal>>(auth, with(text.text)).failed(), fault::unavailable);
  play<api_keys::actor>([this](const api_keys::find& what) { return row_of(what.prefix); });
  EXPECT_TRUE(who_is(text.text));
}

TEST_F(Auth, StartsItsCacheAnewRatherThanGrowBeyondItsLimit) {
  kill(auth);
  settings.most_cached = 3;
  auth = open(behavior, around(), settings);
  for (int i = 0; i < 10; ++i) {
    const auto fresh = make_key_text();
    auto row = test::a_key({scope::projects_read}, fresh.prefix);
    row.hash = sha256(fresh.text.reveal());
    rows[row.prefix] = row;
    EXPECT_TRUE(who_is(fresh.text));
  }
  EXPECT_GT(asked_for("admin"), 1); // thrown away with the rest
}

TEST_F(Auth, HasTheLatestUseOfEachKeyWrittenDownEveryFewSeconds) {
  EXPECT_TRUE(who_is(text.text, "10.0.0.1"));
  wall += 1s;
  EXPECT_TRUE(who_is(text.text, "10.0.0.2"));
  EXPECT_TRUE(uses.empty());
  advance(2s);
  ASSERT_EQ(uses.size(), 1U);
  EXPECT_EQ(uses[0].key, key.id);
  EXPECT_EQ(uses[0].at, wall);
  EXPECT_EQ(uses[0].client_ip, "10.0.0.2");
  advance(10s);
  EXPECT_EQ(uses.size(), 1U);
}

TEST_F(Auth, DoesNotCountARefusalAsAUse) {
  rows[key.prefix].allowed_ips = {"10.0.0.0/8"};
  refused(text.text);
  advance(5s);
  EXPECT_TRUE(uses.empty());
}

} // namespace
} // namespace rdev::auth
