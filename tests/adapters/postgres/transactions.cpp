// What stands in the tables: one transaction for everything that belongs together, and nothing in clear that is sealed.
#include "adapters/postgres/arrays.hpp"
#include "tests/support/audit_records.hpp"
#include "tests/support/contracts/store_contract.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/test_database.hpp"

#include <pqxx/pqxx>

#include <atomic>
#include <functional>
#include <thread>

namespace rdev::test {

class Transactions : public ::testing::Test {
protected:
  void SetUp() override {
    commands = postgres::make_command_store(db.stores());
    keys = postgres::make_key_store(db.stores());
    leases = postgres::make_lease_store(db.stores());
    key = some_key();
    key_writer w;
    w.family = key.family;
    ASSERT_EQ(value_of(keys->create(key, {}, w)).verdict, mint_verdict::created);
    ASSERT_TRUE(leases->beat(node, std::chrono::minutes(10)));
    before = counts();
  }
  [[nodiscard]] new_command a_command() const {
    new_command out;
    out.what.id = command_id::make();
    out.what.key = key.id;
    out.what.family = key.family;
    out.what.what.project = "demo";
    out.what.what.script = "echo";
    out.what.what.env = {{"TOKEN", secret("very-secret-value")}};
    out.from = {"req_1", "trace", "127.0.0.1", "POST", "/projects/demo/shell"};
    out.actor_name = "tester";
    out.scope = here;
    out.idempotency = idempotency{out.what.id.text(), digest_of(1)};
    return out;
  }
  // command, secret, queue, lease, result, audit, event, idempotency
  [[nodiscard]] std::vector<int> counts() const {
    std::vector<int> out;
    for (const auto* table :
         {"command", "command_secret", "queue_item", "lease", "command_result", "audit_log", "event", "idempotency"})
      out.push_back(std::stoi(db.one(std::string("SELECT count(*) FROM ") + table)));
    return out;
  }
  [[nodiscard]] std::vector<int> grown() const {
    auto out = counts();
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] -= before[i];
    return out;
  }
  void forbid(const std::string& what, const std::string& table) const {
    db.run("CREATE OR REPLACE FUNCTION forbidden() RETURNS trigger LANGUAGE plpgsql AS "
           "$$ BEGIN RAISE EXCEPTION 'not today'; END $$");
    db.run("CREATE TRIGGER forbidden BEFORE " + what + " ON " + table + " FOR EACH ROW EXECUTE FUNCTION forbidden()");
  }
  void allow(const std::string& table) const {
    db.run("DROP TRIGGER forbidden ON " + table);
  }
  // Sessions that wait for a lock.
  [[nodiscard]] int waiting() const {
    return std::stoi(db.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "
                            "current_database()"));
  }
  [[nodiscard]] key_writer writer() const {
    key_writer out;
    out.actor_name = "tester";
    out.family = key.family;
    return out;
  }
  std::vector<lease> claimed_all() {
    return value_of(commands->claim({node.id, machine, 100, 64, here}));
  }
  lease claimed() {
    const auto got = value_of(commands->claim({node.id, machine, 1, 64, here}));
    EXPECT_EQ(got.size(), 1U);
    return got.empty() ? lease{} : got[0];
  }

  test_database db;
  std::shared_ptr<command_store> commands;
  std::shared_ptr<key_store> keys;
  std::shared_ptr<lease_store> leases;
  api_key key;
  node_info node{node_id::make(), "one", "", here};
  std::vector<int> before;
};

TEST_F(Transactions, ASubmissionWritesARowOfEverything) {
  const std::vector<new_command> batch{a_command(), a_command()};
  ASSERT_TRUE(commands->submit(batch));
  EXPECT_EQ(grown(), (std::vector<int>{2, 2, 2, 0, 0, 2, 2, 2}));
}

TEST_F(Transactions, AFailureInTheMiddleOfASubmissionLeavesNothing) {
  for (const auto* table : {"command", "command_secret", "queue_item", "audit_log", "event", "idempotency"}) {
    forbid("INSERT", table);
    const std::vector<new_command> batch{a_command(), a_command()};
    const auto failed = commands->submit(batch);
    ASSERT_FALSE(failed) << table;
    EXPECT_EQ(failed.error().code, fault::unavailable);
    EXPECT_EQ(grown(), std::vector<int>(8, 0)) << table;
    allow(table);
    EXPECT_TRUE(commands->submit(batch)) << "and the session is still of use";
    before = counts();
  }
}

TEST_F(Transactions, AFailureInTheMiddleOfAClaimLeavesTheCommandInTheQueue) {
  const auto one = a_command();
  ASSERT_TRUE(commands->submit({&one, 1}));
  before = counts();
  for (const auto* table : {"lease", "event"}) {
    forbid("INSERT", table);
    EXPECT_FALSE(commands->claim({node.id, machine, 1, 64, here})) << table;
    EXPECT_EQ(grown(), std::vector<int>(8, 0)) << table;
    allow(table);
  }
  EXPECT_EQ(claimed().what.id, one.what.id);
  EXPECT_EQ(grown(), (std::vector<int>{0, 0, -1, 1, 0, 0, 1, 0}));
}

TEST_F(Transactions, AFailureInTheMiddleOfACompletionLeavesTheLease) {
  const auto one = a_command();
  ASSERT_TRUE(commands->submit({&one, 1}));
  const auto l = claimed();
  before = counts();
  const completion end{l.what.id, l.token, {}, {}};
  for (const auto* table : {"command_result", "audit_log", "event"}) {
    forbid("INSERT", table);
    EXPECT_FALSE(commands->complete({&end, 1})) << table;
    EXPECT_EQ(grown(), std::vector<int>(8, 0)) << table;
    allow(table);
  }
  EXPECT_EQ(value_of(commands->complete({&end, 1})), std::vector<bool>{true});
  EXPECT_EQ(grown(), (std::vector<int>{0, -1, 0, -1, 1, 1, 1, 0}));
}

TEST_F(Transactions, ACancelInTheQueueWritesAResultWithAuditAndEvent) {
  const auto one = a_command();
  ASSERT_TRUE(commands->submit({&one, 1}));
  before = counts();
  const cancel_order order{one.what.id, cancel_reason::user, key.id, "tester", one.from};
  forbid("INSERT", "audit_log");
  EXPECT_FALSE(commands->cancel(order));
  EXPECT_EQ(grown(), std::vector<int>(8, 0));
  allow("audit_log");
  EXPECT_EQ(value_of(commands->cancel(order)), cancel_verdict::never_ran);
  EXPECT_EQ(grown(), (std::vector<int>{0, -1, -1, 0, 1, 1, 1, 0}));
}

TEST_F(Transactions, TheQueueOfARevokedKeyIsCancelledWithAuditAndEvents) {
  const std::vector<new_command> batch{a_command(), a_command()};
  ASSERT_TRUE(commands->submit(batch));
  before = counts();
  const queue_order order{key.id, {}, "tester", batch[0].from};
  forbid("INSERT", "event");
  EXPECT_FALSE(commands->cancel_queued(order, 10));
  EXPECT_EQ(grown(), std::vector<int>(8, 0));
  allow("event");
  EXPECT_EQ(value_of(commands->cancel_queued(order, 10)).size(), 2U);
  EXPECT_EQ(grown(), (std::vector<int>{0, -2, -2, 0, 2, 2, 2, 0}));
  EXPECT_EQ(db.one("SELECT count(*) FROM audit_log WHERE action = 'command.cancel' AND reason = 'key_revoked'"), "2");
}

// What begins beside a revocation waits for it and sees it, so that nothing commits after it.
TEST_F(Transactions, ASubmissionBesideARevocationWaitsForItAndIsRefused) {
  const auto submitter = postgres::make_command_store(db.stores());
  ASSERT_TRUE(submitter->existing({})); // it is connected
  pqxx::connection other(db.conninfo());
  std::optional<submit_verdict> beside;
  for (int i = 0; i < 30 && !beside; ++i) { // on a busy machine a wait may be longer than the lock's time-out
    db.run("UPDATE api_keys SET revoked_at = NULL, revoked_epoch = NULL");
    const auto one = a_command();
    std::atomic<bool> given_up = false;
    std::optional<submit_verdict> verdict;
    pqxx::work holder(other);
    holder.exec("SELECT epoch FROM auth_epoch FOR UPDATE"); // the last thing that a revocation waits for
    std::jthread revoker([&] { given_up = !keys->revoke(key.id, writer()); });
    ASSERT_TRUE(eventually([&] { return given_up || waiting() == 1; }));
    std::jthread late([&] {
      if (const auto receipts = submitter->submit({&one, 1}))
        verdict = receipts->at(0).verdict;
    });
    const bool both = eventually([&] { return given_up || waiting() == 2; }) && !given_up;
    holder.commit();
    revoker.join();
    late.join();
    if (both && !given_up)
      beside = verdict;
  }
  EXPECT_EQ(beside, submit_verdict::key_changed);
  EXPECT_EQ(db.one("SELECT count(*) FROM queue_item q JOIN command c ON c.id = q.command_id, api_keys k "
                   "WHERE k.id = c.key_id AND c.created_at > k.revoked_at"),
            "0");
}

TEST_F(Transactions, WhateverIsWrittenForAKeyBesideItsRevocationIsNot) {
  const auto one = a_command();
  ASSERT_TRUE(commands->submit({&one, 1}));
  before = counts();
  const project_change change{"demo", "project.create", key.id, "tester", one.from, {}};
  const cancel_order order{one.what.id, cancel_reason::user, key.id, "tester", one.from};
  // Whether it was written; none: it waited for too long.
  const std::vector<std::function<std::optional<bool>()>> writers{
      [&] {
        const auto good = commands->vouch(change, 0);
        return good ? std::optional(*good) : std::nullopt;
      },
      [&] {
        const auto verdict = commands->cancel(order);
        return verdict ? std::optional(*verdict != cancel_verdict::key_changed) : std::nullopt;
      },
  };
  pqxx::connection other(db.conninfo());
  for (const auto& write : writers) {
    std::optional<bool> written;
    for (int i = 0; i < 30 && !written; ++i) {
      db.run("UPDATE api_keys SET revoked_at = NULL");
      std::atomic<bool> over = false;
      std::optional<bool> outcome;
      pqxx::work revoker(other);
      revoker.exec("SELECT rdev_may_change('" + key.id.uuid() + "', NULL, NULL)");
      revoker.exec("UPDATE api_keys SET revoked_at = clock_timestamp()");
      std::jthread late([&] {
        outcome = write();
        over = true;
      });
      const bool waited = eventually([&] { return over || waiting() == 1; }) && !over;
      revoker.commit();
      late.join();
      if (waited)
        written = outcome;
    }
    EXPECT_EQ(written, false);
  }
  EXPECT_EQ(grown(), std::vector<int>(8, 0));
}

// What was submitted while the change of its limit waited counts; what has ended by then does not.
TEST_F(Transactions, ALimitThatComesCountsWhatThereIsWhenItCounts) {
  const auto ends = a_command();
  ASSERT_TRUE(commands->submit({&ends, 1}));
  const auto l = claimed();
  auto limited = key;
  limited.concurrency_limit = 2;
  pqxx::connection other(db.conninfo());
  bool changed = false;
  for (int i = 0; i < 30 && !changed; ++i) {
    std::atomic<bool> over = false;
    pqxx::work holder(other);
    holder.exec("SELECT rdev_may_write('" + key.id.uuid() + "', NULL)");
    std::jthread changer([&] {
      const auto receipt = keys->change(limited, writer());
      changed = receipt && receipt->verdict == change_verdict::changed;
      over = true;
    });
    ASSERT_TRUE(eventually([&] { return over || waiting() == 1; }));
    const completion end{l.what.id, l.token, {}, {}};
    ASSERT_TRUE(commands->complete({&end, 1}));
    // As a submission that it waits for.
    holder.exec("INSERT INTO command (id, project, key_id, family, type, priority, timeout_s, created_at, spec) SELECT "
                "rdev_uuid7(), 'demo', id, family, 'shell', 2, 60, clock_timestamp(), '{}' FROM api_keys");
    holder.exec(
        "INSERT INTO queue_item (command_id, project, priority, ready_at, eff_ms, scope) SELECT id, 'demo', 2, "
        "clock_timestamp(), 0, 'scope-1' FROM command WHERE created_at > clock_timestamp() - interval '1 minute' "
        "AND id <> '" +
        ends.what.id.uuid() + "'");
    if (!over) // else all of it is undone, and tried again
      holder.commit();
  }
  ASSERT_TRUE(changed);
  auto next = a_command();
  next.key_revision = 1;
  EXPECT_EQ(db.one("SELECT count(*) FROM key_slot"), db.one("SELECT count(*) FROM queue_item"));
  ASSERT_EQ(db.one("SELECT count(*) FROM queue_item"), "1");
  EXPECT_EQ(value_of(commands->submit({&next, 1})).at(0).verdict, submit_verdict::created);
  auto more = a_command();
  more.key_revision = 1;
  EXPECT_EQ(value_of(commands->submit({&more, 1})).at(0).verdict, submit_verdict::key_is_full);
  db.run("INSERT INTO key_slot (command_id, key_id) SELECT rdev_uuid7(), id FROM api_keys"); // of one that has ended
  for (const auto& one : claimed_all()) {
    const completion end{one.what.id, one.token, {}, {}};
    ASSERT_TRUE(commands->complete({&end, 1}));
  }
  EXPECT_EQ(value_of(commands->submit({&more, 1})).at(0).verdict, submit_verdict::created) << "it does not count";
  ASSERT_TRUE(leases->upkeep());
  EXPECT_EQ(db.one("SELECT count(*) FROM key_slot"), "1");
}

TEST_F(Transactions, WhatTakesARightOfAKeyAwayWaitsForWhatIsBeingWrittenForIt) {
  auto renamed = key;
  renamed.name = "renamed";
  auto next = some_key("next");
  next.rotated_from = key.id;
  next.family = key.family;
  const std::vector<std::function<bool()>> takers{
      [&] { return keys->change(renamed, writer()) && value_of(keys->find(key.id))->name == "renamed"; },
      [&] {
        next.revision = 1; // of the one that it follows
        return keys->create(next, {}, writer()) && value_of(keys->find(next.id));
      },
      [&] { return keys->revoke(key.id, writer()) && value_of(keys->find(key.id))->revoked_at; },
  };
  pqxx::connection other(db.conninfo());
  for (std::size_t which = 0; which < takers.size(); ++which) {
    bool waited = false;
    for (int i = 0; i < 30 && !waited; ++i) {
      std::atomic<bool> over = false;
      bool done = false;
      pqxx::work holder(other);
      holder.exec("SELECT rdev_may_write('" + key.id.uuid() + "', NULL)");
      std::jthread taker([&] {
        done = takers[which]();
        over = true;
      });
      waited = eventually([&] { return over || waiting() == 1; }) && !over;
      holder.commit();
      taker.join();
      waited = waited && done;
    }
    EXPECT_TRUE(waited) << which;
  }
}

TEST_F(Transactions, TheEnvironmentIsSealedAtRestAndGoneWithTheEnd) {
  const auto one = a_command();
  ASSERT_TRUE(commands->submit({&one, 1}));
  for (const auto* table : {"command", "command_secret", "audit_log", "event", "queue_item"})
    EXPECT_EQ(db.one(std::string("SELECT count(*) FROM ") + table +
                     " t WHERE t::text LIKE '%very-secret-value%' OR t::text LIKE '%" +
                     postgres::bytea_hex("very-secret-value").substr(2) + "%'"),
              "0")
        << table;
  EXPECT_EQ(db.one("SELECT count(*) FROM command WHERE spec::text LIKE '%TOKEN%'"), "1") << "names are no secret";
  const auto l = claimed();
  EXPECT_EQ(l.what.what.env.at(0).value.reveal(), "very-secret-value");
  const completion end{l.what.id, l.token, {}, {}};
  ASSERT_TRUE(commands->complete({&end, 1}));
  EXPECT_EQ(db.one("SELECT count(*) FROM command_secret"), "0");
}

TEST_F(Transactions, ACommandWhoseEnvironmentCannotBeOpenedIsLostAndStopsNobodyElse) {
  const std::vector<new_command> batch{a_command(), a_command()};
  ASSERT_TRUE(commands->submit(batch));
  db.run("UPDATE command_secret SET env = '\\x0102' WHERE command_id = '" + batch[0].what.id.uuid() + "'");
  const auto got = value_of(commands->claim({node.id, machine, 10, 64, here}));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].what.id, batch[1].what.id);
  EXPECT_EQ(db.one("SELECT status FROM command_result"), "lost");
  EXPECT_EQ(db.one("SELECT count(*) FROM lease"), "1");
}

TEST_F(Transactions, ACommandCommittedWhileAClaimWaitsForItsTurnIsHandedOutToo) {
  const auto first = a_command();
  ASSERT_TRUE(commands->submit({&first, 1}));
  const auto submitter = postgres::make_command_store(db.stores());
  ASSERT_TRUE(submitter->existing({&first.what.id, 1})); // it is connected
  std::vector<lease> got;
  for (int i = 0; i < 30 && got.empty(); ++i) { // on a busy machine the wait may be longer than the lock's time-out
    std::jthread claimer;
    const session_lock other_claimer(db, 7233960002);
    claimer = std::jthread([&] {
      if (auto r = commands->claim({node.id, machine, 100, 64, here}))
        got = std::move(*r);
    });
    ASSERT_TRUE(other_claimer.somebody_waits());
    const auto second = a_command();
    ASSERT_TRUE(submitter->submit({&second, 1}));
  }
  EXPECT_EQ(std::to_string(got.size()), db.one("SELECT count(*) FROM lease")) << "a lease that nobody was told of";
  EXPECT_GE(got.size(), 2U);
}

TEST_F(Transactions, ARevocationRaisesTheEpochOnce) {
  key_writer w;
  w.by = key.id;
  w.actor_name = "tester";
  const auto epoch = [&] { return std::stoi(db.one("SELECT epoch FROM auth_epoch")); };
  const auto at_first = epoch();
  ASSERT_TRUE(keys->revoke(key.id, w));
  EXPECT_EQ(epoch(), at_first + 1);
  ASSERT_TRUE(keys->revoke(key.id, w));
  ASSERT_TRUE(keys->revoke(key_id::make(), w));
  EXPECT_EQ(epoch(), at_first + 1);
  EXPECT_EQ(db.one("SELECT count(*) FROM audit_log WHERE action = 'key.revoke'"), "1");
  EXPECT_EQ(db.one("SELECT count(*) FROM event WHERE event = 'key.revoked'"), "1");
}

// All that takes rights away locks the key first and the epoch then: what locks them the other way round deadlocks with
// it.
TEST_F(Transactions, ARevocationThatWaitsForItsKeyLeavesTheEpochFree) {
  pqxx::connection other(db.conninfo());
  bool waited = false;
  for (int i = 0; i < 30 && !waited; ++i) { // on a busy machine the wait may be longer than the lock's time-out
    pqxx::work holder(other);
    holder.exec("SELECT 1 FROM api_keys WHERE id = '" + key.id.uuid() + "' FOR UPDATE");
    std::atomic<bool> given_up = false;
    std::jthread revoker([&] {
      key_writer w;
      w.actor_name = "tester";
      EXPECT_FALSE(keys->revoke(key.id, w));
      given_up = true;
    });
    ASSERT_TRUE(eventually([&] { return given_up || waiting() > 0; }));
    EXPECT_NO_THROW(holder.exec("SELECT epoch FROM auth_epoch FOR UPDATE NOWAIT"));
    waited = !given_up; // it waited for the key all the while
    ASSERT_TRUE(eventually([&] { return given_up.load(); }));
  }
  EXPECT_TRUE(waited);
}

TEST_F(Transactions, AFailureInTheMiddleOfAKeysCreationLeavesNothing) {
  key_writer w;
  w.family = key.family;
  w.from = {"req", "", "127.0.0.1", "POST", "/keys"};
  for (const auto* table : {"audit_log", "event", "idempotency"}) {
    w.idempotency = idempotency{table, digest_of(1)};
    const auto k = some_key("another");
    forbid("INSERT", table);
    EXPECT_FALSE(keys->create(k, {}, w)) << table;
    EXPECT_EQ(grown(), std::vector<int>(8, 0)) << table;
    EXPECT_FALSE(value_of(keys->find(k.id)).has_value());
    allow(table);
  }
}

TEST_F(Transactions, RecordsOfTheAuditLogStandThereWhole) {
  audit_record r;
  r.actor = key.id;
  r.actor_name = "a \"b\"";
  r.action = "request.refused";
  r.target = "{x}";
  r.outcome = "refused";
  r.reason = "FORBIDDEN";
  r.from = {"req_9", "trace", "10.0.0.1", "GET", "/x"};
  r.detail = {{"k\n", "v\\"}};
  test::put(*postgres::make_audit_log(db.stores()), r);
  const auto row =
      db.rows("SELECT actor_key, actor_name, action, target, project, outcome, reason, client_ip, request_id, "
              "trace_id, detail->>E'k\\n' FROM audit_log ORDER BY id DESC LIMIT 1")
          .at(0);
  EXPECT_EQ(row, (std::vector<std::string>{key.id.uuid(), "a \"b\"", "request.refused", "{x}", "NULL", "refused",
                                           "FORBIDDEN", "10.0.0.1", "req_9", "trace", "v\\"}));
}

TEST_F(Transactions, WhatIsAboutToBeDoneIsOnRecordOnlyIfTheKeyIsGood) {
  const project_change intent{"fresh", "project.create", key.id, key.name, {"req_9", "trace", "10.0.0.1", "", ""}, {}};
  EXPECT_FALSE(value_of(commands->vouch(intent, 7)));
  EXPECT_EQ(db.one("SELECT count(*) FROM audit_log WHERE action = 'project.create'"), "0");
  EXPECT_TRUE(value_of(commands->vouch(intent, 0)));
  EXPECT_EQ(db.rows("SELECT actor_key, target, project, outcome, client_ip, request_id FROM audit_log "
                    "WHERE action = 'project.create'"),
            (std::vector<std::vector<std::string>>{{key.id.uuid(), "fresh", "fresh", "allowed", "10.0.0.1", "req_9"}}));
  forbid("INSERT", "audit_log");
  EXPECT_FALSE(commands->vouch(intent, 0)) << "what cannot be put on record is not to be done";
  allow("audit_log");
}

TEST_F(Transactions, AnotherKeyOfTheAdministratorIsOnRecord) {
  const auto rows = [&] { return db.one("SELECT count(*) FROM audit_log WHERE action = 'key.set_admin'"); };
  EXPECT_EQ(rows(), "0");
  ASSERT_TRUE(keys->set_admin(digest_of(1)));
  ASSERT_TRUE(keys->set_admin(digest_of(1)));
  EXPECT_EQ(rows(), "1");
  ASSERT_TRUE(keys->set_admin(digest_of(2)));
  EXPECT_EQ(rows(), "2");
}

TEST_F(Transactions, ThePartitionsOfWhatStillWaitsAreKept) {
  db.run(
      "DO $$ BEGIN EXECUTE format('CREATE TABLE output_chunk_20200101 PARTITION OF output_chunk FOR VALUES FROM (%L) "
      "TO (%L)', rdev_uuid7_floor('2020-01-01 00:00Z'), rdev_uuid7_floor('2020-01-02 00:00Z')); END $$");
  db.run("INSERT INTO queue_item (command_id, project, priority, ready_at, eff_ms, scope) "
         "VALUES (rdev_uuid7_floor('2020-01-01 12:00Z'), 'demo', 2, now(), 0, 'scope-1')");
  EXPECT_EQ(db.one("SELECT rdev_drop_partitions('output_chunk', '1 day')"), "0");
  db.run("DELETE FROM queue_item");
  EXPECT_EQ(db.one("SELECT rdev_drop_partitions('output_chunk', '1 day')"), "1");
  EXPECT_EQ(db.one("SELECT to_regclass('output_chunk_20200101') IS NULL"), "t");
}

} // namespace rdev::test
