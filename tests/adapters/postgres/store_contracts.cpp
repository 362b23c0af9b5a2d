// The contracts of the store over PostgreSQL.
#include "tests/support/contracts/store_contract.hpp"
#include "tests/support/test_database.hpp"

namespace rdev::test {

namespace {

class postgres_rig final : public store_rig {
public:
  std::shared_ptr<command_store> commands() override {
    return postgres::make_command_store(db_.stores());
  }
  std::shared_ptr<output_store> output() override {
    return postgres::make_output_store(db_.stores());
  }
  std::shared_ptr<command_queries> queries() override {
    return postgres::make_command_queries(db_.stores());
  }
  std::shared_ptr<lease_store> leases() override {
    return postgres::make_lease_store(db_.stores());
  }
  std::shared_ptr<key_store> keys() override {
    return postgres::make_key_store(db_.stores());
  }
  std::shared_ptr<audit_log> audit() override {
    return postgres::make_audit_log(db_.stores());
  }
  std::shared_ptr<audit_chain_store> chain() override {
    return postgres::make_audit_chain(db_.stores());
  }
  std::shared_ptr<audit_reader> log_reader() override {
    return postgres::make_audit_reader(db_.stores());
  }
  std::shared_ptr<ban_store> bans() override {
    return postgres::make_ban_store(db_.stores());
  }
  std::shared_ptr<webhook_registry> endpoints() override {
    return postgres::make_webhook_registry(db_.stores());
  }
  std::shared_ptr<webhook_outbox> outbox() override {
    return postgres::make_webhook_outbox(db_.stores());
  }
  void happens(const std::string& event, const std::optional<std::string>& project) override {
    db_.run("INSERT INTO event (event, project) VALUES ('" + event + "', " + (project ? "'" + *project + "'" : "NULL") +
            ")");
  }
  void happened_long_ago(const std::string& action) override {
    db_.run("DO $$ BEGIN EXECUTE format('CREATE TABLE audit_log_20200101 PARTITION OF audit_log FOR VALUES FROM (%L) "
            "TO (%L)', rdev_uuid7_floor('2020-01-01T00:00Z'), rdev_uuid7_floor('2020-01-02T00:00Z')); END $$");
    db_.run("TRUNCATE audit_log, audit_seals, audit_checkpoints"); // the log begins with it
    db_.run("INSERT INTO audit_log (id, at, actor_name, action, target, outcome) "
            "VALUES (rdev_uuid7_floor('2020-01-01T01:00Z'), '2020-01-01T01:00Z', 'old', '" +
            action + "', 'x', 'done')");
  }
  void expire_idempotency() override {
    db_.run("UPDATE idempotency SET expires_at = clock_timestamp() - interval '1 second'");
  }

private:
  test_database db_;
};

std::unique_ptr<store_rig> make_rig() {
  return std::make_unique<postgres_rig>();
}

} // namespace

RDEV_INSTANTIATE_STORE_CONTRACTS(Postgres, &make_rig);

} // namespace rdev::test
