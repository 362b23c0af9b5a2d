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
