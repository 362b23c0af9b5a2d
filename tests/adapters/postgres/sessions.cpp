// Broken connections, time-outs, and the commit whose answer was lost.
#include "adapters/postgres/session.hpp"
#include "tests/adapters/postgres/cutting_proxy.hpp"
#include "tests/support/contracts/store_contract.hpp"
#include "tests/support/test_database.hpp"

#include <poll.h>

#include <csignal>
#include <thread>

namespace rdev::test {

using postgres::effect;
using postgres::session;

class Sessions : public ::testing::Test {
protected:
  static result<std::string> ask(session& s, const std::string& sql, effect what = effect::reads) {
    return s.single(what, [&](pqxx::transaction_base& tx) { return std::string(tx.exec(sql)[0][0].c_str()); });
  }
  static std::string fault_of(const result<std::string>& r) {
    return r ? "no fault: " + *r : to_string(r.error().code);
  }
  // Asks again until there is an answer; how often a fault came first.
  static int faults_until_it_answers(session& s) {
    for (int i = 0; i < 3000; ++i) {
      if (ask(s, "SELECT 1"))
        return i;
      ::poll(nullptr, 0, 10);
    }
    return 3000;
  }
  void wait_for_a_sleeper() const {
    for (int i = 0; i < 3000; ++i) {
      if (db.one(
              "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'") !=
          "0")
        return;
      ::poll(nullptr, 0, 10);
    }
  }
  test_database db;
  session s{db.conninfo(), {}, nullptr};
};

TEST_F(Sessions, AreSetUpSoThatNothingHangs) {
  EXPECT_EQ(*ask(s, "SHOW statement_timeout"), "5s");
  EXPECT_EQ(*ask(s, "SHOW lock_timeout"), "1s");
  EXPECT_EQ(*ask(s, "SHOW idle_in_transaction_session_timeout"), "2s");
  EXPECT_EQ(*ask(s, "SHOW timezone"), "UTC");
}

TEST_F(Sessions, AKilledBackendIsAFaultAndTheNextCallsRecover) {
  const auto pid = *ask(s, "SELECT pg_backend_pid()");
  db.run("SELECT pg_terminate_backend(" + pid + ", 30000)");
  EXPECT_EQ(fault_of(ask(s, "SELECT 1")), "unavailable");
  EXPECT_LT(faults_until_it_answers(s), 3000);
  EXPECT_NE(*ask(s, "SELECT pg_backend_pid()"), pid);
}

TEST_F(Sessions, AReadThatIsCutOffIsUnavailable) {
  const auto pid = *ask(s, "SELECT pg_backend_pid()");
  result<std::string> r(std::string{});
  {
    const std::jthread reader([&] { r = ask(s, "SELECT pg_sleep(60)"); });
    wait_for_a_sleeper();
    db.run("SELECT pg_terminate_backend(" + pid + ")");
  }
  EXPECT_EQ(fault_of(r), "unavailable");
}

TEST_F(Sessions, AStatementThatTakesTooLongIsStoppedAndTheSessionGoesOn) {
  ASSERT_TRUE(ask(s, "SELECT set_config('statement_timeout', '50ms', false)"));
  const auto pid = *ask(s, "SELECT pg_backend_pid()");
  EXPECT_EQ(fault_of(ask(s, "SELECT pg_sleep(60)")), "unavailable");
  EXPECT_EQ(*ask(s, "SELECT pg_backend_pid()"), pid);
}

TEST_F(Sessions, ALockThatIsNotHadInTimeIsUnavailable) {
  const session_lock other(db, 4711);
  EXPECT_EQ(fault_of(ask(s, "SELECT pg_advisory_lock(4711)")), "unavailable");
  EXPECT_EQ(*ask(s, "SELECT 1"), "1");
}

TEST_F(Sessions, AMistakeInAStatementIsInternalAndTheSessionGoesOn) {
  EXPECT_EQ(fault_of(ask(s, "SELECT no_such_column")), "internal");
  EXPECT_EQ(*ask(s, "SELECT 1"), "1");
  const auto failed = s.transact([](pqxx::transaction_base& tx) {
    tx.exec("CREATE TABLE half (x int)");
    tx.exec("SELECT no_such_column");
    return 0;
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, fault::internal);
  EXPECT_EQ(*ask(s, "SELECT coalesce(to_regclass('half')::text, 'none')"), "none");
}

TEST_F(Sessions, WhatOthersHaveDoneToTheDatabaseIsUnavailable) {
  for (const auto* statement :
       {"SELECT * FROM no_such_table", "DO $$ BEGIN RAISE EXCEPTION 'a trigger says no'; END $$",
        "CREATE TEMP TABLE one (x int CHECK (x > 1)); INSERT INTO one VALUES (1)",
        "DO $$ BEGIN SET LOCAL transaction_read_only = on; CREATE TABLE half (x int); END $$"})
    EXPECT_EQ(fault_of(ask(s, statement)), "unavailable") << statement;
}

TEST_F(Sessions, NoServerIsUnavailableAndTheCallAfterItDoesNotWait) {
  session nobody("host=/nonexistent user=rdev dbname=rdev", {}, nullptr);
  EXPECT_EQ(fault_of(ask(nobody, "SELECT 1", effect::writes)), "unavailable") << "nothing can have been written";
  EXPECT_EQ(fault_of(ask(nobody, "SELECT 1", effect::writes)), "unavailable");
}

TEST_F(Sessions, ASingleWriteWhoseAnswerIsLostHasAnUnknownOutcome) {
  cutting_proxy proxy(db.conninfo());
  session through(proxy.conninfo(), {}, nullptr);
  ASSERT_TRUE(ask(through, "CREATE TABLE t AS SELECT 1 AS x; SELECT 1"));
  proxy.swallow_the_next_answer();
  EXPECT_EQ(fault_of(ask(through, "INSERT INTO t VALUES (2) RETURNING x", effect::writes)), "unknown_outcome");
  EXPECT_EQ(db.one("SELECT count(*) FROM t"), "2") << "it had been written";
  EXPECT_LT(faults_until_it_answers(through), 3000);
}

TEST_F(Sessions, ASingleReadWhoseAnswerIsLostIsUnavailable) {
  cutting_proxy proxy(db.conninfo());
  session through(proxy.conninfo(), {}, nullptr);
  ASSERT_TRUE(ask(through, "SELECT 1"));
  proxy.swallow_the_next_answer();
  EXPECT_EQ(fault_of(ask(through, "SELECT 2")), "unavailable");
}

TEST_F(Sessions, ACommitWhoseAnswerIsLostHasAnUnknownOutcome) {
  cutting_proxy proxy(db.conninfo());
  session through(proxy.conninfo(), {}, nullptr);
  const auto r = through.transact([&](pqxx::transaction_base& tx) {
    tx.exec("CREATE TABLE t AS SELECT 1 AS x");
    proxy.swallow_the_next_answer(); // that is the one to COMMIT
    return 0;
  });
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, fault::unknown_outcome);
  EXPECT_EQ(db.one("SELECT count(*) FROM t"), "1");
}

TEST_F(Sessions, ATransactionThatIsCutBeforeItsCommitIsUnavailable) {
  cutting_proxy proxy(db.conninfo());
  session through(proxy.conninfo(), {}, nullptr);
  const auto r = through.transact([&](pqxx::transaction_base& tx) {
    tx.exec("CREATE TABLE t AS SELECT 1 AS x");
    proxy.swallow_the_next_answer();
    tx.exec("INSERT INTO t VALUES (2)");
    return 0;
  });
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, fault::unavailable);
  EXPECT_EQ(db.one("SELECT coalesce(to_regclass('t')::text, 'none')"), "none");
}

TEST_F(Sessions, ASubmissionInDoubtIsSettledByItsId) {
  cutting_proxy proxy(db.conninfo());
  auto config = db.stores();
  const auto keys = postgres::make_key_store(config);
  const auto key = some_key();
  ASSERT_TRUE(keys->create(key, {}, {}));
  config.conninfo = proxy.conninfo();
  const auto commands = postgres::make_command_store(config);
  new_command one;
  one.what.id = command_id::make();
  one.what.key = key.id;
  one.what.family = key.family;
  one.what.what.project = "demo";
  ASSERT_TRUE(commands->existing({&one.what.id, 1})); // connected, and
  auto before = one;
  before.what.id = command_id::make();
  ASSERT_TRUE(commands->submit({&before, 1})); // the statement is prepared
  proxy.swallow_the_next_answer();
  const auto r = commands->submit({&one, 1});
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, fault::unknown_outcome);
  std::vector<command_id> there;
  for (int i = 0; i < 3000 && there.empty(); ++i) {
    if (auto found = commands->existing({&one.what.id, 1}))
      there = *found;
    ::poll(nullptr, 0, 10);
  }
  EXPECT_EQ(there, std::vector{one.what.id});
}

TEST_F(Sessions, AUrlAndKeywordsAreBothGivenTimeOuts) {
  using postgres::with_timeouts;
  EXPECT_TRUE(with_timeouts("host=x").starts_with("host=x connect_timeout=3 "));
  EXPECT_TRUE(with_timeouts("postgresql://u@h/db").starts_with("postgresql://u@h/db?connect_timeout=3&keepalives=1&"));
  EXPECT_TRUE(with_timeouts("postgres://h/db?sslmode=require")
                  .starts_with("postgres://h/db?sslmode=require&connect_timeout=3&"));
}

} // namespace rdev::test
