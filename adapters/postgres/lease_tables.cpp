// Lane `leases`: membership, take-over, upkeep.
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/command_rows.hpp"
#include "adapters/postgres/stores.hpp"

namespace rdev::postgres {

namespace {

// An owner may renew its own expired row: false take-overs only attach, and the tokens decide.
const std::string beat_sql = R"sql(
WITH before AS (SELECT expires_at > clock_timestamp() AS in_time FROM node WHERE id = $1)
INSERT INTO node AS n (id, name, address, runner_scope, started_at, expires_at, alive_since)
VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp() + $5::interval, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET
  name = excluded.name, address = excluded.address, runner_scope = excluded.runner_scope,
  expires_at = excluded.expires_at,
  alive_since = CASE WHEN n.expires_at > clock_timestamp() AND n.runner_scope = excluded.runner_scope THEN n.alive_since
                     ELSE excluded.alive_since END
RETURNING coalesce((SELECT in_time FROM before), true))sql";

// First the leases get new tokens, then what was stored under the old ones is read, by a statement of its own: only
// then does it see what a former owner, whom the first one had to wait for, has written to the last.
const std::string reclaim_sql = R"sql(
UPDATE lease SET token = nextval('lease_token'), attempt = attempt + 1
 WHERE node_id = $1 AND scope = $2 AND ($3::uuid[] = '{}' OR command_id = ANY ($3::uuid[])) RETURNING command_id)sql";

// Of the own scope: at once, also when the owner lives but has another runner now. Of another one: when its owner has
// been away, or in another scope, for so long ($4), and when we ourselves were there all the time: after an outage of
// the database everybody's row has expired.
const std::string adopt_sql = R"sql(
WITH me AS (SELECT alive_since FROM node WHERE id = $1 AND expires_at > clock_timestamp()), orphan AS (
  SELECT l.command_id FROM me CROSS JOIN lease l LEFT JOIN node n ON n.id = l.node_id
   WHERE CASE WHEN l.scope = $2
         THEN l.node_id <> $1 AND (n.id IS NULL OR n.expires_at < clock_timestamp() OR n.runner_scope <> l.scope)
         ELSE me.alive_since <= clock_timestamp() - $4::interval
          AND (n.id IS NULL OR n.expires_at < clock_timestamp() - $4::interval
               OR (n.runner_scope <> l.scope AND n.alive_since <= clock_timestamp() - $4::interval)) END
   LIMIT $3 FOR UPDATE OF l SKIP LOCKED
)
UPDATE lease l SET node_id = $1, token = nextval('lease_token'), attempt = l.attempt + 1 FROM orphan o
 WHERE l.command_id = o.command_id RETURNING l.command_id)sql";

const std::string taken_over_sql = "SELECT " + lease_columns + R"sql(,
  coalesce((SELECT max(o.seq) FROM output_chunk o WHERE o.command_id = l.command_id), 2) + 1,
  coalesce((SELECT o.off + octet_length(o.data) FROM output_chunk o
             WHERE o.command_id = l.command_id AND o.stream = 0 AND NOT o.marker ORDER BY o.seq DESC LIMIT 1), 0),
  coalesce((SELECT o.off + octet_length(o.data) FROM output_chunk o
             WHERE o.command_id = l.command_id AND o.stream = 1 AND NOT o.marker ORDER BY o.seq DESC LIMIT 1), 0),
  EXISTS (SELECT 1 FROM output_chunk o WHERE o.command_id = l.command_id AND o.marker)
  FROM lease l JOIN command c ON c.id = l.command_id LEFT JOIN command_secret s ON s.command_id = l.command_id
 WHERE l.command_id = ANY ($1::uuid[]))sql";

// Past its retention a command has no result any more; the age of its id tells.
const std::string over_sql = R"sql(
SELECT u.id FROM unnest($1::uuid[]) AS u(id)
 WHERE NOT EXISTS (SELECT 1 FROM lease l WHERE l.command_id = u.id)
   AND (u.id < rdev_uuid7_floor(clock_timestamp() - $2::interval)
        OR EXISTS (SELECT 1 FROM command_result r WHERE r.command_id = u.id)))sql";

const statements prepared{
    {"beat", beat_sql},
    {"reclaim", reclaim_sql},
    {"adopt", adopt_sql},
    {"taken_over", taken_over_sql},
    {"over", over_sql},
    {"held", "SELECT command_id, cancel FROM lease WHERE node_id = $1 AND scope = $2"},
    {"holds", "SELECT 1 FROM lease WHERE command_id = $1 AND token = $2"},
    {"leave", "UPDATE node SET expires_at = clock_timestamp() WHERE id = $1"},
};

class lease_tables final : public lease_store {
public:
  explicit lease_tables(const store_config& config)
      : config_(config), session_(config.conninfo, prepared, config.breakers) {
  }

  result<bool> beat(const node_info& self, std::chrono::milliseconds lease) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      return tx
          .exec_prepared1("beat", self.id.uuid(), self.name, self.address, self.runner_scope, interval_of(lease))[0]
          .as<bool>();
    });
  }

  result<std::vector<lease>> reclaim(const node_info& self, std::span<const command_id> only) override {
    return take_over([&](pqxx::transaction_base& tx) {
      return tx.exec_prepared("reclaim", self.id.uuid(), self.runner_scope, array_of(only).text());
    });
  }

  result<std::vector<lease>> adopt(const node_info& self, int most, std::chrono::milliseconds foreign_after) override {
    return take_over([&](pqxx::transaction_base& tx) {
      return tx.exec_prepared("adopt", self.id.uuid(), self.runner_scope, most, interval_of(foreign_after));
    });
  }

  result<std::vector<held_lease>> held(const node_info& self) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<held_lease> out;
      for (const auto& row : tx.exec_prepared("held", self.id.uuid(), self.runner_scope))
        out.push_back({*command_id::from_uuid(row[0].c_str()), cancel_from(row[1])});
      return out;
    });
  }

  result<bool> holds(const command_id& id, std::int64_t token) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      return !tx.exec_prepared("holds", id.uuid(), token).empty();
    });
  }

  result<std::vector<command_id>> over(std::span<const command_id> ids) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<command_id> out;
      for (const auto& row : tx.exec_prepared("over", array_of(ids).text(), interval_of(config_.record_retention)))
        out.push_back(*command_id::from_uuid(row[0].c_str()));
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
      for (const auto* table : {"command", "command_result", "event"})
        tx.exec_params("SELECT rdev_drop_partitions($1, $2::interval)", table, interval_of(config_.record_retention));
      tx.exec_params("SELECT rdev_drop_deliveries($1::interval, 10000)", interval_of(config_.webhook_retention));
      tx.exec("DELETE FROM idempotency WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency "
              "WHERE expires_at < clock_timestamp() LIMIT 10000))");
      tx.exec_params("DELETE FROM ban WHERE until < clock_timestamp() - $1::interval", interval_of(config_.ban_memory));
      tx.exec("DELETE FROM key_slot s WHERE NOT EXISTS (SELECT 1 FROM queue_item q WHERE q.command_id = s.command_id) "
              "AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.command_id = s.command_id)");
      tx.exec("DELETE FROM node WHERE expires_at < clock_timestamp() - interval '1 day' "
              "AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.node_id = node.id)");
      return done{};
    });
  }

private:
  static array_literal array_of(std::span<const command_id> ids) {
    array_literal out;
    for (const auto& id : ids)
      out.add(std::string_view(id.uuid()));
    return out;
  }

  // `retoken(tx)` gives new tokens and says to which commands.
  template <class Retoken>
  result<std::vector<lease>> take_over(Retoken retoken) {
    const auto asked_at = boot_clock_now();
    return session_.transact([&](pqxx::transaction_base& tx) {
      array_literal wanted;
      for (const auto& row : retoken(tx))
        wanted.add(std::string_view(row[0].c_str()));
      std::vector<lease> out;
      if (wanted.text() == "{}")
        return out;
      for (const auto& row : tx.exec_prepared("taken_over", wanted.text())) {
        auto& one = out.emplace_back(lease_from(row, *config_.sealer, asked_at));
        one.next_seq = row[lease_column_count].as<std::uint32_t>();
        one.out_bytes = row[lease_column_count + 1].as<std::uint64_t>();
        one.err_bytes = row[lease_column_count + 2].as<std::uint64_t>();
        one.capped = row[lease_column_count + 3].as<bool>();
      }
      return out;
    });
  }

  store_config config_;
  session session_;
};

} // namespace

std::shared_ptr<lease_store> make_lease_store(const store_config& config) {
  return std::make_shared<lease_tables>(config);
}

} // namespace rdev::postgres
