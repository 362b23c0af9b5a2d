#include "adapters/postgres/migrations.hpp"
#include "tests/support/contracts/store_contract.hpp"
#include "tests/support/test_database.hpp"

#include <thread>

namespace rdev::test {

using postgres::all_migrations;
using postgres::migrate;

TEST(Migrations, AreNumberedFromOneWithoutAGap) {
  int n = 0;
  for (const auto& m : all_migrations()) {
    EXPECT_EQ(m.version, ++n);
    EXPECT_FALSE(m.sql.empty());
  }
  EXPECT_GT(n, 0);
}

TEST(Migrations, MakeAFreshSchemaAndARepeatChangesNothing) {
  const test_database db(false);
  const int newest = all_migrations().back().version;
  EXPECT_EQ(value_of(migrate(db.conninfo())), newest);
  const auto applied = db.rows("SELECT * FROM schema_migrations ORDER BY version");
  EXPECT_EQ(applied.size(), all_migrations().size());
  const auto tables = db.one("SELECT count(*) FROM pg_class");
  EXPECT_EQ(value_of(migrate(db.conninfo())), newest);
  EXPECT_EQ(db.rows("SELECT * FROM schema_migrations ORDER BY version"), applied);
  EXPECT_EQ(db.one("SELECT count(*) FROM pg_class"), tables);
}

TEST(Migrations, TwoNodesAtOnceMakeOneSchema) {
  for (int round = 0; round < 3; ++round) {
    const test_database db(false);
    std::array<std::optional<result<int>>, 3> done;
    {
      std::vector<std::jthread> nodes;
      for (auto& mine : done)
        nodes.emplace_back([&] { mine = migrate(db.conninfo()); });
    }
    for (auto& mine : done)
      EXPECT_EQ(value_of(std::move(*mine)), all_migrations().back().version);
    EXPECT_EQ(db.one("SELECT count(*) FROM schema_migrations"), std::to_string(all_migrations().size()));
  }
}

TEST(Migrations, WaitForTheNodeThatIsAtIt) {
  const test_database db(false);
  result<int> done(0);
  std::jthread node;
  {
    const session_lock other(db, 7233960000);
    node = std::jthread([&] { done = migrate(db.conninfo()); });
    ASSERT_TRUE(other.somebody_waits());
    EXPECT_EQ(db.one("SELECT coalesce(to_regclass('command')::text, 'none')"), "none");
  }
  node.join();
  EXPECT_EQ(value_of(done), all_migrations().back().version);
}

TEST(Migrations, ASchemaNewerThanTheProgramIsRefused) {
  const test_database db;
  db.run("INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, 'later', 'x')");
  const auto r = migrate(db.conninfo());
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, fault::invalid);
  EXPECT_NE(r.error().message.find("9999"), std::string::npos);
}

TEST(Migrations, AMigrationThatReadsDifferentlyIsRefused) {
  const test_database db;
  db.run("UPDATE schema_migrations SET checksum = 'another' WHERE version = 1");
  const auto r = migrate(db.conninfo());
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, fault::invalid);
  EXPECT_NE(r.error().message.find("another text"), std::string::npos);
}

TEST(Migrations, NoServerIsUnavailable) {
  const auto r = migrate("host=/nonexistent user=rdev dbname=rdev");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, fault::unavailable);
}

TEST(Partitions, AreMadeAhead) {
  const test_database db;
  const auto leases = postgres::make_lease_store(db.stores());
  for (const std::string table :
       {"command", "command_result", "output_chunk", "audit_log", "event", "webhook_delivery", "webhook_attempt"}) {
    const auto count = "SELECT count(*) FROM pg_inherits WHERE inhparent = '" + table + "'::regclass";
    EXPECT_EQ(db.one(count), "10") << table;
    db.run("DO $$ BEGIN EXECUTE 'DROP TABLE " + table + "_' || to_char(current_date + 8, 'YYYYMMDD'); END $$");
    ASSERT_TRUE(leases->upkeep());
    EXPECT_EQ(db.one(count), "10") << table;
  }
}

TEST(Partitions, AreDroppedBehindTheirRetentionAndNotBefore) {
  const test_database db;
  const auto config = db.stores(); // output 7 days, records 90 days
  const auto make = [&](const std::string& table, int days_ago) {
    const auto n = std::to_string(days_ago);
    db.run("DO $$ BEGIN EXECUTE format('CREATE TABLE %I PARTITION OF " + table + " FOR VALUES FROM (%L) TO (%L)', '" +
           table + "_' || to_char(current_date - " + n + ", 'YYYYMMDD'), rdev_uuid7_floor((current_date - " + n +
           ")::timestamp AT TIME ZONE 'UTC'), rdev_uuid7_floor((current_date - " + n +
           " + 1)::timestamp AT TIME ZONE 'UTC')); END $$");
  };
  const auto there = [&](const std::string& table, int days_ago) {
    return db.one("SELECT to_regclass('" + table + "_' || to_char(current_date - " + std::to_string(days_ago) +
                  ", 'YYYYMMDD')) IS NOT NULL") == "t";
  };
  for (const auto* table : {"output_chunk", "command", "audit_log"})
    for (const int days : {7, 9, 89, 95})
      make(table, days);
  ASSERT_TRUE(postgres::make_lease_store(config)->upkeep());
  EXPECT_TRUE(there("output_chunk", 7)) << "some of that day is younger than seven days";
  EXPECT_FALSE(there("output_chunk", 9));
  EXPECT_FALSE(there("output_chunk", 89));
  for (const auto* table : {"command", "audit_log"}) {
    EXPECT_TRUE(there(table, 9)) << table;
    EXPECT_TRUE(there(table, 89)) << table;
  }
  EXPECT_FALSE(there("command", 95));
  EXPECT_TRUE(there("audit_log", 95)) << "who seals the records removes them";
}

TEST(Partitions, UpkeepRemembersBansForAsLongAsTheSettingSays) {
  const test_database db;
  db.run("INSERT INTO ban (id, network, since, until, strikes, failures) "
         "SELECT gen_random_uuid(), ('10.0.0.' || hours)::cidr, now() - interval '100 hours', "
         "now() - hours * interval '1 hour', 1, 10 FROM unnest(ARRAY[20, 50, 80]) AS hours");
  auto config = db.stores();
  config.ban_memory = std::chrono::hours(72);
  ASSERT_TRUE(postgres::make_lease_store(config)->upkeep());
  EXPECT_EQ(db.one("SELECT string_agg(host(network), ' ' ORDER BY network) FROM ban"), "10.0.0.20 10.0.0.50");
  config.ban_memory = std::chrono::hours(24);
  ASSERT_TRUE(postgres::make_lease_store(config)->upkeep());
  EXPECT_EQ(db.one("SELECT string_agg(host(network), ' ') FROM ban"), "10.0.0.20");
}

TEST(Partitions, UpkeepPurgesOldIdempotencyRecordsAndDeadNodes) {
  const test_database db;
  const auto leases = postgres::make_lease_store(db.stores());
  db.run("INSERT INTO idempotency SELECT gen_random_uuid(), 'x', 'y', 'z', clock_timestamp() + d * interval '1 hour' "
         "FROM unnest(ARRAY[-1, 1]) d");
  const node_info living{node_id::make(), "a", "", ""};
  ASSERT_TRUE(leases->beat(living, std::chrono::minutes(1)));
  db.run("INSERT INTO node SELECT gen_random_uuid(), 'old', '', '', clock_timestamp(), clock_timestamp() - interval '2 "
         "days'");
  ASSERT_TRUE(leases->upkeep());
  EXPECT_EQ(db.one("SELECT count(*) FROM idempotency"), "1");
  EXPECT_EQ(db.one("SELECT id FROM node"), living.id.uuid());
}

} // namespace rdev::test
