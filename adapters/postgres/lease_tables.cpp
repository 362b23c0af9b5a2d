// Lane `leases`: membership, take-over, upkeep.
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/command_rows.hpp"
#include "adapters/postgres/stores.hpp"

namespace rdev::postgres {

namespace {

// An owner may renew its own expired row: false take-overs only attach, and the tokens decide.
const std::string beat_sql = R"sql(
INSERT INTO node AS n (id, name, address, runner_scope, started_at, expires_at)
VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp() + $5::interval)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, address = excluded.address, runner_scope = excluded.runner_scope,
                               expires_at = excluded.expires_at
RETURNING 1)sql";

// First the leases get new tokens, then what was stored under the old ones is read, by a statement of its own: only
// then does it see what a former owner, whom the first one had to wait for, has written to the last.
const std::string reclaim_sql = "UPDATE lease SET token = nextval('lease_token'), attempt = attempt + 1 "
                                "WHERE node_id = $1 RETURNING command_id";

const std::string adopt_sql =
    "WITH orphan AS (SELECT l.command_id FROM lease l LEFT JOIN node n ON n.id = l.node_id "
    "WHERE l.node_id <> $1 AND (n.id IS NULL OR n.expires_at < clock_timestamp()) LIMIT $2 FOR UPDATE OF l SKIP "
    "LOCKED) "
    "UPDATE lease l SET node_id = $1, token = nextval('lease_token'), attempt = l.attempt + 1 FROM orphan o "
    "WHERE l.command_id = o.command_id RETURNING l.command_id";

const std::string taken_over_sql =
    "SELECT " + lease_columns +
    ", coalesce((SELECT max(o.seq) FROM output_chunk o WHERE o.command_id = l.command_id), 2) + 1, "
    "coalesce((SELECT o.off + octet_length(o.data) FROM output_chunk o WHERE o.command_id = l.command_id AND o.stream "
    "= 0 "
    "AND NOT o.marker ORDER BY o.seq DESC LIMIT 1), 0), "
    "coalesce((SELECT o.off + octet_length(o.data) FROM output_chunk o WHERE o.command_id = l.command_id AND o.stream "
    "= 1 "
    "AND NOT o.marker ORDER BY o.seq DESC LIMIT 1), 0) "
    "FROM lease l JOIN command c ON c.id = l.command_id LEFT JOIN command_secret s ON s.command_id = l.command_id "
    "WHERE l.command_id = ANY ($1::uuid[])";

const statements prepared{
    {"beat", beat_sql},
    {"reclaim", reclaim_sql},
    {"adopt", adopt_sql},
    {"taken_over", taken_over_sql},
    {"cancels", "SELECT command_id, cancel FROM lease WHERE node_id = $1 AND cancel IS NOT NULL"},
    {"leave", "UPDATE node SET expires_at = clock_timestamp() WHERE id = $1"},
};

class lease_tables final : public lease_store {
public:
  explicit lease_tables(const store_config& config) : config_(config), session_(config.conninfo, prepared) {
  }

  result<bool> beat(const node_info& self, std::chrono::milliseconds lease) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      return !tx.exec_prepared("beat", self.id.uuid(), self.name, self.address, self.runner_scope, interval_of(lease))
                  .empty();
    });
  }

  result<std::vector<lease>> reclaim(const node_id& self) override {
    return session_.transact(
        [&](pqxx::transaction_base& tx) { return taken_over(tx, tx.exec_prepared("reclaim", self.uuid())); });
  }

  result<std::vector<lease>> adopt(const node_id& self, int most) override {
    return session_.transact(
        [&](pqxx::transaction_base& tx) { return taken_over(tx, tx.exec_prepared("adopt", self.uuid(), most)); });
  }

  result<std::vector<std::pair<command_id, cancel_reason>>> cancels(const node_id& self) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<std::pair<command_id, cancel_reason>> out;
      for (const auto& row : tx.exec_prepared("cancels", self.uuid()))
        out.emplace_back(*command_id::from_uuid(row[0].c_str()),
                         std::string_view(row[1].c_str()) == "timeout" ? cancel_reason::timeout : cancel_reason::user);
      return out;
    });
  }

  result<done> leave(const node_id& self) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("leave", self.uuid());
      return done{};
    });
  }

  result<done> upkeep() override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      tx.exec("SELECT rdev_make_partitions()");
      tx.exec_params("SELECT rdev_drop_partitions('output_chunk', $1::interval)",
                     interval_of(config_.output_retention));
      for (const auto* table : {"command", "command_result", "audit_log", "event"})
        tx.exec_params("SELECT rdev_drop_partitions($1, $2::interval)", table, interval_of(config_.record_retention));
      tx.exec("DELETE FROM idempotency WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency "
              "WHERE expires_at < clock_timestamp() LIMIT 10000))");
      tx.exec("DELETE FROM node WHERE expires_at < clock_timestamp() - interval '1 day' "
              "AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.node_id = node.id)");
      return done{};
    });
  }

private:
  std::vector<lease> taken_over(pqxx::transaction_base& tx, const pqxx::result& ids) {
    if (ids.empty())
      return {};
    array_literal wanted;
    for (const auto& row : ids)
      wanted.add(std::string_view(row[0].c_str()));
    return leases_from(tx.exec_prepared("taken_over", wanted.text()));
  }

  // A command whose env cannot be opened is attached to all the same: it was started, or it will fail to start.
  std::vector<lease> leases_from(const pqxx::result& rows) {
    std::vector<lease> out;
    for (const auto& row : rows) {
      auto one = lease_from(row, *config_.sealer);
      if (!one)
        continue;
      one->next_seq = row[15].as<std::uint32_t>();
      one->out_bytes = row[16].as<std::uint64_t>();
      one->err_bytes = row[17].as<std::uint64_t>();
      out.push_back(std::move(*one));
    }
    return out;
  }

  store_config config_;
  session session_;
};

} // namespace

std::shared_ptr<lease_store> make_lease_store(const store_config& config) {
  return std::make_shared<lease_tables>(config);
}

} // namespace rdev::postgres
