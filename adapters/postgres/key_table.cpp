#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/command_rows.hpp"
#include "adapters/postgres/stores.hpp"

namespace rdev::postgres {

namespace {

const std::string columns =
    "id, name, key_prefix, key_hash, hash_scheme, scopes, project_ids, allowed_ips, rate_limit, "
    "(extract(epoch FROM created_at) * 1000000)::bigint, created_by, (extract(epoch FROM expires_at) * "
    "1000000)::bigint, "
    "(extract(epoch FROM last_used_at) * 1000000)::bigint, (extract(epoch FROM revoked_at) * 1000000)::bigint, "
    "revoked_by, "
    "rotated_from, family ";

// Key, audit row, event row and idempotency record in one statement; nothing is written for a writer whose key has been
// revoked meanwhile. A rotation lowers the end of the old key in the same breath.
const std::string create_sql = R"sql(
WITH writer AS (
  SELECT 1 WHERE $12::uuid IS NULL
  UNION ALL
  SELECT 1 FROM api_keys w WHERE w.id = $12::uuid AND w.revoked_at IS NULL
     AND (w.expires_at IS NULL OR w.expires_at > clock_timestamp())
), idem AS (
  INSERT INTO idempotency AS i (family, scope_hash, body_digest, resource, expires_at)
  SELECT $18::uuid, $19::bytea, $20::bytea, $1::text, clock_timestamp() + $21::interval FROM writer WHERE $19::bytea IS NOT NULL
  ON CONFLICT (family, scope_hash) DO UPDATE SET
    resource    = CASE WHEN i.expires_at < statement_timestamp() THEN excluded.resource ELSE i.resource END,
    body_digest = CASE WHEN i.expires_at < statement_timestamp() THEN excluded.body_digest ELSE i.body_digest END,
    expires_at  = CASE WHEN i.expires_at < statement_timestamp() THEN excluded.expires_at ELSE i.expires_at END
  RETURNING resource, body_digest
), verdict AS (
  SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM writer) THEN 'writer_revoked'
              WHEN NOT EXISTS (SELECT 1 FROM idem WHERE resource <> $1::text) THEN 'created'
              WHEN EXISTS (SELECT 1 FROM idem WHERE body_digest = $20::bytea) THEN 'replayed'
              ELSE 'conflict' END AS v
), made AS (
  INSERT INTO api_keys (id, name, key_prefix, key_hash, hash_scheme, scopes, project_ids, allowed_ips, rate_limit,
                        expires_at, created_by, rotated_from, family)
  SELECT $1::uuid, $2, $3, $4::bytea, $5, $6::text[], $7::text[], $8::text[], $9::int, $10::timestamptz, $11::uuid, $13::uuid,
         $14::uuid FROM verdict WHERE v = 'created'
  RETURNING id
), old AS (
  UPDATE api_keys k SET expires_at = least(k.expires_at, clock_timestamp() + $22::interval)
    FROM made WHERE k.id = $13::uuid
), a AS (
  INSERT INTO audit_log (actor_key, actor_name, action, target, outcome, client_ip, request_id, trace_id, detail)
  SELECT $12::uuid, $15, CASE WHEN $13::uuid IS NULL THEN 'key.create' ELSE 'key.rotate' END, made.id::text, 'allowed', $16, $17,
         $23, jsonb_build_object('name', $2::text, 'prefix', $3::text, 'scopes', $6::text[], 'project_ids', $7::text[],
                                 'allowed_ips', $8::text[], 'rotated_from', $13::uuid) FROM made
), e AS (
  INSERT INTO event (event, key_id, data)
  SELECT CASE WHEN $13::uuid IS NULL THEN 'key.created' ELSE 'key.rotated' END, made.id, jsonb_build_object('prefix', $3::text)
    FROM made
)
SELECT v, (SELECT resource FROM idem) FROM verdict)sql";

const std::string revoke_sql = R"sql(
WITH done AS (
  UPDATE api_keys SET revoked_at = clock_timestamp(), revoked_by = $2::uuid WHERE id = $1::uuid AND revoked_at IS NULL
  RETURNING id, key_prefix
), epoch AS (UPDATE auth_epoch SET epoch = epoch + 1 WHERE EXISTS (SELECT 1 FROM done)), a AS (
  INSERT INTO audit_log (actor_key, actor_name, action, target, outcome, client_ip, request_id, trace_id)
  SELECT $2::uuid, $3, 'key.revoke', id::text, 'allowed', $4, $5, $6 FROM done
)
INSERT INTO event (event, key_id, data) SELECT 'key.revoked', id, jsonb_build_object('prefix', key_prefix) FROM done)sql";

const std::string set_admin_sql = R"sql(
INSERT INTO api_keys (id, name, key_prefix, key_hash, hash_scheme, scopes, family)
VALUES ($1::uuid, 'admin', 'admin', $2::bytea, 1, '{admin}', $1::uuid)
ON CONFLICT (key_prefix) DO UPDATE SET key_hash = excluded.key_hash, hash_scheme = 1, revoked_at = NULL, expires_at = NULL)sql";

const std::string note_uses_sql = R"sql(
UPDATE api_keys k SET last_used_at = u.at, last_used_ip = u.ip
  FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS u(id, at, ip)
 WHERE k.id = u.id AND (k.last_used_at IS NULL OR k.last_used_at < u.at))sql";

const statements prepared{
    {"note_uses", note_uses_sql},
    {"by_prefix", "SELECT " + columns + "FROM api_keys WHERE key_prefix = $1"},
    {"by_id", "SELECT " + columns + "FROM api_keys WHERE id = $1"},
    {"list", "SELECT " + columns +
                 "FROM api_keys WHERE id < $1 AND ($2::text[] IS NULL OR project_ids <@ $2::text[]) "
                 "ORDER BY id DESC LIMIT $3"},
    {"create", create_sql},
    {"revoke", revoke_sql},
    {"set_admin", set_admin_sql},
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
  return k;
}

class key_table final : public key_store {
public:
  explicit key_table(const store_config& config)
      : config_(config), session_(config.conninfo, prepared, config.breakers) {
  }

  result<std::optional<api_key>> find_by_prefix(std::string_view prefix) override {
    return one("by_prefix", std::string(prefix));
  }

  result<std::optional<api_key>> find(const key_id& id) override {
    return one("by_id", id.uuid());
  }

  result<page<api_key>> list(const page_request& at, const std::optional<std::vector<std::string>>& projects) override {
    const auto from = at.cursor ? key_id::parse(*at.cursor) : std::nullopt;
    const auto filter = projects ? std::optional(array_of(*projects)) : std::nullopt;
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      page<api_key> out;
      for (const auto& row : tx.exec_prepared("list", from ? from->uuid() : "ffffffff-ffff-ffff-ffff-ffffffffffff",
                                              or_null(filter), at.limit + 1))
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
    auto verdict = session_.transact([&](pqxx::transaction_base& tx) {
      const auto row = insert(tx, key, overlap, writer, scope, digest);
      resource = row[1].is_null() ? key.id.uuid() : row[1].c_str();
      return std::string(row[0].c_str());
    });
    if (!verdict)
      return std::move(verdict.error());
    if (*verdict == "writer_revoked")
      return mint_receipt{mint_verdict::writer_revoked, {}};
    if (*verdict == "conflict")
      return mint_receipt{mint_verdict::conflict, {}};
    auto stored = one("by_id", resource);
    if (!stored)
      return std::move(stored.error());
    if (!*stored)
      return failure{fault::internal, "a key that was just written is not there"};
    if (*verdict == "created")
      return mint_receipt{mint_verdict::created, std::move(**stored)};
    // A replay shows the key as it was made.
    (*stored)->revoked_at.reset();
    (*stored)->revoked_by.reset();
    (*stored)->last_used_at.reset();
    return mint_receipt{mint_verdict::replayed, std::move(**stored)};
  }

  result<std::optional<api_key>> revoke(const key_id& id, const key_writer& writer) override {
    const auto by = uuid_of(writer.by);
    auto written = session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("revoke", id.uuid(), or_null(by), writer.actor_name, writer.from.client_ip,
                       writer.from.request_id, writer.from.trace_id);
      return done{};
    });
    if (!written)
      return std::move(written.error());
    return find(id);
  }

  result<done> note_uses(const std::vector<key_use>& uses) override {
    array_literal ids, times, addresses;
    for (const auto& use : uses) {
      ids.add(std::string_view(use.key.uuid()));
      times.add(std::string_view(text_of(use.at)));
      addresses.add(std::string_view(use.client_ip));
    }
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("note_uses", ids.text(), times.text(), addresses.text());
      return done{};
    });
  }

  result<done> set_admin(const key_digest& hash) override {
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("set_admin", key_id::make().uuid(), bytea_hex(as_bytes(hash)));
      return done{};
    });
  }

private:
  result<std::optional<api_key>> one(const char* statement, const std::string& value) {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) -> std::optional<api_key> {
      const auto rows = tx.exec_prepared(statement, value);
      return rows.empty() ? std::nullopt : std::optional(key_from(rows[0]));
    });
  }

  pqxx::row insert(pqxx::transaction_base& tx, const api_key& key, std::chrono::seconds overlap,
                   const key_writer& writer, const std::optional<std::string>& scope,
                   const std::optional<std::string>& digest) {
    const auto projects = key.project_ids ? std::optional(array_of(*key.project_ids)) : std::nullopt;
    const auto addresses = key.allowed_ips ? std::optional(array_of(*key.allowed_ips)) : std::nullopt;
    const auto rate = key.rate_limit ? std::optional(std::to_string(*key.rate_limit)) : std::nullopt;
    const auto expires = text_of(key.expires_at);
    const auto created_by = uuid_of(key.created_by);
    const auto by = uuid_of(writer.by);
    const auto rotated_from = uuid_of(key.rotated_from);
    return tx.exec_prepared1("create", key.id.uuid(), key.name, key.prefix, bytea_hex(as_bytes(key.hash)),
                             key.hash_scheme, array_of(key.granted.names()), or_null(projects), or_null(addresses),
                             or_null(rate), or_null(expires), or_null(created_by), or_null(by), or_null(rotated_from),
                             key.family.uuid(), writer.actor_name, writer.from.client_ip, writer.from.request_id,
                             writer.family.uuid(), or_null(scope), or_null(digest),
                             interval_of(config_.idempotency_retention), interval_of(overlap), writer.from.trace_id);
  }

  store_config config_;
  session session_;
};

} // namespace

std::shared_ptr<key_store> make_key_store(const store_config& config) {
  return std::make_shared<key_table>(config);
}

} // namespace rdev::postgres
