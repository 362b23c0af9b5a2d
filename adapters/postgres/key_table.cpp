#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/command_rows.hpp"
#include "adapters/postgres/stores.hpp"

#include <tuple>

namespace rdev::postgres {

namespace {

const std::string columns =
    "k.id, k.name, k.key_prefix, k.key_hash, k.hash_scheme, k.scopes, k.project_ids, k.allowed_ips, k.rate_limit, "
    "(extract(epoch FROM k.created_at) * 1000000)::bigint, k.created_by, "
    "(extract(epoch FROM k.expires_at) * 1000000)::bigint, (extract(epoch FROM k.last_used_at) * 1000000)::bigint, "
    "(extract(epoch FROM k.revoked_at) * 1000000)::bigint, k.revoked_by, k.rotated_from, k.family, "
    "k.concurrency_limit, k.last_used_ip, k.revision ";
constexpr int column_count = 20;

// Key, audit row, event row and idempotency record in one statement; nothing is written for a writer whose key has been
// revoked meanwhile. A rotation lowers the end of the old key in the same breath.
const std::string create_sql = R"sql(
WITH writer AS (
  SELECT 1 WHERE $12::uuid IS NULL
  UNION ALL
  SELECT 1 FROM api_keys w WHERE w.id = $12::uuid AND w.revoked_at IS NULL AND w.revision = $25::int
     AND (w.expires_at IS NULL OR w.expires_at > clock_timestamp())
), source AS MATERIALIZED (
  SELECT k.id FROM api_keys k WHERE k.id = $13::uuid AND k.revoked_at IS NULL AND k.revision = $26::int
     AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp()) FOR UPDATE
), fit AS MATERIALIZED (
  SELECT 1 FROM writer WHERE $13::uuid IS NULL OR EXISTS (SELECT 1 FROM source)
), idem AS (
  INSERT INTO idempotency AS i (family, scope_hash, body_digest, resource, expires_at)
  SELECT $18::uuid, $19::bytea, $20::bytea, $1::text, clock_timestamp() + $21::interval FROM fit WHERE $19::bytea IS NOT NULL
  ON CONFLICT (family, scope_hash) DO UPDATE SET
    resource    = CASE WHEN i.expires_at < statement_timestamp() THEN excluded.resource ELSE i.resource END,
    body_digest = CASE WHEN i.expires_at < statement_timestamp() THEN excluded.body_digest ELSE i.body_digest END,
    expires_at  = CASE WHEN i.expires_at < statement_timestamp() THEN excluded.expires_at ELSE i.expires_at END
  RETURNING resource, body_digest
), verdict AS (
  SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM writer) THEN 'writer_changed'
              WHEN NOT EXISTS (SELECT 1 FROM fit) THEN 'stale'
              WHEN NOT EXISTS (SELECT 1 FROM idem WHERE resource <> $1::text) THEN 'created'
              WHEN EXISTS (SELECT 1 FROM idem WHERE body_digest = $20::bytea) THEN 'replayed'
              ELSE 'conflict' END AS v
), made AS (
  INSERT INTO api_keys (id, name, key_prefix, key_hash, hash_scheme, scopes, project_ids, allowed_ips, rate_limit,
                        expires_at, created_by, rotated_from, family, concurrency_limit)
  SELECT $1::uuid, $2, $3, $4::bytea, $5, $6::text[], $7::text[], $8::text[], $9::int, $10::timestamptz, $11::uuid, $13::uuid,
         $14::uuid, $24::int FROM verdict WHERE v = 'created'
  RETURNING id
), old AS (
  UPDATE api_keys k SET expires_at = least(k.expires_at, clock_timestamp() + $22::interval), expiry_told = 0,
         revision = k.revision + 1
    FROM made WHERE k.id = $13::uuid RETURNING k.id
), raised AS MATERIALIZED (SELECT old.id, rdev_raise_epoch() AS epoch FROM old
), a AS (
  INSERT INTO audit_log (actor_key, actor_name, action, target, outcome, client_ip, request_id, trace_id, detail)
  SELECT $12::uuid, $15, CASE WHEN $13::uuid IS NULL THEN 'key.create' ELSE 'key.rotate' END, made.id::text, 'allowed', $16, $17,
         $23, jsonb_build_object('name', $27::text, 'prefix', $3::text, 'scopes', $6::text[], 'project_ids', $7::text[],
                                 'allowed_ips', $8::text[], 'rotated_from', $13::uuid) FROM made
), e AS (
  INSERT INTO event (event, key_id, data)
  SELECT CASE WHEN $13::uuid IS NULL THEN 'key.created' ELSE 'key.rotated' END, made.id, jsonb_build_object('prefix', $3::text)
    FROM made
)
SELECT v, (SELECT resource FROM idem), coalesce((SELECT epoch FROM raised), 0),
       (SELECT pg_notify('rdev_keys', id || ' ' || epoch) FROM raised)::text
  FROM verdict)sql";

// `done` is one of the two statements below. What is last sees the rows as they were before.
const std::string writer_sql = R"sql(
WITH writer AS (
  SELECT 1 WHERE $2::uuid IS NULL
  UNION ALL
  SELECT 1 FROM api_keys w WHERE w.id = $2::uuid AND w.revoked_at IS NULL AND w.revision = $7::int
     AND (w.expires_at IS NULL OR w.expires_at > clock_timestamp())
), )sql";

// First the key's lock, then that of the epoch, as in a change and a rotation: the other way round they would deadlock.
const std::string revoke_sql = writer_sql + R"sql(target AS MATERIALIZED (
  SELECT k.id FROM api_keys k, writer WHERE k.id = $1::uuid AND k.revoked_at IS NULL FOR UPDATE OF k
), raised AS MATERIALIZED (SELECT target.id, rdev_raise_epoch() AS epoch FROM target
), done AS (
  UPDATE api_keys k SET revoked_at = clock_timestamp(), revoked_by = $2::uuid, revoked_epoch = raised.epoch
    FROM raised WHERE k.id = raised.id
  RETURNING k.id, k.key_prefix, k.revoked_epoch
), a AS (
  INSERT INTO audit_log (actor_key, actor_name, action, target, outcome, client_ip, request_id, trace_id)
  SELECT $2::uuid, $3, 'key.revoke', id::text, 'allowed', $4, $5, $6 FROM done
), e AS (
  INSERT INTO event (event, key_id, data) SELECT 'key.revoked', id, jsonb_build_object('prefix', key_prefix) FROM done
)
SELECT EXISTS (SELECT 1 FROM writer), true, coalesce((SELECT revoked_epoch FROM done), (SELECT epoch FROM auth_epoch)),
       (SELECT pg_notify('rdev_keys', id || ' ' || revoked_epoch || ' revoked') FROM done)::text)sql";

const std::string change_sql = writer_sql + R"sql(done AS (
  UPDATE api_keys k SET name = $8, scopes = $9::text[], project_ids = $10::text[], allowed_ips = $11::text[],
         rate_limit = $12::int, concurrency_limit = $13::int, expires_at = $14::timestamptz,
         expiry_told = CASE WHEN k.expires_at IS NOT DISTINCT FROM $14::timestamptz THEN k.expiry_told END,
         revision = k.revision + 1
    FROM writer WHERE k.id = $1::uuid AND k.revoked_at IS NULL AND k.revision = $15::int
  RETURNING k.id, k.concurrency_limit
), slots AS (
  INSERT INTO key_slot (command_id, key_id)
  SELECT c.id, done.id FROM done CROSS JOIN (SELECT command_id FROM queue_item UNION SELECT command_id FROM lease) AS open
    JOIN command c ON c.id = open.command_id AND c.key_id = done.id
   WHERE done.concurrency_limit IS NOT NULL
  ON CONFLICT DO NOTHING
), raised AS MATERIALIZED (SELECT done.id, rdev_raise_epoch() AS epoch FROM done
), a AS (
  INSERT INTO audit_log (actor_key, actor_name, action, target, outcome, client_ip, request_id, trace_id, detail)
  SELECT $2::uuid, $3, 'key.change', id::text, 'allowed', $4, $5, $6,
         jsonb_build_object('name', $16::text, 'scopes', $9::text[], 'project_ids', $10::text[], 'allowed_ips', $11::text[],
                            'rate_limit', $12::int, 'concurrency_limit', $13::int, 'expires_at', $14::timestamptz)
    FROM raised
)
SELECT EXISTS (SELECT 1 FROM writer), EXISTS (SELECT 1 FROM done), coalesce((SELECT epoch FROM raised), (SELECT epoch FROM auth_epoch)),
       (SELECT pg_notify('rdev_keys', id || ' ' || epoch) FROM raised)::text)sql";

// It is done at each start, and on record when it changes something.
const std::string set_admin_sql = R"sql(
WITH before AS MATERIALIZED (
  SELECT k.key_hash, k.revoked_at, k.expires_at FROM api_keys k WHERE k.key_prefix = 'admin'
), now AS (
  INSERT INTO api_keys (id, name, key_prefix, key_hash, hash_scheme, scopes, family)
  VALUES ($1::uuid, 'admin', 'admin', $2::bytea, 1, '{admin}', $1::uuid)
  ON CONFLICT (key_prefix) DO UPDATE SET key_hash = excluded.key_hash, hash_scheme = 1, revoked_at = NULL, expires_at = NULL
  RETURNING id
)
INSERT INTO audit_log (actor_name, action, target, outcome)
SELECT 'system', 'key.set_admin', id::text, 'done' FROM now
 WHERE NOT EXISTS (SELECT 1 FROM before WHERE key_hash = $2::bytea AND revoked_at IS NULL AND expires_at IS NULL))sql";

// The first networks of a key are taken for granted: there is nothing yet that they could differ from.
const std::string note_uses_sql = R"sql(
WITH use AS MATERIALIZED (
  SELECT u.* FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[]) AS u(id, at, ip, network)
    JOIN api_keys k ON k.id = u.id
), latest AS (
  SELECT DISTINCT ON (id) id, at, ip FROM use ORDER BY id, at DESC
), used AS (
  UPDATE api_keys k SET last_used_at = l.at, last_used_ip = l.ip FROM latest l
   WHERE k.id = l.id AND (k.last_used_at IS NULL OR k.last_used_at < l.at)
), fresh AS (
  INSERT INTO key_network (key_id, network)
  SELECT DISTINCT id, network FROM use u WHERE network <> ''
     AND NOT EXISTS (SELECT 1 FROM key_network n WHERE n.key_id = u.id AND n.network = u.network)
  ON CONFLICT DO NOTHING RETURNING key_id, network
), odd AS MATERIALIZED (
  SELECT f.key_id, k.key_prefix, f.network,
         (SELECT max(u.ip) FROM use u WHERE u.id = f.key_id AND u.network = f.network) AS ip
    FROM fresh f JOIN api_keys k ON k.id = f.key_id
   WHERE EXISTS (SELECT 1 FROM key_network n WHERE n.key_id = f.key_id)
), a AS (
  INSERT INTO audit_log (actor_key, actor_name, action, target, outcome, reason, client_ip, detail)
  SELECT key_id, key_prefix, 'auth.anomaly', key_id::text, 'noticed', 'new_network', ip,
         jsonb_build_object('network', network) FROM odd
), e AS (
  INSERT INTO event (event, key_id, data)
  SELECT 'auth.anomaly', key_id, jsonb_build_object('kind', 'new_network', 'prefix', key_prefix, 'client_ip', ip,
                                                    'detail', network) FROM odd
)
SELECT key_id, key_prefix, ip, network FROM odd)sql";

const std::string note_anomalies_sql = R"sql(
WITH odd AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
             AS u(key_id, kind, prefix, ip, detail)
), a AS (
  INSERT INTO audit_log (actor_key, actor_name, action, target, outcome, reason, client_ip, detail)
  SELECT key_id, prefix, 'auth.anomaly', key_id::text, 'noticed', kind, ip, jsonb_build_object('detail', detail) FROM odd
)
INSERT INTO event (event, key_id, data)
SELECT 'auth.anomaly', key_id, jsonb_build_object('kind', kind, 'prefix', prefix, 'client_ip', ip, 'detail', detail)
  FROM odd)sql";

// A day is announced only to keys that were made to live longer than that.
const std::string announce_sql = R"sql(
WITH due AS (
  SELECT id, least_day AS days FROM api_keys
   CROSS JOIN LATERAL (SELECT min(d) AS least_day FROM unnest(ARRAY[14, 7, 1]) AS d
                        WHERE expires_at <= clock_timestamp() + d * interval '1 day'
                          AND expires_at - created_at > d * interval '1 day') AS ahead
   WHERE revoked_at IS NULL AND expires_at > clock_timestamp() AND expires_at <= clock_timestamp() + interval '14 days'
), told AS (
  UPDATE api_keys k SET expiry_told = due.days FROM due
   WHERE k.id = due.id AND due.days IS NOT NULL AND (k.expiry_told IS NULL OR k.expiry_told > due.days)
     AND k.revoked_at IS NULL
  RETURNING k.id, k.name, k.key_prefix, k.expires_at, due.days
)
INSERT INTO event (event, key_id, data)
SELECT 'key.expiring', id,
       jsonb_build_object('prefix', key_prefix, 'name', name, 'expires_at', expires_at, 'days', days) FROM told)sql";

const statements prepared{
    {"note_uses", note_uses_sql},
    {"note_anomalies", note_anomalies_sql},
    {"announce", announce_sql},
    {"by_prefix", "SELECT " + columns + "FROM api_keys k WHERE k.key_prefix = ANY ($1::text[])"},
    {"by_id", "SELECT " + columns + "FROM api_keys k WHERE k.id = $1"},
    {"running",
     "SELECT " + columns +
         ", c.id, c.project FROM lease l JOIN command c ON c.id = l.command_id JOIN api_keys k ON k.id = c.key_id "
         "WHERE l.command_id = ANY ($1::uuid[])"},
    {"list", "SELECT " + columns +
                 "FROM api_keys k WHERE k.id < $1 AND ($2::text[] IS NULL OR k.project_ids <@ $2::text[]) "
                 "AND ($4::interval IS NULL OR (k.revoked_at IS NULL "
                 "AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp()) "
                 "AND coalesce(k.last_used_at, k.created_at) < clock_timestamp() - $4::interval)) "
                 "ORDER BY k.id DESC LIMIT $3"},
    {"create", create_sql},
    {"change", change_sql},
    {"revoke", revoke_sql},
    {"set_admin", set_admin_sql},
    {"settle_pepper", "UPDATE auth_epoch SET pepper_check = coalesce(pepper_check, $1::bytea) "
                      "RETURNING pepper_check IS NOT DISTINCT FROM $1::bytea"},
    {"epoch", "SELECT epoch FROM auth_epoch"},
    {"revoked_since", "SELECT id FROM api_keys WHERE revoked_epoch > $1"},
    {"saw", "UPDATE node SET seen_epoch = $2 WHERE id = $1 AND seen_epoch <> $2"},
    {"least_seen", "SELECT min(seen_epoch) FROM node WHERE id <> $1 AND expires_at > clock_timestamp() - $2::interval"},
};

std::optional<std::vector<std::string>> maybe_list(const pqxx::field& f) {
  return f.is_null() ? std::nullopt : std::optional(elements_of(f.c_str()));
}

std::optional<key_id> maybe_key(const pqxx::field& f) {
  return f.is_null() ? std::nullopt : key_id::from_uuid(f.c_str());
}

std::optional<std::string> uuid_of(const std::optional<key_id>& id) {
  return id ? std::optional(id->uuid()) : std::nullopt;
}

std::optional<std::string> text_of_number(const std::optional<int>& n) {
  return n ? std::optional(std::to_string(*n)) : std::nullopt;
}

api_key key_from(const pqxx::row& row) {
  api_key k;
  k.id = *key_id::from_uuid(row[0].c_str());
  k.name = row[1].c_str();
  k.prefix = row[2].c_str();
  const auto hash = bytes_of_hex(row[3].c_str());
  std::copy_n(hash.begin(), std::min(hash.size(), k.hash.size()), k.hash.begin());
  k.hash_scheme = row[4].as<std::int16_t>();
  for (const auto& name : elements_of(row[5].c_str()))
    if (const auto s = scope_from(name))
      k.granted.add(*s);
  k.project_ids = maybe_list(row[6]);
  k.allowed_ips = maybe_list(row[7]);
  if (!row[8].is_null())
    k.rate_limit = row[8].as<int>();
  k.created_at = time_of(row[9]);
  k.created_by = maybe_key(row[10]);
  k.expires_at = maybe_time_of(row[11]);
  k.last_used_at = maybe_time_of(row[12]);
  k.revoked_at = maybe_time_of(row[13]);
  k.revoked_by = maybe_key(row[14]);
  k.rotated_from = maybe_key(row[15]);
  k.family = *key_id::from_uuid(row[16].c_str());
  if (!row[17].is_null())
    k.concurrency_limit = row[17].as<int>();
  k.last_used_ip = row[18].c_str();
  k.revision = row[19].as<int>();
  return k;
}

class key_table final : public key_store {
public:
  explicit key_table(const store_config& config)
      : config_(config), session_(config.conninfo, prepared, config.breakers) {
  }

  result<std::vector<api_key>> find_by_prefix(std::span<const std::string> prefixes) override {
    array_literal wanted;
    for (const auto& one : prefixes)
      wanted.add(std::string_view(one));
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<api_key> out;
      for (const auto& row : tx.exec_prepared("by_prefix", wanted.text()))
        out.push_back(key_from(row));
      return out;
    });
  }

  result<std::optional<api_key>> find(const key_id& id) override {
    return one("by_id", id.uuid());
  }

  result<std::vector<running_command>> find_running(std::span<const command_id> commands) override {
    array_literal wanted;
    for (const auto& one : commands)
      wanted.add(std::string_view(one.uuid()));
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<running_command> out;
      for (const auto& row : tx.exec_prepared("running", wanted.text()))
        out.push_back(
            {*command_id::from_uuid(row[column_count].c_str()), row[column_count + 1].c_str(), key_from(row)});
      return out;
    });
  }

  result<page<api_key>> list(const page_request& at, const std::optional<std::vector<std::string>>& projects,
                             std::optional<std::chrono::seconds> unused_for) override {
    const auto from = at.cursor ? key_id::parse(*at.cursor) : std::nullopt;
    const auto filter = projects ? std::optional(array_of(*projects)) : std::nullopt;
    const auto unused = unused_for ? std::optional(interval_of(*unused_for)) : std::nullopt;
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      page<api_key> out;
      for (const auto& row : tx.exec_prepared("list", from ? from->uuid() : "ffffffff-ffff-ffff-ffff-ffffffffffff",
                                              or_null(filter), at.limit + 1, or_null(unused)))
        out.items.push_back(key_from(row));
      if (out.items.size() > static_cast<std::size_t>(at.limit)) {
        out.items.pop_back();
        out.next_cursor = out.items.back().id.text();
      }
      return out;
    });
  }

  result<mint_receipt> create(const api_key& key, std::chrono::seconds overlap, const key_writer& writer) override {
    std::optional<std::string> scope;
    std::optional<std::string> digest;
    if (writer.idempotency) {
      scope = bytea_hex(as_bytes(scope_of(writer.from, *writer.idempotency)));
      digest = bytea_hex(as_bytes(config_.sealer->mac(as_bytes(writer.idempotency->body_digest))));
    }
    std::string resource;
    std::int64_t epoch = 0;
    auto verdict = session_.transact([&](pqxx::transaction_base& tx) {
      const auto row = insert(tx, key, overlap, writer, scope, digest);
      resource = row[1].is_null() ? key.id.uuid() : row[1].c_str();
      epoch = row[2].as<std::int64_t>();
      return std::string(row[0].c_str());
    });
    if (!verdict)
      return std::move(verdict.error());
    if (*verdict == "writer_changed")
      return mint_receipt{mint_verdict::writer_changed, {}, 0};
    if (*verdict == "stale")
      return mint_receipt{mint_verdict::stale, {}, 0};
    if (*verdict == "conflict")
      return mint_receipt{mint_verdict::conflict, {}, 0};
    auto stored = one("by_id", resource);
    if (!stored)
      return std::move(stored.error());
    if (!*stored)
      return failure{fault::internal, "a key that was just written is not there"};
    if (*verdict == "created")
      return mint_receipt{mint_verdict::created, std::move(**stored), epoch};
    // A replay shows the key as it was made.
    (*stored)->revoked_at.reset();
    (*stored)->revoked_by.reset();
    (*stored)->last_used_at.reset();
    return mint_receipt{mint_verdict::replayed, std::move(**stored), 0};
  }

  result<change_receipt> change(const api_key& key, const key_writer& writer) override {
    const auto projects = key.project_ids ? std::optional(array_of(*key.project_ids)) : std::nullopt;
    const auto addresses = key.allowed_ips ? std::optional(array_of(*key.allowed_ips)) : std::nullopt;
    const auto rate = text_of_number(key.rate_limit);
    const auto at_once = text_of_number(key.concurrency_limit);
    const auto expires = text_of(key.expires_at);
    const auto by = uuid_of(writer.by);
    return changed(key.id, [&](pqxx::transaction_base& tx) {
      return tx.exec_prepared1("change", key.id.uuid(), or_null(by), writer.actor_name, writer.from.client_ip,
                               writer.from.request_id, writer.from.trace_id, writer.revision, key.name,
                               array_of(key.granted.names()), or_null(projects), or_null(addresses), or_null(rate),
                               or_null(at_once), or_null(expires), key.revision,
                               cleaned(config_.audited.get(), key.name));
    });
  }

  result<change_receipt> revoke(const key_id& id, const key_writer& writer) override {
    const auto by = uuid_of(writer.by);
    return changed(id, [&](pqxx::transaction_base& tx) {
      return tx.exec_prepared1("revoke", id.uuid(), or_null(by), writer.actor_name, writer.from.client_ip,
                               writer.from.request_id, writer.from.trace_id, writer.revision);
    });
  }

  result<std::vector<anomaly>> note_uses(const std::vector<key_use>& uses) override {
    array_literal ids, times, addresses, networks;
    for (const auto& use : uses) {
      ids.add(std::string_view(use.key.uuid()));
      times.add(std::string_view(text_of(use.at)));
      addresses.add(std::string_view(use.client_ip));
      networks.add(std::string_view(use.network));
    }
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      std::vector<anomaly> out;
      for (const auto& row : tx.exec_prepared("note_uses", ids.text(), times.text(), addresses.text(), networks.text()))
        out.push_back({anomaly_kind::new_network, *key_id::from_uuid(row[0].c_str()), row[1].c_str(), row[2].c_str(),
                       row[3].c_str()});
      return out;
    });
  }

  result<done> note_anomalies(const std::vector<anomaly>& seen) override {
    array_literal ids, kinds, prefixes, addresses, details;
    for (const auto& one : seen) {
      ids.add(std::string_view(one.key.uuid()));
      kinds.add(name_of(one.kind));
      prefixes.add(std::string_view(one.prefix));
      addresses.add(std::string_view(one.client_ip));
      details.add(std::string_view(one.detail));
    }
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("note_anomalies", ids.text(), kinds.text(), prefixes.text(), addresses.text(), details.text());
      return done{};
    });
  }

  result<int> announce_expiries() override {
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      return static_cast<int>(tx.exec_prepared("announce").affected_rows());
    });
  }

  result<epoch_news> news_since(std::int64_t since) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      // First the epoch: what is revoked between the two is news now and again the next time.
      epoch_news out{tx.exec_prepared1("epoch")[0].as<std::int64_t>(), {}};
      if (out.epoch > since)
        for (const auto& row : tx.exec_prepared("revoked_since", since))
          out.revoked.push_back(*key_id::from_uuid(row[0].c_str()));
      return out;
    });
  }

  result<done> saw(const node_id& node, std::int64_t epoch) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("saw", node.uuid(), epoch);
      return done{};
    });
  }

  result<std::optional<std::int64_t>> least_seen(const node_id& except, std::chrono::milliseconds grace) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) -> std::optional<std::int64_t> {
      const auto row = tx.exec_prepared1("least_seen", except.uuid(), interval_of(grace));
      return row[0].is_null() ? std::nullopt : std::optional(row[0].as<std::int64_t>());
    });
  }

  result<done> set_admin(const key_digest& hash) override {
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("set_admin", key_id::make().uuid(), bytea_hex(as_bytes(hash)));
      return done{};
    });
  }

  result<bool> settle_pepper(const std::optional<key_digest>& check) override {
    const auto bytes = check ? std::optional(bytea_hex(as_bytes(*check))) : std::nullopt;
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      return tx.exec_prepared1("settle_pepper", or_null(bytes))[0].as<bool>();
    });
  }

private:
  result<std::optional<api_key>> one(const char* statement, const std::string& value) {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) -> std::optional<api_key> {
      const auto rows = tx.exec_prepared(statement, value);
      return rows.empty() ? std::nullopt : std::optional(key_from(rows[0]));
    });
  }

  // `write(tx)` answers: is the writer's key what it was, and the key, the epoch.
  template <class Write>
  result<change_receipt> changed(const key_id& id, Write write) {
    auto written = session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const pqxx::row row = write(tx);
      return std::tuple(row[0].as<bool>(), row[1].as<bool>(), row[2].as<std::int64_t>());
    });
    if (!written)
      return std::move(written.error());
    const auto [writer_fits, key_fits, epoch] = *written;
    if (!writer_fits)
      return change_receipt{change_verdict::writer_changed, {}, 0};
    auto now = find(id);
    if (!now)
      return std::move(now.error());
    if (!*now)
      return change_receipt{change_verdict::not_found, {}, 0};
    if (!key_fits)
      return change_receipt{change_verdict::stale, {}, 0};
    return change_receipt{change_verdict::changed, std::move(**now), epoch};
  }

  pqxx::row insert(pqxx::transaction_base& tx, const api_key& key, std::chrono::seconds overlap,
                   const key_writer& writer, const std::optional<std::string>& scope,
                   const std::optional<std::string>& digest) {
    const auto projects = key.project_ids ? std::optional(array_of(*key.project_ids)) : std::nullopt;
    const auto addresses = key.allowed_ips ? std::optional(array_of(*key.allowed_ips)) : std::nullopt;
    const auto rate = text_of_number(key.rate_limit);
    const auto at_once = text_of_number(key.concurrency_limit);
    const auto expires = text_of(key.expires_at);
    const auto created_by = uuid_of(key.created_by);
    const auto by = uuid_of(writer.by);
    const auto rotated_from = uuid_of(key.rotated_from);
    return tx.exec_prepared1("create", key.id.uuid(), key.name, key.prefix, bytea_hex(as_bytes(key.hash)),
                             key.hash_scheme, array_of(key.granted.names()), or_null(projects), or_null(addresses),
                             or_null(rate), or_null(expires), or_null(created_by), or_null(by), or_null(rotated_from),
                             key.family.uuid(), writer.actor_name, writer.from.client_ip, writer.from.request_id,
                             writer.family.uuid(), or_null(scope), or_null(digest),
                             interval_of(config_.idempotency_retention), interval_of(overlap), writer.from.trace_id,
                             or_null(at_once), writer.revision, key.revision, cleaned(config_.audited.get(), key.name));
  }

  store_config config_;
  session session_;
};

} // namespace

std::shared_ptr<key_store> make_key_store(const store_config& config) {
  return std::make_shared<key_table>(config);
}

} // namespace rdev::postgres
