#include "actors/auth.hpp"

#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

#include <set>

namespace rdev::auth {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

std::shared_ptr<sealer> a_ring() {
  return std::move(*make_sealer("k:" + to_base64(std::string(32, 'k'))));
}

class Auth : public test::actor_house {
protected:
  Auth() {
    settings.wall_clock = [this] { return wall; };
    settings.checks = *credentials::make("", a_ring());
    play<lockout::actor>([this](const lockout::impose& what) { imposed.push_back(what); },
                         [](lockout::tell) { return lockout::told{}; });
    text = make_key_text();
    key = test::a_key({scope::projects_read}, text.prefix);
    key.hash = sha256(text.text.reveal());
    rows[key.prefix] = key;
    play_with<api_keys::actor>([this](caf::event_based_actor* me) {
      return caf::behavior{
          [this, me](const api_keys::find& what) -> caf::result<api_keys::found> {
            ++queries;
            looked_up.insert(looked_up.end(), what.prefixes.begin(), what.prefixes.end());
            if (!hold)
              return rows_of(what);
            auto promise = me->make_response_promise<api_keys::found>();
            held.emplace_back(what, promise);
            return promise;
          },
          [this](const api_keys::noticed& what) { odd.insert(odd.end(), what.all.begin(), what.all.end()); },
          [this](const api_keys::used& what) { uses.insert(uses.end(), what.uses.begin(), what.uses.end()); }};
    });
    auth = open(behavior, around(), settings);
  }

  api_keys::found rows_of(const api_keys::find& what) {
    api_keys::found out;
    for (const auto& prefix : what.prefixes)
      if (const auto row = rows.find(prefix); row != rows.end())
        out.keys.push_back(row->second);
    for (const auto& id : what.executions)
      if (running.contains(id))
        out.executions.push_back({id, "demo", key});
    return out;
  }
  void answer_held() {
    within<api_keys::actor>([this] {
      for (auto& [what, promise] : std::exchange(held, {}))
        promise.deliver(rows_of(what));
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
  std::vector<std::pair<api_keys::find, caf::typed_response_promise<api_keys::found>>> held;
  std::set<command_id> running;
  std::vector<anomaly> odd;
  std::vector<lockout::impose> imposed;
  int queries = 0;
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
  const auto as_it_was = rows_of({{key.prefix}, {}});
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
  play<api_keys::actor>([this](const api_keys::find& what) { return rows_of(what); });
  EXPECT_TRUE(who_is(text.text));
}

TEST_F(Auth, RefusesAMistypedKeyAlsoWhileTheStoreIsAway) {
  be_admin("any text that is long enough for that");
  EXPECT_EQ(refused(secret("nonsense")), refusal_code::unauthorized);
  advance(3s); // more than a lease
  hold = true; // the store does not answer
  for (int i = 0; i < settings.bans.failures - 1; ++i)
    EXPECT_EQ(refused(secret("nonsense")), refusal_code::unauthorized);
  EXPECT_EQ(refused(secret("nonsense")), refusal_code::too_many_requests) << "and counts it";
  EXPECT_EQ(queries, 1);
}

TEST_F(Auth, LearnsTheAdministratorsRowByItself) {
  be_admin("any text that is long enough for that");
  advance(3s);
  EXPECT_EQ(queries, 1);
  hold = true; // the store does not answer
  advance(10s);
  EXPECT_EQ(refused(secret("nonsense")), refusal_code::unauthorized);
  EXPECT_EQ(queries, 1);
}

TEST_F(Auth, KnowsANewAdministratorsKeyAtOnce) {
  be_admin("the first text that is long enough");
  EXPECT_TRUE(who_is(secret("the first text that is long enough")));
  rows["admin"].hash = sha256("the second text that is long enough");
  ask<forgotten>(auth, forget{rows["admin"].id}).reply();
  EXPECT_EQ(refused(secret("the first text that is long enough")), refusal_code::unauthorized);
  EXPECT_TRUE(who_is(secret("the second text that is long enough")));
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

TEST_F(Auth, HasTheLatestUseOfEachKeyAndAddressWrittenDownEveryFewSeconds) {
  EXPECT_TRUE(who_is(text.text, "10.0.0.1"));
  wall += 1s;
  EXPECT_TRUE(who_is(text.text, "10.0.0.1"));
  EXPECT_TRUE(who_is(text.text, "10.0.0.2"));
  EXPECT_TRUE(uses.empty());
  advance(2s);
  ASSERT_EQ(uses.size(), 2U);
  EXPECT_EQ(uses[0].key, key.id);
  EXPECT_EQ(uses[0].at, wall);
  EXPECT_EQ(uses[0].client_ip, "10.0.0.1");
  EXPECT_EQ(uses[1].client_ip, "10.0.0.2");
  advance(10s);
  EXPECT_EQ(uses.size(), 2U);
}

TEST_F(Auth, DoesNotCountARefusalAsAUse) {
  rows[key.prefix].allowed_ips = {"10.0.0.0/8"};
  refused(text.text);
  advance(5s);
  EXPECT_TRUE(uses.empty());
}

// ---- many at once

TEST_F(Auth, AsksForAllThatNobodyKnowsInOneQueryAfterTheOther) {
  hold = true;
  std::vector<test::asked<answer<principal>>> all;
  all.push_back(ask<answer<principal>>(auth, with(text.text))); // asks for the administrator's row
  for (int i = 0; i < 50; ++i)
    all.push_back(ask<answer<principal>>(auth, with(make_key_text().text, "10.0.1." + std::to_string(i))));
  EXPECT_EQ(queries, 1);
  answer_held();
  EXPECT_EQ(queries, 2) << "and the others together";
  answer_held();
  answer_held();
  EXPECT_EQ(queries, 3) << "what came first went first";
  for (const auto& one : all)
    EXPECT_FALSE(one.open());
}

// ---- the credential of a command

TEST_F(Auth, KnowsACommandByItsCredentialAsLongAsItRuns) {
  const auto id = command_id::make();
  const auto token = settings.checks->token_of(id);
  running.insert(id);
  const auto who = who_is(token);
  ASSERT_TRUE(who);
  EXPECT_EQ(who->command, id);
  EXPECT_EQ(who->key, key.id);
  EXPECT_EQ(who->key_prefix, id.text());
  EXPECT_EQ(who->granted, scopes{scope::projects_read}) << "whatever its submitter may do";
  EXPECT_EQ(who->project_ids, std::vector<std::string>{"demo"});
  running.clear();
  EXPECT_EQ(refused(token), refusal_code::unauthorized) << "it is looked up each time";
}

TEST_F(Auth, LooksNothingUpForACredentialThatWasMadeUp) {
  auto wrong = std::string(settings.checks->token_of(command_id::make()).reveal());
  wrong.back() = wrong.back() == '0' ? '1' : '0';
  EXPECT_EQ(refused(secret(wrong)), refusal_code::unauthorized);
  EXPECT_THAT(looked_up, ElementsAre("admin"));
}

TEST_F(Auth, AnEndedCommandIsNoGuess) {
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(refused(settings.checks->token_of(command_id::make())), refusal_code::unauthorized);
  EXPECT_TRUE(imposed.empty());
}

TEST_F(Auth, ChecksAKeyOfSchemeTwoWithThePepper) {
  kill(auth);
  const std::string pepper(32, 'p');
  settings.checks = *credentials::make(to_base64(pepper), a_ring());
  rows[key.prefix].hash_scheme = 2;
  rows[key.prefix].hash = hmac_sha256(pepper, text.text.reveal());
  auth = open(behavior, around(), settings);
  EXPECT_TRUE(who_is(text.text));
  rows[key.prefix].hash = sha256(text.text.reveal());
  ask<forgotten>(auth, forget{}).reply();
  EXPECT_EQ(refused(text.text), refusal_code::unauthorized);
}

// ---- lockout

class Guessing : public Auth {
protected:
  void guess(int times, const std::string& ip = "10.0.0.1") {
    for (int i = 0; i < times; ++i)
      EXPECT_EQ(refused(secret("nonsense"), ip), refusal_code::unauthorized) << i;
  }
  void begin_anew() {
    kill(auth);
    auth = open(behavior, around(), settings);
  }
};

TEST_F(Guessing, LocksAnAddressOutAfterTenMalformedOrUnknownKeys) {
  guess(9);
  EXPECT_EQ(refused(make_key_text().text, "10.0.0.1"), refusal_code::unauthorized);
  ASSERT_EQ(imposed.size(), 1U);
  EXPECT_EQ(imposed[0].what.network.text(), "10.0.0.1/32");
  EXPECT_EQ(imposed[0].what.for_so_long, 60s);
  const auto banned = who_is(secret("nonsense"), "10.0.0.1");
  EXPECT_EQ(banned.why().code, refusal_code::too_many_requests);
  EXPECT_EQ(banned.why().details.at(0).field, "ban");
  EXPECT_EQ(banned.why().retry_after, 60s);
  EXPECT_EQ(refused(secret{}, "10.0.0.1"), refusal_code::too_many_requests) << "without a key, too";
  EXPECT_EQ(refused(make_key_text().text, "10.0.0.1"), refusal_code::too_many_requests);
  EXPECT_EQ(refused(secret("nonsense"), "10.0.0.2"), refusal_code::unauthorized) << "its neighbour is free";
  EXPECT_EQ(counts.count("locked_out"), 1);
}

TEST_F(Guessing, TellsWhatIsWrongWithHowAKeyWasSentUnlessTheAddressIsLockedOut) {
  auto two = with(secret{}, "10.0.0.1");
  two.credential = refusal{refusal_code::bad_request, "two keys", {}, {}};
  for (int i = 0; i < 30; ++i)
    EXPECT_EQ(ask<answer<principal>>(auth, two).reply().why().code, refusal_code::bad_request) << "no guess";
  guess(10);
  EXPECT_EQ(ask<answer<principal>>(auth, two).reply().why().code, refusal_code::too_many_requests);
}

TEST_F(Guessing, LetsAGoodKeyPassTheBanUnlessItIsStrict) {
  guess(10);
  EXPECT_TRUE(who_is(text.text, "10.0.0.1"));
  settings.strict = true;
  begin_anew();
  guess(10);
  EXPECT_EQ(refused(text.text, "10.0.0.1"), refusal_code::too_many_requests);
}

TEST_F(Guessing, CountsNoRequestWithoutAKeyAndNoKeyThatWasGoodOnce) {
  rows[key.prefix].revoked_at = wall;
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(refused(secret{}, "10.0.0.1"), refusal_code::unauthorized);
    EXPECT_EQ(refused(text.text, "10.0.0.1"), refusal_code::key_revoked);
  }
  rows[key.prefix].revoked_at.reset();
  rows[key.prefix].allowed_ips = {"11.0.0.0/8"};
  ask<forgotten>(auth, forget{}).reply();
  for (int i = 0; i < 30; ++i)
    EXPECT_EQ(refused(text.text, "10.0.0.1"), refusal_code::ip_not_allowed);
  EXPECT_TRUE(imposed.empty());
}

TEST_F(Guessing, OnlyCountsInShadow) {
  settings.ban_shadow = true;
  begin_anew();
  guess(15);
  EXPECT_TRUE(imposed.empty());
  EXPECT_EQ(counts.count("locked_out in shadow"), 1);
}

TEST_F(Guessing, NeverLocksOutAProxyOrAnybodyWhenThatIsOff) {
  settings.trusted_proxies = {*ip_network::parse("10.0.0.0/8")};
  begin_anew();
  guess(30);
  EXPECT_TRUE(imposed.empty());
  settings.trusted_proxies.clear();
  settings.bans.failures = 0;
  begin_anew();
  guess(30);
  EXPECT_TRUE(imposed.empty());
}

TEST_F(Guessing, NeverRefusesAProxyForABanOfItsNetwork) {
  settings.trusted_proxies = {*ip_network::parse("10.0.0.1/32")};
  begin_anew();
  tell(auth, banned{{{ban_id::make(), *ip_network::parse("10.0.0.1/32"), {}, {}, 1, 60s},
                     {ban_id::make(), *ip_network::parse("10.0.0.2/32"), {}, {}, 1, 60s}}});
  EXPECT_EQ(refused(secret{}, "10.0.0.1"), refusal_code::unauthorized);
  EXPECT_EQ(refused(secret{}, "10.0.0.2"), refusal_code::too_many_requests);
}

TEST_F(Guessing, KeepsToTheBansThatItIsTold) {
  tell(auth, banned{{{ban_id::make(), *ip_network::parse("10.0.0.1/32"), {}, {}, 2, 90s}}});
  EXPECT_EQ(who_is(secret{}, "10.0.0.1").why().retry_after, 90s);
  tell(auth, banned{});
  EXPECT_EQ(refused(secret{}, "10.0.0.1"), refusal_code::unauthorized);
}

TEST_F(Guessing, KeepsToItsOwnBanUntilItIsKnownEverywhere) {
  guess(10);
  tell(auth, banned{}); // read before it was written
  EXPECT_EQ(refused(secret{}, "10.0.0.1"), refusal_code::too_many_requests);
  tell(auth, banned{{{ban_id::make(), *ip_network::parse("10.0.0.1/32"), {}, {}, 1, 60s}}});
  tell(auth, banned{});
  EXPECT_EQ(refused(secret{}, "10.0.0.1"), refusal_code::unauthorized) << "lifted";
}

TEST_F(Guessing, RefusesKeysThatWereGoodOnceFromABannedAddress) {
  rows[key.prefix].revoked_at = wall;
  guess(10);
  EXPECT_EQ(refused(text.text, "10.0.0.1"), refusal_code::too_many_requests);
  EXPECT_EQ(refused(text.text, "10.0.0.2"), refusal_code::key_revoked);
}

TEST_F(Auth, LooksAgainWhenTheStoreSaysThatTheKeyIsAnotherOne) {
  EXPECT_TRUE(who_is(text.text));
  rows[key.prefix].revision = 3;
  rows[key.prefix].granted = {scope::audit_read};
  auto again = with(text.text);
  again.fresh = true;
  const auto who = ask<answer<principal>>(auth, again).reply();
  EXPECT_EQ(who->revision, 3);
  EXPECT_EQ(who->granted, scopes{scope::audit_read});
}

TEST_F(Guessing, DoublesABanThatFollowsAnother) {
  tell(auth, banned{{{ban_id::make(), *ip_network::parse("10.0.0.1/32"), {}, {}, 2, -5s}}});
  guess(10);
  EXPECT_EQ(imposed.at(0).what.strikes, 3);
  EXPECT_EQ(imposed.at(0).what.for_so_long, 240s);
}

// ---- habits

TEST_F(Auth, NoticesAKeyThatIsUsedFarMoreThanUsually) {
  settings.habits.minutes_to_know = 2;
  settings.habits.ordinary_rate = 5;
  settings.habits.times_the_usual = 3;
  auth = open(behavior, around(), settings);
  for (int minute = 0; minute < 3; ++minute) {
    for (int i = 0; i < 4; ++i)
      EXPECT_TRUE(who_is(text.text));
    advance(61s);
  }
  EXPECT_TRUE(odd.empty());
  for (int i = 0; i < 20; ++i)
    EXPECT_TRUE(who_is(text.text));
  advance(2s);
  ASSERT_EQ(odd.size(), 1U);
  EXPECT_EQ(odd[0].kind, anomaly_kind::unusual_rate);
  EXPECT_EQ(odd[0].key, key.id);
  EXPECT_EQ(counts.count("anomaly_seen unusual_rate"), 1);
}

TEST_F(Auth, NoticesManyWrongSecretsOfOneKeyAndManyAddresses) {
  auto other = make_key_text();
  rows[other.prefix] = test::a_key({scope::projects_read}, other.prefix); // of another secret
  for (int i = 0; i < 12; ++i)
    refused(other.text, "10.1." + std::to_string(i) + ".1");
  for (int i = 0; i < 25; ++i)
    EXPECT_TRUE(who_is(text.text, "10.2." + std::to_string(i) + ".1"));
  advance(2s);
  ASSERT_EQ(odd.size(), 2U);
  EXPECT_EQ(odd[0].kind, anomaly_kind::wrong_secrets);
  EXPECT_EQ(odd[0].prefix, other.prefix);
  EXPECT_EQ(odd[1].kind, anomaly_kind::many_addresses);
  EXPECT_EQ(odd[1].key, key.id);
  ASSERT_FALSE(uses.empty());
  EXPECT_EQ(uses[0].network, "10.2.0.0/24");
}

} // namespace
} // namespace rdev::auth
