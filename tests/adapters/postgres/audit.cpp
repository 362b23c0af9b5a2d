// The chain over the real tables: what is sealed and in which order, and that every kind of tampering is found and
// named.
#include "adapters/audit_verification.hpp"
#include "adapters/crypto.hpp"
#include "adapters/signing.hpp"
#include "tests/support/contracts/store_contract.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/test_database.hpp"

#include <pqxx/pqxx>

namespace rdev::test {

using namespace std::chrono_literals;
using audit_chain::verification;

class AuditTables : public ::testing::Test {
protected:
  void SetUp() override {
    ASSERT_TRUE(leases->beat(node, 10min));
  }
  void happens(int n = 1, const std::string& action = "request.refused") const {
    for (int i = 0; i < n; ++i)
      db.run("INSERT INTO audit_log (actor_name, action, target, outcome, detail) VALUES ('tester', '" + action +
             "', 'x', 'refused', '{\"b\": [1, 2], \"a\": \"\\u00e4\"}')");
  }
  // A partition of its own, as there was one then.
  void make_day(const std::string& day) const {
    const auto from = "'" + day + "'::date::timestamp AT TIME ZONE 'UTC'";
    db.run("DO $$ BEGIN EXECUTE format('CREATE TABLE audit_log_" + day +
           " PARTITION OF audit_log FOR VALUES FROM (%L) TO (%L)', rdev_uuid7_floor(" + from + "), rdev_uuid7_floor(" +
           from + " + interval '1 day')); END $$");
  }
  // A day that is past its retention, so many days before the first one that is not.
  [[nodiscard]] std::string make_day_before_the_last_kept(int days) const {
    auto day = db.one("SELECT to_char((clock_timestamp() - interval '90 days')::date - 1 - " + std::to_string(days) +
                      ", 'YYYYMMDD')");
    make_day(day);
    return day;
  }
  void happened(const std::string& day, const std::string& later) const {
    const auto at = "('" + day + "'::date::timestamp AT TIME ZONE 'UTC' + interval '" + later + "')";
    db.run("INSERT INTO audit_log (id, at, actor_name, action, target, outcome) SELECT rdev_uuid7_floor(" + at + "), " +
           at + ", 'old', 'x', 'x', 'done'");
  }
  // In the chain, of the records that are there.
  [[nodiscard]] std::string kept_numbers() const {
    return db.one("SELECT string_agg(s.seq::text, ',' ORDER BY s.seq) FROM audit_seals s JOIN audit_log l ON l.id = "
                  "s.row_id");
  }
  // Transactions of the server itself may hold records back for a moment.
  [[nodiscard]] bool seal(int n) const {
    int all = 0;
    return eventually([&] {
      all += value_of(chain->seal(node.id, 1000)).sealed;
      return all >= n;
    });
  }
  [[nodiscard]] audit_verification verified(audit_chain::outside_evidence evidence = {},
                                            const audit_chain::verification_range& range = {}) const {
    const auto by = [&](audit_chain::reading how) {
      verification v(*reader, evidence, how);
      while (!value_of(v.go_on(range))) {
      }
      return v.outcome();
    };
    const auto out = by(audit_chain::reading::in_turn);
    const auto ahead = by(audit_chain::reading::ahead);
    EXPECT_EQ(ahead.checked, out.checked);
    EXPECT_EQ(ahead.sealed_through, out.sealed_through);
    EXPECT_EQ(ahead.first_bad.has_value(), out.first_bad.has_value());
    if (ahead.first_bad && out.first_bad) {
      EXPECT_EQ(ahead.first_bad->problem, out.first_bad->problem);
      EXPECT_EQ(ahead.first_bad->seq, out.first_bad->seq);
    }
    return out;
  }
  void expect(audit_problem problem, std::int64_t seq) const {
    const auto found = verified().first_bad;
    ASSERT_TRUE(found);
    EXPECT_EQ(found->problem, problem);
    EXPECT_EQ(found->seq, seq);
  }

  test_database db;
  node_info node{node_id::make(), "one", "", here};
  std::shared_ptr<lease_store> leases = postgres::make_lease_store(db.stores());
  std::shared_ptr<audit_chain_store> chain = postgres::make_audit_chain(db.stores());
  std::shared_ptr<audit_reader> reader = postgres::make_audit_reader(db.stores());
};

TEST_F(AuditTables, AreSealedInTheOrderOfTheirTransactionsAndGood) {
  happens(5);
  ASSERT_TRUE(seal(5));
  happens(3);
  ASSERT_TRUE(seal(3));
  EXPECT_EQ(db.one("SELECT string_agg(seq::text, ',' ORDER BY xid, row_id) FROM audit_seals"), "1,2,3,4,5,6,7,8");
  const auto outcome = verified();
  EXPECT_FALSE(outcome.first_bad);
  EXPECT_EQ(outcome.checked, 8);
  EXPECT_EQ(outcome.sealed_through, 8);
  EXPECT_EQ(db.one("SELECT count(*) FROM audit_keys"), "1");
}

TEST_F(AuditTables, OfManyPagesShowTamperingInEach) {
  db.run("INSERT INTO audit_log (actor_name, action, target, outcome) SELECT 'tester', 'x', n::text, 'done' "
         "FROM generate_series(1, 3500) AS n");
  ASSERT_TRUE(seal(3500));
  EXPECT_EQ(verified().checked, 3500);
  for (const auto seq : {3500, 2700, 1001, 1000, 999, 1}) {
    db.run("UPDATE audit_log SET outcome = 'allowed' WHERE id = (SELECT row_id FROM audit_seals WHERE seq = " +
           std::to_string(seq) + ")");
    expect(audit_problem::changed, seq);
  }
}

TEST_F(AuditTables, MissAHoleAtTheEndOfARangeHoweverMuchFollows) {
  happens(3);
  ASSERT_TRUE(seal(3));
  for (const auto* behind : {"1", "3000"}) {
    db.run(
        std::string("INSERT INTO audit_log (actor_name, action, target, outcome) SELECT 'tester', 'x', n::text, 'done' "
                    "FROM generate_series(1, ") +
        behind + ") AS n");
    ASSERT_TRUE(seal(std::stoi(behind)));
    const auto to = timestamp(std::chrono::microseconds(
        std::stoll(db.one("SELECT (extract(epoch FROM at) * 1000000)::bigint FROM audit_seals WHERE seq = 4"))));
    EXPECT_EQ(verified({}, {std::nullopt, to}).checked, 3);
    db.run("CREATE TABLE kept AS SELECT * FROM audit_seals WHERE seq IN (2, 3)");
    db.run("DELETE FROM audit_seals WHERE seq IN (2, 3)");
    const auto found = verified({}, {std::nullopt, to}).first_bad;
    ASSERT_TRUE(found);
    EXPECT_EQ(found->problem, audit_problem::missing);
    EXPECT_EQ(found->seq, 2);
    db.run("INSERT INTO audit_seals SELECT * FROM kept");
    db.run("DROP TABLE kept");
  }
}

TEST_F(AuditTables, OfATransactionThatIsOpenAreWaitedFor) {
  pqxx::connection other(db.conninfo());
  pqxx::work open(other);
  open.exec("INSERT INTO audit_log (actor_name, action, target, outcome) VALUES ('slow', 'a', 'x', 'done')");
  happens(2);
  EXPECT_EQ(value_of(chain->seal(node.id, 1000)).sealed, 0) << "they are younger than the open one";
  open.commit();
  ASSERT_TRUE(seal(3));
  EXPECT_EQ(db.one("SELECT l.actor_name FROM audit_seals s JOIN audit_log l ON l.id = s.row_id WHERE s.seq = 1"),
            "slow");
  EXPECT_FALSE(verified().first_bad);
}

TEST_F(AuditTables, ShowTampering) {
  const std::string row_of_4 = "(SELECT row_id FROM audit_seals WHERE seq = 4)";
  const std::pair<std::string, std::pair<audit_problem, std::int64_t>> cases[] = {
      {"UPDATE audit_log SET outcome = 'allowed' WHERE id = " + row_of_4, {audit_problem::changed, 4}},
      {"UPDATE audit_log SET detail = detail || '{\"c\": 1}' WHERE id = " + row_of_4, {audit_problem::changed, 4}},
      {"DELETE FROM audit_log WHERE id = " + row_of_4, {audit_problem::missing, 4}},
      {"DELETE FROM audit_log WHERE id = " + row_of_4 + "; DELETE FROM audit_seals WHERE seq = 4",
       {audit_problem::missing, 4}},
      {"INSERT INTO audit_log (actor_name, action, target, outcome, xid) "
       "SELECT 'x', 'x', 'x', 'x', xid FROM audit_seals WHERE seq = 4",
       {audit_problem::inserted, 0}},
      {"UPDATE audit_seals SET seq = 100 WHERE seq = 4; UPDATE audit_seals SET seq = 4 WHERE seq = 5; "
       "UPDATE audit_seals SET seq = 5 WHERE seq = 100",
       {audit_problem::reordered, 4}},
      {"UPDATE audit_seals SET row_hash = '\\x00' WHERE seq = 4", {audit_problem::changed, 4}},
      {"UPDATE audit_seals SET hash = prev_hash WHERE seq = 4", {audit_problem::reordered, 4}},
      {"DELETE FROM audit_log WHERE id IN (SELECT row_id FROM audit_seals WHERE seq >= 7); "
       "DELETE FROM audit_seals WHERE seq >= 7",
       {audit_problem::tail_cut, 7}},
      {"UPDATE audit_checkpoints SET hash = '\\x' || repeat('00', 32)::bytea WHERE seq = 8",
       {audit_problem::bad_signature, 8}},
      {"UPDATE audit_checkpoints SET signature = '\\x00' WHERE seq = 5", {audit_problem::bad_signature, 5}},
      {"DELETE FROM audit_seals WHERE seq <= 2", {audit_problem::missing, 1}},
      {"UPDATE audit_log SET at = at + interval '10000 years' WHERE id = " + row_of_4, {audit_problem::changed, 4}},
      {"UPDATE audit_log SET at = 'infinity' WHERE id = " + row_of_4, {audit_problem::changed, 4}},
      {"UPDATE audit_checkpoints SET first_seq = 1000000 WHERE seq = 8", {audit_problem::bad_signature, 8}},
      {"UPDATE audit_checkpoints SET first_seq = 9 WHERE seq = 8; DELETE FROM audit_log",
       {audit_problem::bad_signature, 8}},
      {"INSERT INTO audit_checkpoints SELECT 1000, at, hash, 1000, at, key, signature FROM audit_checkpoints WHERE seq "
       "= 8",
       {audit_problem::bad_signature, 1000}},
      {"UPDATE audit_checkpoints SET at = at + interval '1 microsecond' WHERE seq = 8",
       {audit_problem::bad_signature, 8}},
      {"UPDATE audit_seals SET at = at + interval '1 microsecond' WHERE seq = 8", {audit_problem::changed, 8}},
      {"DELETE FROM audit_checkpoints WHERE seq = 5", {audit_problem::changed, 6}},
  };
  happens(5);
  ASSERT_TRUE(seal(5));
  happens(3);
  ASSERT_TRUE(seal(3));
  ASSERT_FALSE(verified().first_bad);
  for (const auto& [sql, found] : cases) {
    SCOPED_TRACE(sql);
    db.run("CREATE TABLE kept_log AS SELECT * FROM audit_log; CREATE TABLE kept_seals AS SELECT * FROM audit_seals; "
           "CREATE TABLE kept_checkpoints AS SELECT * FROM audit_checkpoints");
    db.run(sql);
    expect(found.first, found.second);
    db.run("DELETE FROM audit_log; DELETE FROM audit_seals; DELETE FROM audit_checkpoints; "
           "INSERT INTO audit_log SELECT * FROM kept_log; INSERT INTO audit_seals SELECT * FROM kept_seals; "
           "INSERT INTO audit_checkpoints SELECT * FROM kept_checkpoints; "
           "DROP TABLE kept_log, kept_seals, kept_checkpoints");
    ASSERT_FALSE(verified().first_bad);
  }
}

TEST_F(AuditTables, OfWhichTheTailWasCutWithAllTracesAreShownByACheckpointFromOutside) {
  happens(5);
  ASSERT_TRUE(seal(5));
  const auto outside = value_of(reader->last_checkpoint());
  const auto keys = value_of(reader->keys());
  ASSERT_TRUE(outside);
  db.run("DELETE FROM audit_log WHERE id IN (SELECT row_id FROM audit_seals WHERE seq > 3); "
         "DELETE FROM audit_seals WHERE seq > 3; DELETE FROM audit_checkpoints WHERE seq > 3");
  EXPECT_FALSE(verified().first_bad) << "nothing inside can tell";
  const auto found = verified({{*outside}, keys}).first_bad;
  ASSERT_TRUE(found);
  EXPECT_EQ(found->problem, audit_problem::tail_cut);
  EXPECT_EQ(found->seq, 4);
}

TEST_F(AuditTables, AreNotSignedForWhatSomebodyElseHasClaimed) {
  happens(3);
  ASSERT_TRUE(seal(3));
  db.run("INSERT INTO audit_checkpoints SELECT seq, at + interval '1 second', hash, 3, now() + interval '1 day', key, "
         "'\\x00' FROM audit_checkpoints WHERE seq = 3");
  happens();
  ASSERT_TRUE(seal(1));
  const auto signed_now = value_of(reader->last_checkpoint());
  ASSERT_TRUE(signed_now);
  EXPECT_EQ(signed_now->seq, 4);
  EXPECT_EQ(signed_now->first_seq, 1);
  EXPECT_EQ(signed_now->kept_from, std::nullopt);
}

// A role that may only insert (docs/audit.md) can put these in.
TEST_F(AuditTables, AreSealedOnBehindFalseLinks) {
  const std::pair<std::string, std::string> cases[] = {
      {"far ahead", "SELECT seq + 1, at, row_id, '9000000000000000000', row_hash, prev_hash, hash FROM audit_seals "
                    "ORDER BY seq DESC LIMIT 1"},
      {"with a number far ahead", "SELECT 9e18, at, row_id, xid, row_hash, prev_hash, hash FROM audit_seals "
                                  "ORDER BY seq DESC LIMIT 1"},
      {"a copy of the last one", "SELECT seq, at + interval '1 microsecond', row_id, '9000000000000000000', row_hash, "
                                 "prev_hash, hash FROM audit_seals ORDER BY seq DESC LIMIT 1"},
      {"many of the last number", "SELECT seq, at + n * interval '1 microsecond', row_id, '0', '\\x', '\\x', '\\x' "
                                  "FROM (SELECT * FROM audit_seals ORDER BY seq DESC LIMIT 1) AS s, "
                                  "generate_series(1, 101) AS n"},
  };
  std::int64_t sealed = 0;
  for (const auto& [what, link] : cases) {
    SCOPED_TRACE(what);
    happens(2);
    ASSERT_TRUE(seal(2));
    ASSERT_FALSE(verified().first_bad);
    db.run("INSERT INTO audit_seals (seq, at, row_id, xid, row_hash, prev_hash, hash) " + link);
    happens(2);
    EXPECT_TRUE(eventually([&] { return value_of(chain->oldest_unsealed()) > 0ms; })) << "they are known to wait";
    ASSERT_TRUE(seal(2));
    EXPECT_TRUE(eventually([&] { return value_of(chain->oldest_unsealed()) == 0ms; }));
    sealed += 4;
    const auto last = value_of(reader->last_checkpoint());
    ASSERT_TRUE(last);
    EXPECT_EQ(last->seq, sealed);
    const auto found = verified().first_bad;
    ASSERT_TRUE(found);
    const bool is_far = what == "with a number far ahead"; // as if those between were gone
    EXPECT_EQ(found->problem, is_far ? audit_problem::missing : audit_problem::inserted);
    db.run("DELETE FROM audit_seals WHERE xid::text IN ('0', '9000000000000000000') OR seq = 9e18");
    EXPECT_FALSE(verified().first_bad);
  }
}

TEST_F(AuditTables, AreSealedOnBehindCheckpointsAndKeysOfOthers) {
  happens(3);
  ASSERT_TRUE(seal(3));
  db.run("INSERT INTO audit_checkpoints SELECT 1000 + n, at, hash, 500, at, key, signature FROM audit_checkpoints, "
         "generate_series(1, 2000) AS n");
  db.run("INSERT INTO audit_keys SELECT 'false' || n, public_key, private_key, created_at + interval '1 day' "
         "FROM audit_keys, generate_series(1, 200) AS n");
  happens(2);
  ASSERT_TRUE(seal(2));
  db.run("DELETE FROM audit_checkpoints WHERE seq > 1000; DELETE FROM audit_keys WHERE id LIKE 'false%'");
  const auto outcome = verified();
  EXPECT_FALSE(outcome.first_bad);
  EXPECT_EQ(outcome.sealed_through, 5);
  EXPECT_EQ(value_of(reader->last_checkpoint())->first_seq, 1);
}

TEST_F(AuditTables, AreNotSealedWhereOnesOwnPastIsNotToBeFound) {
  happens(3);
  ASSERT_TRUE(seal(3));
  db.run("INSERT INTO audit_checkpoints SELECT 1000 + n, at, hash, 500, at, key, signature FROM audit_checkpoints, "
         "generate_series(1, 10000) AS n");
  happens(2);
  const auto refused = chain->seal(node.id, 1000);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, fault::unavailable);
  EXPECT_NE(refused.error().message.find("audit_checkpoints"), std::string::npos) << refused.error().message;
  EXPECT_FALSE(chain->oldest_unsealed());
  db.run("DELETE FROM audit_checkpoints WHERE seq > 1000");
  ASSERT_TRUE(seal(2));
  EXPECT_FALSE(verified().first_bad);
}

TEST_F(AuditTables, OfWhichTheLastCheckpointIsGoneAreSealedOnceAndShown) {
  happens(2);
  ASSERT_TRUE(seal(2));
  happens(3);
  ASSERT_TRUE(seal(3));
  db.run("DELETE FROM audit_checkpoints WHERE seq = 5");
  happens(1);
  ASSERT_TRUE(seal(1));
  EXPECT_EQ(kept_numbers(), "1,2,3,4,5,6");
  expect(audit_problem::changed, 6);
}

TEST_F(AuditTables, WhoseLastLinkIsGoneAreSealedOnAndShown) {
  happens(5);
  ASSERT_TRUE(seal(5));
  db.run("DELETE FROM audit_seals WHERE seq >= 4");
  happens(2);
  ASSERT_TRUE(seal(2));
  expect(audit_problem::missing, 4);
}

TEST_F(AuditTables, OfWhichTheBeginningWasCutAreShownByACheckpointFromOutside) {
  happens(5);
  ASSERT_TRUE(seal(5));
  const auto outside = value_of(reader->last_checkpoint());
  ASSERT_TRUE(outside);
  happens(2);
  ASSERT_TRUE(seal(2));
  // As if the key had been stolen, too: a claim that all that was before has been removed.
  const auto own = make_signing_key();
  auto forged = value_of(reader->last_checkpoint()).value();
  forged.first_seq = 7;
  forged.key = audit_chain::key_id_of(own.public_key);
  forged.kept_from = outside->at;
  forged.signature = sign(own.private_key, audit_chain::canonical(forged));
  auto keys = value_of(reader->keys());
  keys.push_back({forged.key, own.public_key, {}});
  db.run("DELETE FROM audit_log WHERE id IN (SELECT row_id FROM audit_seals WHERE seq < 7); "
         "DELETE FROM audit_seals WHERE seq < 7; DELETE FROM audit_checkpoints; INSERT INTO audit_checkpoints "
         "(seq, at, hash, first_seq, kept_from, key, signature) VALUES (7, '" +
         audit_chain::exact_time(forged.at) + "', '\\x" + to_hex(forged.hash) + "', 7, '" +
         audit_chain::exact_time(*forged.kept_from) + "', '" + forged.key + "', decode('" +
         to_base64(forged.signature) + "', 'base64'))");
  EXPECT_FALSE(verified({{}, keys}).first_bad) << "nothing inside can tell";
  const auto found = verified({{*outside}, keys}).first_bad;
  ASSERT_TRUE(found);
  EXPECT_EQ(found->problem, audit_problem::missing);
  EXPECT_EQ(found->seq, 5);
}

TEST_F(AuditTables, AreSealedWhateverTimeTheyClaim) {
  for (const auto* at : {"infinity", "-infinity", "294276-12-31T00:00Z"})
    db.run("INSERT INTO audit_log (at, actor_name, action, target, outcome) VALUES ('" + std::string(at) +
           "', 'x', 'x', 'x', 'x')");
  EXPECT_TRUE(value_of(chain->oldest_unsealed()) > 0ms);
  ASSERT_TRUE(seal(3));
  EXPECT_FALSE(verified().first_bad);
  EXPECT_EQ(value_of(reader->list({})).records.size(), 3U);
}

TEST_F(AuditTables, ThatWereMadeAnewUnderAnotherKeyAreShownByTheKeyFromOutside) {
  happens(5);
  ASSERT_TRUE(seal(5));
  const auto keys = value_of(reader->keys());
  db.run("DELETE FROM audit_seals; DELETE FROM audit_checkpoints; DELETE FROM audit_keys; "
         "UPDATE audit_log SET outcome = 'allowed'");
  ASSERT_TRUE(seal(5));
  EXPECT_FALSE(verified().first_bad) << "nothing inside can tell";
  const auto found = verified({{}, keys}).first_bad;
  ASSERT_TRUE(found);
  EXPECT_EQ(found->problem, audit_problem::bad_signature);
}

TEST_F(AuditTables, AreVerifiedOverManyPages) {
  db.run("INSERT INTO audit_log (actor_name, action, target, outcome) "
         "SELECT 'tester', 'x', n::text, 'done' FROM generate_series(1, 12000) AS n");
  ASSERT_TRUE(eventually([&] { return value_of(chain->seal(node.id, 5000)).sealed == 5000; }));
  while (value_of(chain->seal(node.id, 5000)).more) {
  }
  auto outcome = verified();
  EXPECT_FALSE(outcome.first_bad);
  EXPECT_EQ(outcome.checked, 12000);
  db.run("UPDATE audit_log SET outcome = 'x' WHERE target = '11000'");
  EXPECT_EQ(verified().first_bad->problem, audit_problem::changed);
}

TEST_F(AuditTables, AreVerifiedWithinARangeOfTime) {
  happens(3);
  ASSERT_TRUE(seal(3));
  const auto middle = now_utc();
  happens(2);
  ASSERT_TRUE(seal(2));
  EXPECT_EQ(verified({}, {middle, {}}).checked, 2);
  EXPECT_EQ(verified({}, {{}, middle}).checked, 3);
  EXPECT_EQ(verified({}, {now_utc() + 1h, {}}).checked, 0);
  db.run("UPDATE audit_log SET outcome = 'x' WHERE id = (SELECT row_id FROM audit_seals WHERE seq = 2)");
  EXPECT_FALSE(verified({}, {middle, {}}).first_bad);
  EXPECT_TRUE(verified({}, {{}, middle}).first_bad);
}

TEST_F(AuditTables, AreRemovedByWholeDaysAndStillVerified) {
  // Some days ago: partitions of their own, and the chain as it was sealed then.
  for (const auto* day : {"20200101", "20200102", "20200103"}) {
    const std::string d = day;
    const auto from = "'" + d + "'::date::timestamp AT TIME ZONE 'UTC'";
    make_day(d);
    db.run("INSERT INTO audit_log (id, at, actor_name, action, target, outcome) SELECT rdev_uuid7_floor(" + from +
           " + interval '1 hour'), " + from + ", 'old', 'x', '" + d + "', 'done'");
  }
  happens(2);
  ASSERT_TRUE(seal(5));
  ASSERT_FALSE(verified().first_bad);
  const auto retired = value_of(chain->retire(node.id));
  ASSERT_TRUE(retired.checkpoint);
  EXPECT_EQ(db.one("SELECT count(*) FROM audit_log"), "2");
  EXPECT_EQ(db.one("SELECT count(*) FROM audit_seals"), "5") << "links are kept for longer than their records";
  const auto outcome = verified();
  EXPECT_FALSE(outcome.first_bad);
  EXPECT_EQ(outcome.checked, 2);
  EXPECT_FALSE(value_of(chain->retire(node.id)).checkpoint) << "nothing is left to remove";
  db.run("DELETE FROM audit_log WHERE id = (SELECT row_id FROM audit_seals WHERE seq = 4)");
  expect(audit_problem::missing, 4);
}

// What is kept is without a gap, also where transactions of two days ran side by side at each midnight.
TEST_F(AuditTables, OfDaysThatRanSideBySideAreRemovedWithoutAGap) {
  std::string before;
  for (int i = 5; i >= 0; --i) {
    const auto day = make_day_before_the_last_kept(i);
    if (!before.empty()) {
      happened(day, "0.001 s");
      happened(before, "23:59:59.998");
      happened(day, "0.003 s");
      happened(before, "23:59:59.999");
      happened(day, "0.002 s");
    }
    happened(day, "1 s");
    before = day;
  }
  happens(1);
  ASSERT_TRUE(seal(32));
  ASSERT_FALSE(verified().first_bad);
  ASSERT_TRUE(value_of(chain->retire(node.id)).checkpoint);
  // The fifth day's last one is the 23rd; the sixth has lost what stood before.
  EXPECT_EQ(kept_numbers(), "24,25,26,27,28,29,30,31,32");
  const auto outcome = verified();
  EXPECT_FALSE(outcome.first_bad);
  EXPECT_EQ(outcome.checked, 9);
  EXPECT_FALSE(value_of(chain->retire(node.id)).checkpoint) << "nothing is left to remove";
  db.run("DELETE FROM audit_log WHERE id = (SELECT row_id FROM audit_seals WHERE seq = 25)");
  expect(audit_problem::missing, 25);
}

TEST_F(AuditTables, AreRemovedFromTheBeginningOfTheChain) {
  const auto late = make_day_before_the_last_kept(8); // by the clock of some machine
  const auto before = make_day_before_the_last_kept(7);
  const auto after = make_day_before_the_last_kept(6);
  const auto kept = make_day_before_the_last_kept(0);
  happened(late, "1 s");
  happened(before, "23:59:59.998");
  happened(after, "0.001 s");
  happened(before, "23:59:59.999");
  happened(after, "1 s");
  happened(kept, "1 s");
  happened(late, "2 s");
  happened(kept, "2 s");
  ASSERT_TRUE(seal(8));
  const auto retired = value_of(chain->retire(node.id)).checkpoint;
  ASSERT_TRUE(retired);
  EXPECT_EQ(kept_numbers(), "6,7,8");
  auto outcome = verified();
  EXPECT_FALSE(outcome.first_bad);
  EXPECT_EQ(outcome.checked, 3);
  EXPECT_FALSE(value_of(chain->retire(node.id)).checkpoint) << "nothing is left to remove";
  // A day that is older still never makes it known that less had been removed.
  const auto older = make_day_before_the_last_kept(20);
  happened(older, "1 s");
  ASSERT_TRUE(seal(1));
  EXPECT_FALSE(value_of(chain->retire(node.id)).checkpoint);
  db.run("DELETE FROM audit_log WHERE id = (SELECT row_id FROM audit_seals WHERE seq = 8)");
  expect(audit_problem::missing, 8);
}

TEST_F(AuditTables, NeverMakeItKnownThatLessWasRemovedThanBefore) {
  happened(make_day_before_the_last_kept(6), "1 s");
  happened(make_day_before_the_last_kept(0), "1 s");
  ASSERT_TRUE(seal(2));
  const auto first = value_of(chain->retire(node.id)).checkpoint;
  ASSERT_TRUE(first);
  (void)make_day_before_the_last_kept(20); // empty
  const auto second = value_of(chain->retire(node.id)).checkpoint;
  ASSERT_TRUE(second);
  EXPECT_EQ(second->kept_from, first->kept_from);
  EXPECT_FALSE(verified().first_bad);
}

TEST_F(AuditTables, AreGoodWhileOldOnesAreRemoved) {
  for (const auto* day : {"20200101", "20200102"}) {
    const std::string d = day;
    const auto from = "'" + d + "'::date::timestamp AT TIME ZONE 'UTC'";
    make_day(d);
    db.run("INSERT INTO audit_log (id, at, actor_name, action, target, outcome) SELECT rdev_uuid7_floor(" + from +
           " + n * interval '1 second'), " + from + ", 'old', 'x', n::text, 'done' FROM generate_series(1, 1500) AS n");
  }
  happens(2);
  ASSERT_TRUE(seal(3002));
  verification one(*reader, {});
  ASSERT_FALSE(value_of(one.go_on({})));
  ASSERT_TRUE(value_of(chain->retire(node.id)).checkpoint);
  while (!value_of(one.go_on({}))) {
  }
  EXPECT_FALSE(one.outcome().first_bad);
  EXPECT_EQ(one.outcome().checked, 2);
}

TEST_F(AuditTables, AreNotSealedBehindATransactionThatThisServerHasNotComeTo) {
  happens(2);
  ASSERT_TRUE(seal(2));
  db.run("UPDATE audit_log SET xid = (xid::text::bigint + 1000000)::text::xid8; "
         "UPDATE audit_seals SET xid = (xid::text::bigint + 1000000)::text::xid8");
  const auto refused = chain->seal(node.id, 1000);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("restored from a dump"), std::string::npos) << refused.error().message;
  EXPECT_FALSE(chain->oldest_unsealed());
}

TEST_F(AuditTables, AreKnownToWaitWhateverTimeTheyClaim) {
  pqxx::connection other(db.conninfo());
  pqxx::work open(other);
  open.exec("SELECT pg_current_xact_id()");
  db.run("INSERT INTO audit_log (at, actor_name, action, target, outcome) SELECT '2100-01-01', 'x', 'x', 'x', 'x' "
         "FROM generate_series(1, 100)");
  EXPECT_GT(value_of(chain->oldest_unsealed()), 24h);
}

TEST_F(AuditTables, AreNotRemovedBeforeTheyAreSealed) {
  make_day("20200101");
  db.run("INSERT INTO audit_log (id, actor_name, action, target, outcome) "
         "SELECT rdev_uuid7_floor('2020-01-01T01:00Z'), 'old', 'x', 'x', 'done'");
  EXPECT_FALSE(value_of(chain->retire(node.id)).checkpoint);
  EXPECT_EQ(db.one("SELECT count(*) FROM audit_log"), "1");
}

} // namespace rdev::test
