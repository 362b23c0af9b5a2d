#include "tests/support/contracts/store_contract.hpp"

#include <algorithm>

namespace rdev::test {

using std::chrono::seconds;

TEST_P(KeyStore, KeepsEveryPartOfAKey) {
  auto k = some_key("a \"name\", {with} \\ all \u00e4");
  k.granted = {scope::projects_read, scope::audit_read, scope::admin};
  k.project_ids = std::vector<std::string>{"a", "b-1"};
  k.allowed_ips = std::vector<std::string>{"10.0.0.0/8", "2001:db8::/32"};
  k.rate_limit = 17;
  k.created_by = key.id;
  k.expires_at = timestamp(std::chrono::microseconds(1'893'456'000'123'456));
  const auto made = value_of(keys->create(k, {}, writer()));
  EXPECT_EQ(made.verdict, mint_verdict::created);
  for (const auto& got :
       {std::optional(made.key), value_of(keys->find(k.id)), value_of(keys->find_by_prefix(k.prefix))}) {
    ASSERT_TRUE(got);
    EXPECT_EQ(got->id, k.id);
    EXPECT_EQ(got->name, k.name);
    EXPECT_EQ(got->prefix, k.prefix);
    EXPECT_EQ(got->hash, k.hash);
    EXPECT_EQ(got->hash_scheme, 1);
    EXPECT_EQ(got->granted, k.granted);
    EXPECT_EQ(got->project_ids, k.project_ids);
    EXPECT_EQ(got->allowed_ips, k.allowed_ips);
    EXPECT_EQ(got->rate_limit, 17);
    EXPECT_EQ(got->created_by, key.id);
    EXPECT_EQ(got->expires_at, k.expires_at);
    EXPECT_EQ(got->family, k.family);
    EXPECT_FALSE(got->revoked_at);
    EXPECT_GT(got->created_at, now_utc() - std::chrono::minutes(5));
  }
}

TEST_P(KeyStore, FindsNothingByAnUnknownIdOrPrefix) {
  EXPECT_FALSE(value_of(keys->find(key_id::make())).has_value());
  EXPECT_FALSE(value_of(keys->find_by_prefix("rdev_nobody00")).has_value());
  EXPECT_FALSE(value_of(keys->find_by_prefix("' OR ''='")).has_value());
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
  EXPECT_EQ(value_of(keys->create(k, {}, w)).verdict, mint_verdict::writer_revoked);
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
  ASSERT_TRUE(first && first->revoked_at);
  EXPECT_EQ(first->revoked_by, key.id);
  const auto again = value_of(keys->revoke(victim.id, writer("somebody else")));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->revoked_at, first->revoked_at);
  EXPECT_EQ(again->revoked_by, key.id);
  EXPECT_FALSE(value_of(keys->revoke(key_id::make(), w)).has_value());
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
    const auto p = value_of(keys->list(at, std::nullopt));
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
    for (const auto& k : value_of(keys->list({}, projects)).items)
      out.push_back(k.name);
    return out;
  };
  EXPECT_EQ(names_in({"a"}), std::vector<std::string>{"bound"});
  EXPECT_EQ(names_in({"b", "a"}), (std::vector<std::string>{"wider", "bound"}));
  EXPECT_TRUE(names_in({"c"}).empty());
}

TEST_P(KeyStore, TheAdminRowFollowsTheGivenKey) {
  key_digest one{};
  one.fill(1);
  key_digest two{};
  two.fill(2);
  EXPECT_FALSE(value_of(keys->find_by_prefix("admin")).has_value());
  ASSERT_TRUE(keys->set_admin(one));
  const auto first = value_of(keys->find_by_prefix("admin"));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->name, "admin");
  EXPECT_EQ(first->hash, one);
  EXPECT_TRUE(first->granted.has(scope::admin));
  EXPECT_FALSE(first->expires_at);
  EXPECT_EQ(first->family, first->id);
  ASSERT_TRUE(keys->set_admin(two));
  const auto second = value_of(keys->find_by_prefix("admin"));
  ASSERT_TRUE(second);
  EXPECT_EQ(second->id, first->id);
  EXPECT_EQ(second->hash, two);
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
  const std::vector<audit_record> batch{refused, started};
  EXPECT_TRUE(rig->audit()->append(batch));
  EXPECT_TRUE(rig->audit()->append({}));
}

} // namespace rdev::test
