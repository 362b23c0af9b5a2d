// The chain over the audit log: what is sealed, in which order, and how it is read back.
#include "adapters/audit_verification.hpp"
#include "tests/support/audit_records.hpp"
#include "tests/support/contracts/store_contract.hpp"
#include "tests/support/eventually.hpp"

#include <algorithm>

namespace rdev::test {

using namespace std::chrono_literals;

namespace {

constexpr int most = 1000;

std::vector<std::string> actions_of(const audit_page& page) {
  std::vector<std::string> out;
  for (const auto& one : page.records)
    out.push_back(one.record.action);
  return out;
}

using texts = std::vector<std::string>;

} // namespace

void AuditChain::SetUp() {
  StoreContract::SetUp();
  chain = rig->chain();
  reader = rig->log_reader();
  seal_all(); // the key of the suite
  first = value_of(reader->last_checkpoint()).value_or(audit_checkpoint{}).seq;
}

void AuditChain::happens(const std::string& action, const std::optional<std::string>& project) {
  audit_record one;
  one.actor = key.id;
  one.actor_name = "tester";
  one.action = action;
  one.target = "x";
  one.project = project;
  one.outcome = "done";
  one.detail = {{"b", "\u00e4"}, {"a", "\"\n"}};
  put(*rig->audit(), one);
}

int AuditChain::seal_all() {
  int all = 0;
  EXPECT_TRUE(eventually([&] {
    all += value_of(chain->seal(node.id, most)).sealed;
    return value_of(chain->oldest_unsealed()) == 0ms;
  }));
  return all;
}

audit_page AuditChain::listed(audit_query what) {
  what.after = std::max(what.after, first);
  return value_of(reader->list(what));
}

audit_verification AuditChain::verified() {
  audit_chain::verification one(*reader, {});
  while (!value_of(one.go_on({}))) {
  }
  return one.outcome();
}

TEST_P(AuditChain, HoldsARecordOnceAlsoWhenItsWriteIsRepeated) {
  const audit_record one{{}, "tester", "a.one", "x", {}, "done", {}, {}, {}};
  std::vector<new_audit_record> batch{{audit_id::make(), one}, {audit_id::make(), one}};
  EXPECT_TRUE(rig->audit()->append(batch));
  batch.push_back({audit_id::make(), one});
  EXPECT_TRUE(rig->audit()->append(batch));
  EXPECT_EQ(seal_all(), 3);
  std::set<audit_id> ids;
  for (const auto& sealed : listed().records)
    ids.insert(sealed.record.id);
  EXPECT_EQ(ids, (std::set<audit_id>{batch[0].id, batch[1].id, batch[2].id}));
}

TEST_P(AuditChain, HoldsRecordsOfANodeWhoseClockIsWrong) {
  const audit_record one{{}, "tester", "a.one", "x", {}, "done", {}, {}, {}};
  const std::vector<new_audit_record> batch{
      {audit_id(uuid_bytes{0, 0, 0, 0, 0, 1, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}), one},
      {audit_id(uuid_bytes{2, 0, 0, 0, 0, 1, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 2}), one}};
  EXPECT_TRUE(rig->audit()->append(batch));
  EXPECT_EQ(seal_all(), 2);
  for (const auto& sealed : listed().records)
    EXPECT_LT(std::chrono::abs(timestamp(std::chrono::milliseconds(sealed.record.id.unix_ms())) - sealed.record.at),
              24h);
}

TEST_P(AuditChain, HoldsEachRecordOnceInTheOrderOfTheirWriting) {
  for (const auto* action : {"a.one", "a.two", "a.three"})
    happens(action);
  EXPECT_EQ(seal_all(), 3);
  happens("a.four");
  EXPECT_EQ(seal_all(), 1);
  EXPECT_EQ(seal_all(), 0);
  const auto page = listed();
  EXPECT_EQ(actions_of(page), (texts{"a.one", "a.two", "a.three", "a.four"}));
  EXPECT_FALSE(page.more);
  auto seq = first;
  for (const auto& one : page.records) {
    EXPECT_EQ(one.seal.seq, ++seq);
    EXPECT_EQ(one.seal.id, one.record.id);
    EXPECT_EQ(one.seal.row_hash, audit_chain::hash_of(one.record));
    EXPECT_EQ(one.seal.hash, audit_chain::hash_of(one.seal));
  }
  for (std::size_t i = 1; i < page.records.size(); ++i)
    EXPECT_EQ(page.records[i].seal.prev_hash, page.records[i - 1].seal.hash);
  const auto good = verified();
  EXPECT_FALSE(good.first_bad);
  EXPECT_EQ(good.checked, seq);
  EXPECT_EQ(good.sealed_through, seq);
}

TEST_P(AuditChain, GivesBackWhatWasWritten) {
  happens("a.one", "demo");
  seal_all();
  const auto page = listed();
  ASSERT_EQ(page.records.size(), 1U);
  const auto& record = page.records[0].record;
  EXPECT_EQ(record.actor, key.id);
  EXPECT_EQ(record.actor_name, "tester");
  EXPECT_EQ(record.target, "x");
  EXPECT_EQ(record.project, "demo");
  EXPECT_EQ(record.outcome, "done");
  EXPECT_EQ(record.reason, "");
  EXPECT_NE(audit_chain::canonical(record).find(R"("detail":{"a":"\"\n","b":"ä"})"), std::string::npos)
      << audit_chain::canonical(record);
}

TEST_P(AuditChain, TakesNoMoreAtOnceThanIsAskedFor) {
  for (int i = 0; i < 3; ++i)
    happens("a.one");
  sealing seen;
  ASSERT_TRUE(eventually([&] {
    seen = value_of(chain->seal(node.id, 2));
    return seen.sealed > 0;
  }));
  EXPECT_EQ(seen.sealed, 2);
  EXPECT_TRUE(seen.more);
  seen = value_of(chain->seal(node.id, 2));
  EXPECT_EQ(seen.sealed, 1);
  EXPECT_FALSE(seen.more);
}

TEST_P(AuditChain, IsSignedWhereItEnds) {
  happens("a.one");
  std::optional<audit_checkpoint> given;
  ASSERT_TRUE(eventually([&] {
    given = value_of(chain->seal(node.id, most)).checkpoint;
    return given.has_value();
  }));
  EXPECT_FALSE(value_of(chain->seal(node.id, most)).checkpoint) << "nothing new";
  const auto believed = audit_chain::keys_by_id(value_of(reader->keys()));
  const auto kept = value_of(reader->last_checkpoint());
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->seq, first + 1);
  EXPECT_EQ(kept->hash, listed().records.at(0).seal.hash);
  EXPECT_EQ(kept->signature, given->signature);
  EXPECT_TRUE(audit_chain::is_signed(*kept, believed));
  const auto after = value_of(reader->checkpoints_after(first, most));
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].seq, first + 1);
  EXPECT_TRUE(value_of(reader->checkpoints_after(first + 1, most)).empty());
}

TEST_P(AuditChain, IsMadeByOneNodeForAsLongAsItLives) {
  const node_info second{node_id::make(), "two", "", here};
  ASSERT_TRUE(leases->beat(second, 10min));
  const auto beside = rig->chain();
  happens("a.one");
  EXPECT_FALSE(value_of(beside->seal(second.id, most)).mine);
  EXPECT_FALSE(value_of(beside->retire(second.id)).mine);
  ASSERT_TRUE(leases->leave(node.id));
  ASSERT_TRUE(eventually([&] { return value_of(beside->seal(second.id, most)).sealed > 0; }));
  happens("a.two");
  EXPECT_FALSE(value_of(chain->seal(node.id, most)).mine);
  EXPECT_TRUE(eventually([&] { return value_of(beside->seal(second.id, most)).sealed > 0; }));
  EXPECT_EQ(actions_of(listed()), (texts{"a.one", "a.two"}));
  EXPECT_FALSE(verified().first_bad);
}

TEST_P(AuditChain, TellsHowLongTheFirstThatIsNotSealedHasWaited) {
  EXPECT_EQ(value_of(chain->oldest_unsealed()), 0ms);
  happens("a.one");
  EXPECT_TRUE(eventually([&] { return value_of(chain->oldest_unsealed()) > 0ms; }));
  seal_all();
  EXPECT_EQ(value_of(chain->oldest_unsealed()), 0ms);
}

TEST_P(AuditChain, IsListedByWhatIsAskedFor) {
  const auto begin = now_utc() - 1h;
  happens("key.create", "demo");
  happens("key.revoke", "other");
  happens("keyring.x");
  happens("project.create", "demo");
  seal_all();
  const auto actions = [&](audit_query what) { return actions_of(listed(std::move(what))); };
  const texts all{"key.create", "key.revoke", "keyring.x", "project.create"};
  audit_query what;
  what.action = "key.*";
  EXPECT_EQ(actions(what), (texts{"key.create", "key.revoke"}));
  what.action = "key.revoke";
  EXPECT_EQ(actions(what), (texts{"key.revoke"}));
  what.action = "key";
  EXPECT_EQ(actions(what), texts{});
  what.action = "%";
  EXPECT_EQ(actions(what), texts{});
  what = {};
  what.actor = key.id;
  EXPECT_EQ(actions(what), all);
  what.actor = key_id::make();
  EXPECT_EQ(actions(what), texts{});
  what = {};
  what.project = "demo";
  EXPECT_EQ(actions(what), (texts{"key.create", "project.create"}));
  what = {};
  what.projects = texts{"other", "third"};
  EXPECT_EQ(actions(what), (texts{"key.revoke"}));
  what.projects = texts{};
  EXPECT_EQ(actions(what), texts{});
  what = {};
  what.from = begin;
  what.to = now_utc() + 1h;
  EXPECT_EQ(actions(what), all);
  what.to = begin;
  EXPECT_EQ(actions(what), texts{});
  what = {};
  what.from = now_utc() + 1h;
  EXPECT_EQ(actions(what), texts{});
  EXPECT_EQ(listed(what).looked_through, first) << "what was sealed before that is not looked through";
}

TEST_P(AuditChain, IsListedPageByPage) {
  for (const auto* action : {"a.one", "b.one", "a.two", "b.two", "a.three", "b.three"})
    happens(action);
  seal_all();
  audit_query what;
  what.action = "a.*";
  what.limit = 2;
  auto page = listed(what);
  EXPECT_EQ(actions_of(page), (texts{"a.one", "a.two"}));
  EXPECT_TRUE(page.more);
  EXPECT_EQ(page.looked_through, first + 3);
  what.after = page.looked_through;
  page = listed(what);
  EXPECT_EQ(actions_of(page), (texts{"a.three"}));
  EXPECT_FALSE(page.more);
  EXPECT_EQ(page.looked_through, first + 6);
  what.after = page.looked_through;
  page = listed(what);
  EXPECT_TRUE(page.records.empty());
  EXPECT_FALSE(page.more);
  EXPECT_EQ(page.looked_through, first + 6);
}

TEST_P(AuditChain, IsReadInPiecesByAVerifier) {
  for (int i = 0; i < 4; ++i)
    happens("a.one");
  seal_all();
  const auto seals = value_of(reader->seals_after(first, 3));
  ASSERT_EQ(seals.size(), 3U);
  EXPECT_EQ(seals[0].seal.seq, first + 1);
  EXPECT_TRUE(std::is_sorted(seals.begin(), seals.end(), [](const auto& a, const auto& b) { return a.at < b.at; }));
  const auto records = value_of(reader->records_between(seals[0].at, seals[2].at, most));
  ASSERT_EQ(records.size(), 2U) << "behind the one, up to and with the other";
  EXPECT_EQ(records[0].at, seals[1].at);
  EXPECT_EQ(records[1].at, seals[2].at);
  EXPECT_EQ(records[1].record.id, seals[2].seal.id);
  EXPECT_EQ(value_of(reader->records_between({}, seals[2].at, 2)).size(), 2U);
  EXPECT_EQ(value_of(reader->first_sealed(now_utc() - 1h)), 1);
  EXPECT_EQ(value_of(reader->first_sealed(now_utc() + 1h)), std::nullopt);
}

TEST_P(AuditChain, LosesWholeDaysThatAreSealedAndPastTheirRetention) {
  rig->happened_long_ago("a.old");
  EXPECT_FALSE(value_of(chain->retire(node.id)).checkpoint) << "it is not sealed";
  seal_all();
  happens("a.new");
  seal_all();
  const auto through = verified().checked;
  const auto retired = value_of(chain->retire(node.id));
  EXPECT_TRUE(retired.mine);
  ASSERT_TRUE(retired.checkpoint);
  EXPECT_TRUE(retired.checkpoint->kept_from);
  EXPECT_TRUE(audit_chain::is_signed(*retired.checkpoint, audit_chain::keys_by_id(value_of(reader->keys()))));
  EXPECT_EQ(actions_of(listed()), (texts{"a.new"}));
  const auto good = verified();
  EXPECT_FALSE(good.first_bad);
  EXPECT_EQ(good.checked, through - 1);
  EXPECT_EQ(good.sealed_through, through) << "links are kept for longer than their records";
  EXPECT_FALSE(value_of(chain->retire(node.id)).checkpoint) << "nothing is left to remove";
}

} // namespace rdev::test
