// Lane `bans`.
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/command_rows.hpp"
#include "adapters/postgres/stores.hpp"

namespace rdev::postgres {

namespace {

// A network without a prefix length stands for a single address, which PostgreSQL prints so too.
const std::string columns =
    "b.id, host(b.network) || '/' || masklen(b.network), (extract(epoch FROM b.since) * 1000000)::bigint, "
    "(extract(epoch FROM b.until) * 1000000)::bigint, b.strikes, "
    "(extract(epoch FROM b.until - clock_timestamp()) * 1000)::bigint ";

// Of several nodes that lock the same network out at once, the longest ban counts, and one says so.
const std::string impose_sql = R"sql(
WITH v AS (UPDATE ban_version SET version = version + 1), t AS MATERIALIZED (SELECT clock_timestamp() AS now), b AS (
  INSERT INTO ban AS b (id, network, since, until, strikes, failures)
  SELECT id, network, t.now, t.now + length, strikes, failures
    FROM t CROSS JOIN unnest($1::uuid[], $2::cidr[], $3::interval[], $4::int[], $5::int[]) AS u(id, network, length, strikes, failures)
   ORDER BY network
  ON CONFLICT (network) DO UPDATE SET
    id       = CASE WHEN b.until > clock_timestamp() THEN b.id ELSE excluded.id END,
    since    = CASE WHEN b.until > clock_timestamp() THEN b.since ELSE excluded.since END,
    strikes  = CASE WHEN b.until > clock_timestamp() THEN greatest(b.strikes, excluded.strikes) ELSE excluded.strikes END,
    until    = greatest(b.until, excluded.until),
    failures = excluded.failures
  RETURNING *
), fresh AS (SELECT * FROM b WHERE id = ANY ($1::uuid[])), a AS (
  INSERT INTO audit_log (actor_name, action, target, outcome, client_ip, detail)
  SELECT 'system', 'auth.lockout', host(network) || '/' || masklen(network), 'done', host(network),
         jsonb_build_object('ban', id, 'until', rdev_time(until), 'strikes', strikes, 'failures', failures) FROM fresh
), e AS (
  INSERT INTO event (event, data)
  SELECT 'auth.lockout', jsonb_build_object('ban', id, 'network', host(network) || '/' || masklen(network),
                                            'until', rdev_time(until), 'strikes', strikes, 'failures', failures) FROM fresh
)
SELECT )sql" + columns + "FROM fresh b";

// The answer's first column: whether the writer's key is what it was.
const std::string lift_sql = R"sql(
WITH writer AS MATERIALIZED (SELECT 1 WHERE rdev_may_write($2::uuid, $7::int)
), b AS (
  SELECT * FROM ban WHERE id = $1::uuid AND until > clock_timestamp() AND EXISTS (SELECT 1 FROM writer) FOR UPDATE
), lifted AS (
  UPDATE ban SET until = clock_timestamp(), strikes = 0 FROM b WHERE ban.id = b.id
), v AS (UPDATE ban_version SET version = version + 1 WHERE EXISTS (SELECT 1 FROM b)), a AS (
  INSERT INTO audit_log (actor_key, actor_name, action, target, outcome, client_ip, request_id, trace_id, detail)
  SELECT $2::uuid, $3, 'ban.lift', id::text, 'allowed', $4, $5, $6,
         jsonb_build_object('network', host(network) || '/' || masklen(network)) FROM b
)
SELECT EXISTS (SELECT 1 FROM writer), )sql" +
                             columns + " FROM (VALUES (1)) AS one LEFT JOIN b ON true";

const statements prepared{
    {"impose", impose_sql},
    {"lift", lift_sql},
    {"all", "SELECT " + columns + "FROM ban b WHERE b.until > clock_timestamp() - $1::interval ORDER BY b.id DESC"},
    {"list",
     "SELECT " + columns + "FROM ban b WHERE b.until > clock_timestamp() AND b.id < $1 ORDER BY b.id DESC LIMIT $2"},
    {"version", "SELECT version FROM ban_version"},
};

ban ban_from(const pqxx::row& row, int first = 0) {
  const auto at = [&](int i) { return row[static_cast<pqxx::row::size_type>(first + i)]; };
  return {*ban_id::from_uuid(at(0).c_str()),
          ip_network::parse(at(1).c_str()).value_or(ip_network{}),
          time_of(at(2)),
          time_of(at(3)),
          at(4).as<int>(),
          std::chrono::milliseconds(at(5).as<std::int64_t>())};
}

class ban_table final : public ban_store {
public:
  explicit ban_table(const store_config& config) : session_(config.conninfo, prepared, config.breakers) {
  }

  result<std::vector<ban>> impose(std::span<const new_ban> bans) override {
    array_literal ids, networks, lengths, strikes, failures;
    for (const auto& one : bans) {
      ids.add(std::string_view(ban_id::make().uuid()));
      networks.add(std::string_view(one.network.text()));
      lengths.add(std::string_view(interval_of(one.for_so_long)));
      strikes.add_number(one.strikes);
      failures.add_number(one.failures);
    }
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      std::vector<ban> out;
      for (const auto& row :
           tx.exec_prepared("impose", ids.text(), networks.text(), lengths.text(), strikes.text(), failures.text()))
        out.push_back(ban_from(row));
      return out;
    });
  }

  result<std::vector<ban>> all(std::chrono::milliseconds memory) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<ban> out;
      for (const auto& row : tx.exec_prepared("all", interval_of(memory)))
        out.push_back(ban_from(row));
      return out;
    });
  }

  result<std::int64_t> version() override {
    return session_.single(
        effect::reads, [&](pqxx::transaction_base& tx) { return tx.exec_prepared1("version")[0].as<std::int64_t>(); });
  }

  result<page<ban>> list(const page_request& at) override {
    const auto from = at.cursor ? ban_id::parse(*at.cursor) : std::nullopt;
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      page<ban> out;
      for (const auto& row :
           tx.exec_prepared("list", from ? from->uuid() : "ffffffff-ffff-ffff-ffff-ffffffffffff", at.limit + 1))
        out.items.push_back(ban_from(row));
      if (out.items.size() > static_cast<std::size_t>(at.limit)) {
        out.items.pop_back();
        out.next_cursor = out.items.back().id.text();
      }
      return out;
    });
  }

  result<std::optional<ban>> lift(const ban_id& id, const key_writer& writer) override {
    const auto by = writer.by ? std::optional(writer.by->uuid()) : std::nullopt;
    bool good = false;
    auto lifted = session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const auto row = tx.exec_prepared1("lift", id.uuid(), or_null(by), writer.actor_name, writer.from.client_ip,
                                         writer.from.request_id, writer.from.trace_id, writer.revision);
      good = row[0].as<bool>();
      return row[1].is_null() ? std::nullopt : std::optional(ban_from(row, 1));
    });
    if (lifted && !good)
      return failure{fault::key_changed, "the writer's key was revoked or changed meanwhile"};
    return lifted;
  }

private:
  session session_;
};

} // namespace

std::shared_ptr<ban_store> make_ban_store(const store_config& config) {
  return std::make_shared<ban_table>(config);
}

} // namespace rdev::postgres
