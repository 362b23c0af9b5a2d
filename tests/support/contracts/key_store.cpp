#include "tests/support/contracts/store_contract.hpp"

#include <algorithm>
#include <array>

namespace rdev::test {

using std::chrono::seconds;

TEST_P(KeyStore, KeepsEveryPartOfAKey) {
  auto k = some_key("a \"name\", {with} \\ all \u00e4");
  k.granted = {scope::projects_read, scope::audit_read, scope::admin};
  k.project_ids = std::vector<std::string>{"a", "b-1"};
  k.allowed_ips = std::vector<std::string>{"10.0.0.0/8", "2001:db8::/32"};
  k.rate_limit = 17;
  k.concurrency_limit = 3;
  k.hash_scheme = 2;
  k.created_by = key.id;
  k.expires_at = timestamp(std::chrono::microseconds(1'893'456'000'123'456));
  const auto made = value_of(keys->create(k, {}, writer()));
  EXPECT_EQ(made.verdict, mint_verdict::created);
  for (const auto& got : {std::optional(made.key), value_of(keys->find(k.id)), with_prefix(k.prefix)}) {
    ASSERT_TRUE(got);
    EXPECT_EQ(got->id, k.id);
    EXPECT_EQ(got->name, k.name);
    EXPECT_EQ(got->prefix, k.prefix);
    EXPECT_EQ(got->hash, k.hash);
    EXPECT_EQ(got->hash_scheme, 2);
    EXPECT_EQ(got->granted, k.granted);
    EXPECT_EQ(got->project_ids, k.project_ids);
    EXPECT_EQ(got->allowed_ips, k.allowed_ips);
    EXPECT_EQ(got->rate_limit, 17);
    EXPECT_EQ(got->concurrency_limit, 3);
    EXPECT_EQ(got->created_by, key.id);
    EXPECT_EQ(got->expires_at, k.expires_at);
    EXPECT_EQ(got->family, k.family);
    EXPECT_FALSE(got->revoked_at);
    EXPECT_GT(got->created_at, now_utc() - std::chrono::minutes(5));
  }
}

TEST_P(KeyStore, FindsNothingByAnUnknownIdOrPrefix) {
  EXPECT_FALSE(value_of(keys->find(key_id::make())).has_value());
  EXPECT_FALSE(with_prefix("rdev_nobody00"));
  EXPECT_FALSE(with_prefix("' OR ''='"));
}

TEST_P(KeyStore, ReplaysARepeatedCreation) {
  auto w = writer();
  w.by = key.id;
  w.idempotency = idempotency{"once", digest_of(1)};
  const auto first = some_key("first");
  ASSERT_EQ(value_of(keys->create(first, {}, w)).verdict, mint_verdict::created);
  const auto second = value_of(keys->create(some_key("second"), {}, w));
  EXPECT_EQ(second.verdict, mint_verdict::replayed);
  EXPECT_EQ(second.key.id, first.id);
  EXPECT_EQ(second.key.name, "first");
  w.idempotency->body_digest = digest_of(2);
  const auto third = some_key("third");
  EXPECT_EQ(value_of(keys->create(third, {}, w)).verdict, mint_verdict::conflict);
  EXPECT_FALSE(value_of(keys->find(third.id)).has_value());
  rig->expire_idempotency();
  EXPECT_EQ(value_of(keys->create(third, {}, w)).verdict, mint_verdict::created);
}

TEST_P(KeyStore, AReplayShowsTheKeyAsItWasMade) {
  auto w = writer();
  w.idempotency = idempotency{"once", digest_of(1)};
  const auto first = some_key("first");
  ASSERT_EQ(value_of(keys->create(first, {}, w)).verdict, mint_verdict::created);
  revoke(first.id);
  const auto again = value_of(keys->create(some_key("second"), {}, w));
  EXPECT_EQ(again.verdict, mint_verdict::replayed);
  EXPECT_FALSE(again.key.revoked_at);
}

TEST_P(KeyStore, ARevokedWriterMakesNothing) {
  auto w = writer();
  w.by = key.id;
  revoke(key.id);
  const auto k = some_key("late");
  EXPECT_EQ(value_of(keys->create(k, {}, w)).verdict, mint_verdict::writer_changed);
  EXPECT_FALSE(value_of(keys->find(k.id)).has_value());
}

TEST_P(KeyStore, RotationLowersTheEndOfTheOldKey) {
  auto next = some_key("next");
  next.rotated_from = key.id;
  next.family = key.family;
  ASSERT_EQ(value_of(keys->create(next, seconds(3600), writer())).verdict, mint_verdict::created);
  const auto old = value_of(keys->find(key.id));
  ASSERT_TRUE(old && old->expires_at);
  EXPECT_GT(*old->expires_at, now_utc() + seconds(3000));
  EXPECT_LT(*old->expires_at, now_utc() + seconds(4200));
  EXPECT_FALSE(old->revoked_at);
  const auto got = value_of(keys->find(next.id));
  EXPECT_EQ(got->rotated_from, key.id);
  EXPECT_EQ(got->family, key.family);
}

TEST_P(KeyStore, RotationNeverRaisesTheEndOfTheOldKey) {
  auto old = some_key("old");
  old.expires_at =
      timestamp(std::chrono::duration_cast<std::chrono::microseconds>((now_utc() + seconds(60)).time_since_epoch()));
  ASSERT_EQ(value_of(keys->create(old, {}, writer())).verdict, mint_verdict::created);
  auto next = some_key("next");
  next.rotated_from = old.id;
  next.family = old.family;
  ASSERT_EQ(value_of(keys->create(next, seconds(3600), writer())).verdict, mint_verdict::created);
  EXPECT_EQ(value_of(keys->find(old.id))->expires_at, old.expires_at);
}

TEST_P(KeyStore, ARevocationIsWrittenOnce) {
  auto w = writer();
  w.by = key.id;
  const auto victim = some_key("victim");
  ASSERT_EQ(value_of(keys->create(victim, {}, w)).verdict, mint_verdict::created);
  const auto first = value_of(keys->revoke(victim.id, w));
  ASSERT_EQ(first.verdict, change_verdict::changed);
  EXPECT_TRUE(first.key.revoked_at);
  EXPECT_EQ(first.key.revoked_by, key.id);
  const auto again = value_of(keys->revoke(victim.id, writer("somebody else")));
  ASSERT_EQ(again.verdict, change_verdict::changed);
  EXPECT_EQ(again.key.revoked_at, first.key.revoked_at);
  EXPECT_EQ(again.key.revoked_by, key.id);
  EXPECT_EQ(again.epoch, first.epoch);
  EXPECT_EQ(value_of(keys->revoke(key_id::make(), w)).verdict, change_verdict::not_found);
}

TEST_P(KeyStore, ARevokedWriterRevokesAndChangesNothing) {
  const auto gone = some_key("gone");
  const auto victim = some_key("victim");
  for (const auto& k : {gone, victim})
    ASSERT_EQ(value_of(keys->create(k, {}, writer())).verdict, mint_verdict::created);
  revoke(gone.id);
  auto late = writer();
  late.by = gone.id;
  EXPECT_EQ(value_of(keys->revoke(victim.id, late)).verdict, change_verdict::writer_changed);
  EXPECT_EQ(value_of(keys->change(victim, late)).verdict, change_verdict::writer_changed);
  EXPECT_FALSE(value_of(keys->find(victim.id))->revoked_at);
}

TEST_P(KeyStore, WhatTakesRightsAwayRaisesTheEpoch) {
  const auto before = value_of(keys->news_since(0)).epoch;
  auto one = some_key("one");
  const auto made = value_of(keys->create(one, {}, writer()));
  EXPECT_EQ(value_of(keys->news_since(before)).epoch, before) << "a new key takes nothing away";
  one.name = "changed";
  const auto changed = value_of(keys->change(one, writer()));
  EXPECT_EQ(changed.epoch, before + 1);
  EXPECT_EQ(changed.key.revision, 1);
  auto next = some_key("next");
  next.rotated_from = one.id;
  next.family = one.family;
  EXPECT_EQ(value_of(keys->create(next, seconds(0), writer())).verdict, mint_verdict::stale) << "of the key as it was";
  next.revision = 1;
  EXPECT_EQ(value_of(keys->create(next, seconds(0), writer())).epoch, before + 2);
  EXPECT_TRUE(value_of(keys->news_since(before)).revoked.empty());
  EXPECT_EQ(value_of(keys->revoke(one.id, writer())).epoch, before + 3);
  EXPECT_EQ(value_of(keys->news_since(before)).revoked, std::vector<key_id>{one.id});
  EXPECT_EQ(value_of(keys->news_since(before)).epoch, before + 3);
  EXPECT_TRUE(value_of(keys->news_since(before + 3)).revoked.empty());
}

TEST_P(KeyStore, AChangeOfAKeyThatWasChangedMeanwhileIsStale) {
  auto one = some_key("one");
  ASSERT_EQ(value_of(keys->create(one, {}, writer())).verdict, mint_verdict::created);
  auto narrowed = one;
  narrowed.granted = {scope::audit_read};
  ASSERT_EQ(value_of(keys->change(narrowed, writer())).verdict, change_verdict::changed);
  auto renamed = one; // read before
  renamed.name = "two";
  EXPECT_EQ(value_of(keys->change(renamed, writer())).verdict, change_verdict::stale);
  EXPECT_EQ(value_of(keys->find(one.id))->granted, narrowed.granted);
  revoke(one.id);
  renamed.revision = 1;
  EXPECT_EQ(value_of(keys->change(renamed, writer())).verdict, change_verdict::stale);
}

TEST_P(KeyStore, AKeyThatWasRevokedMeanwhileHasNoSuccessor) {
  const auto old = some_key("old");
  ASSERT_EQ(value_of(keys->create(old, {}, writer())).verdict, mint_verdict::created);
  revoke(old.id);
  auto next = some_key("next");
  next.rotated_from = old.id;
  next.family = old.family;
  EXPECT_EQ(value_of(keys->create(next, seconds(60), writer())).verdict, mint_verdict::stale);
  EXPECT_FALSE(value_of(keys->find(next.id)));
}

TEST_P(KeyStore, AWriterWhoseKeyWasChangedMeanwhileWritesNothing) {
  ASSERT_EQ(value_of(keys->change(key, writer())).verdict, change_verdict::changed);
  auto late = writer();
  late.by = key.id;
  EXPECT_EQ(value_of(keys->create(some_key("late"), {}, late)).verdict, mint_verdict::writer_changed);
  EXPECT_EQ(value_of(keys->revoke(key.id, late)).verdict, change_verdict::writer_changed);
  EXPECT_EQ(value_of(commands->submit(std::array{a_command()}))[0].verdict, submit_verdict::key_changed);
  const project_change intent{"fresh", "project.create", key.id, key.name, {}, {}};
  EXPECT_FALSE(value_of(commands->vouch(intent, 0)));
  EXPECT_TRUE(value_of(commands->vouch(intent, 1)));
  late.revision = 1;
  EXPECT_EQ(value_of(keys->revoke(key.id, late)).verdict, change_verdict::changed);
  EXPECT_FALSE(value_of(commands->vouch(intent, 1)));
}

TEST_P(KeyStore, AChangeWritesEachFieldAndLeavesTheSecretAlone) {
  const auto one = some_key("one");
  const auto made = value_of(keys->create(one, {}, writer())).key;
  auto wished = made;
  wished.name = "two";
  wished.granted = {scope::audit_read};
  wished.project_ids = std::vector<std::string>{"a"};
  wished.allowed_ips = std::vector<std::string>{"10.0.0.0/8"};
  wished.rate_limit = 7;
  wished.concurrency_limit = 8;
  wished.expires_at = timestamp(std::chrono::microseconds(1'893'456'000'123'456));
  const auto now = value_of(keys->change(wished, writer())).key;
  EXPECT_EQ(now.name, "two");
  EXPECT_EQ(now.granted, wished.granted);
  EXPECT_EQ(now.project_ids, wished.project_ids);
  EXPECT_EQ(now.allowed_ips, wished.allowed_ips);
  EXPECT_EQ(now.rate_limit, 7);
  EXPECT_EQ(now.concurrency_limit, 8);
  EXPECT_EQ(now.expires_at, wished.expires_at);
  EXPECT_EQ(now.hash, made.hash);
  EXPECT_EQ(now.prefix, made.prefix);
  EXPECT_EQ(value_of(keys->change(some_key("nobody"), writer())).verdict, change_verdict::not_found);
}

TEST_P(KeyStore, TellsWhatOtherNodesHaveSeenAtLeast) {
  const auto me = node_id::make();
  const node_info other{node_id::make(), "other", "", "here"};
  ASSERT_TRUE(leases->leave(node.id));
  EXPECT_FALSE(value_of(keys->least_seen(me, seconds(0))));
  ASSERT_TRUE(leases->beat(other, seconds(60)));
  EXPECT_EQ(value_of(keys->least_seen(me, seconds(0))), 0);
  ASSERT_TRUE(keys->saw(other.id, 5));
  EXPECT_EQ(value_of(keys->least_seen(me, seconds(0))), 5);
  EXPECT_FALSE(value_of(keys->least_seen(other.id, seconds(0)))) << "it need not wait for itself";
  ASSERT_TRUE(leases->leave(other.id));
  ASSERT_TRUE(keys->saw(node.id, 5));
  EXPECT_EQ(value_of(keys->least_seen(me, seconds(60))), 5) << "it may serve its cache for a moment still";
}

TEST_P(KeyStore, NotesTheLatestUseAndWhereFrom) {
  const auto at = [](int s) { return timestamp(std::chrono::seconds(1'800'000'000 + s)); };
  ASSERT_TRUE(
      keys->note_uses({{key.id, at(10), "10.0.0.1", "10.0.0.0/24"}, {key.id, at(5), "10.0.0.2", "10.0.0.0/24"}}));
  EXPECT_EQ(value_of(keys->find(key.id))->last_used_at, at(10));
  EXPECT_EQ(value_of(keys->find(key.id))->last_used_ip, "10.0.0.1");
  ASSERT_TRUE(keys->note_uses({{key.id, at(7), "10.0.0.3", "10.0.0.0/24"}}));
  EXPECT_EQ(value_of(keys->find(key.id))->last_used_at, at(10)) << "older than what is known";
  ASSERT_TRUE(keys->note_uses({{key_id::make(), at(20), "10.0.0.3", "10.0.0.0/24"}})) << "a key that is gone";
}

TEST_P(KeyStore, SaysOnceThatAKeyIsUsedFromANewNetworkButNotOfItsFirst) {
  const auto use = [&](const std::string& ip, const std::string& network) {
    return value_of(keys->note_uses({{key.id, now_utc(), ip, network}}));
  };
  EXPECT_TRUE(use("10.0.0.1", "10.0.0.0/24").empty());
  const auto odd = use("10.9.0.1", "10.9.0.0/24");
  ASSERT_EQ(odd.size(), 1U);
  EXPECT_EQ(odd[0].kind, anomaly_kind::new_network);
  EXPECT_EQ(odd[0].key, key.id);
  EXPECT_EQ(odd[0].client_ip, "10.9.0.1");
  EXPECT_EQ(odd[0].detail, "10.9.0.0/24");
  EXPECT_TRUE(use("10.9.0.2", "10.9.0.0/24").empty());
  EXPECT_TRUE(use("10.0.0.9", "10.0.0.0/24").empty());
}

TEST_P(KeyStore, AnnouncesTheEndOfAKeyOnceForEachDistance) {
  using days = std::chrono::days;
  const auto ends_in = [&](const std::string& name, std::chrono::seconds left) {
    auto k = some_key(name);
    k.expires_at = now_utc() + left;
    EXPECT_EQ(value_of(keys->create(k, {}, writer())).verdict, mint_verdict::created);
    return k;
  };
  ends_in("far", days(30));
  ends_in("fresh, for ten days", days(10));
  EXPECT_EQ(value_of(keys->announce_expiries()), 0) << "one that was made for ten days is not about to end";
  auto soon = ends_in("soon", days(30));
  soon.expires_at = now_utc() + days(1) - std::chrono::hours(1);
  ASSERT_EQ(value_of(keys->change(soon, writer())).verdict, change_verdict::changed);
  EXPECT_EQ(value_of(keys->announce_expiries()), 0) << "its whole life is shorter than a day";
}

TEST_P(KeyStore, FindsCommandsThatRunAndTheirKeys) {
  const auto one = submitted();
  EXPECT_TRUE(value_of(keys->find_running(std::array{one})).empty()) << "it waits";
  const auto taken = claimed().at(0);
  const auto running = value_of(keys->find_running(std::array{one, command_id::make()}));
  ASSERT_EQ(running.size(), 1U);
  EXPECT_EQ(running[0].command, one);
  EXPECT_EQ(running[0].project, "demo");
  EXPECT_EQ(running[0].submitter.id, key.id);
  ASSERT_TRUE(completed(taken, command_status::completed));
  EXPECT_TRUE(value_of(keys->find_running(std::array{one})).empty()) << "it has ended";
}

TEST_P(KeyStore, ListsWhatWasNotUsedForAWhile) {
  const auto unused = [&](std::chrono::seconds age) {
    std::vector<key_id> out;
    for (const auto& k : value_of(keys->list({}, std::nullopt, age)).items)
      out.push_back(k.id);
    return out;
  };
  EXPECT_TRUE(unused(seconds(3600)).empty()) << "made just now";
  EXPECT_EQ(unused(seconds(0)), std::vector<key_id>{key.id});
  revoke(key.id);
  EXPECT_TRUE(unused(seconds(0)).empty()) << "it is no good any more";
}

TEST_P(KeyStore, ListsNewestFirstPageByPage) {
  std::vector<key_id> ids{key.id};
  for (int i = 0; i < 4; ++i) {
    const auto k = some_key("k" + std::to_string(i));
    ids.push_back(k.id);
    ASSERT_EQ(value_of(keys->create(k, {}, writer())).verdict, mint_verdict::created);
  }
  std::reverse(ids.begin(), ids.end());
  std::vector<key_id> got;
  page_request at{std::nullopt, 2};
  do {
    const auto p = value_of(keys->list(at, std::nullopt, {}));
    for (const auto& k : p.items)
      got.push_back(k.id);
    at.cursor = p.next_cursor;
  } while (at.cursor && got.size() < 20);
  EXPECT_EQ(got, ids);
}

TEST_P(KeyStore, AListWithinProjectsShowsOnlyKeysBoundToThem) {
  auto bound = some_key("bound");
  bound.project_ids = std::vector<std::string>{"a"};
  auto wider = some_key("wider");
  wider.project_ids = std::vector<std::string>{"a", "b"};
  for (const auto& k : {bound, wider})
    ASSERT_EQ(value_of(keys->create(k, {}, writer())).verdict, mint_verdict::created);
  const auto names_in = [&](const std::vector<std::string>& projects) {
    std::vector<std::string> out;
    for (const auto& k : value_of(keys->list({}, projects, {})).items)
      out.push_back(k.name);
    return out;
  };
  EXPECT_EQ(names_in({"a"}), std::vector<std::string>{"bound"});
  EXPECT_EQ(names_in({"b", "a"}), (std::vector<std::string>{"wider", "bound"}));
  EXPECT_TRUE(names_in({"c"}).empty());
}

TEST_P(KeyStore, TheFirstPepperStaysTheOnlyOne) {
  EXPECT_TRUE(value_of(keys->settle_pepper({}))) << "none was ever given";
  EXPECT_TRUE(value_of(keys->settle_pepper(key_digest{1})));
  EXPECT_TRUE(value_of(keys->settle_pepper(key_digest{1})));
  EXPECT_FALSE(value_of(keys->settle_pepper(key_digest{2})));
  EXPECT_FALSE(value_of(keys->settle_pepper({})));
  EXPECT_TRUE(value_of(keys->settle_pepper(key_digest{1})));
}

TEST_P(KeyStore, TheAdminRowFollowsTheGivenKey) {
  key_digest one{};
  one.fill(1);
  key_digest two{};
  two.fill(2);
  EXPECT_FALSE(with_prefix("admin"));
  const auto epoch = [&] { return value_of(keys->news_since(0)).epoch; };
  const auto before = epoch();
  ASSERT_TRUE(keys->set_admin(one));
  EXPECT_EQ(epoch(), before + 1);
  const auto first = with_prefix("admin");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->name, "admin");
  EXPECT_EQ(first->hash, one);
  EXPECT_TRUE(first->granted.has(scope::admin));
  EXPECT_FALSE(first->expires_at);
  EXPECT_EQ(first->family, first->id);
  ASSERT_TRUE(keys->set_admin(two));
  const auto second = with_prefix("admin");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->id, first->id);
  EXPECT_EQ(second->hash, two);
  EXPECT_GT(second->revision, first->revision) << "what was begun with the former one is not written any more";
  EXPECT_EQ(epoch(), before + 2) << "nor told";
  ASSERT_TRUE(keys->set_admin(two));
  EXPECT_EQ(with_prefix("admin")->revision, second->revision);
  EXPECT_EQ(epoch(), before + 2) << "nothing has changed";
}

TEST_P(AuditLog, TakesRecordsOfAllKinds) {
  audit_record refused;
  refused.actor_name = "rdev_abc \"quoted\"";
  refused.action = "request.refused";
  refused.target = "/projects/{x}";
  refused.outcome = "refused";
  refused.reason = "FORBIDDEN";
  refused.detail = {{"a", "b\n"}, {"", "\\"}};
  audit_record started;
  started.actor = key.id;
  started.actor_name = "system";
  started.action = "node.start";
  started.project = "demo";
  started.outcome = "done";
  const std::vector<new_audit_record> batch{{audit_id::make(), refused}, {audit_id::make(), started}};
  EXPECT_TRUE(rig->audit()->append(batch));
  EXPECT_TRUE(rig->audit()->append({}));
}

} // namespace rdev::test
