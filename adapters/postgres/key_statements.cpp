// What is asked of the tables of keys.
#include "adapters/postgres/key_statements.hpp"

namespace rdev::postgres {

namespace {

const std::string columns =
    "k.id, k.name, k.key_prefix, k.key_hash, k.hash_scheme, k.scopes, k.project_ids, k.allowed_ips, k.rate_limit, "
    "(extract(epoch FROM k.created_at) * 1000000)::bigint, k.created_by, "
    "(extract(epoch FROM k.expires_at) * 1000000)::bigint, (extract(epoch FROM k.last_used_at) * 1000000)::bigint, "
    "(extract(epoch FROM k.revoked_at) * 1000000)::bigint, k.revoked_by, k.rotated_from, k.family, "
    "k.concurrency_limit, k.last_used_ip, k.revision ";

// Key, audit row, event row and idempotency record in one statement; nothing is written for a writer whose key has been
// revoked meanwhile. A rotation lowers the end of the old key in the same breath.
const std::string create_sql = R"sql(
WITH writer AS MATERIALIZED (
  SELECT 1 WHERE CASE WHEN $13::uuid IS NULL THEN rdev_may_write($12::uuid, $25::int)
                      ELSE rdev_may_change($13::uuid, $12::uuid, $25::int) END
), source AS MATERIALIZED (
  SELECT k.id FROM writer, api_keys k WHERE k.id = $13::uuid AND k.revoked_at IS NULL AND k.revision = $26::int
     AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp()) FOR UPDATE OF k
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
                                 'allowed_ips', $8::text[], 'rotated_from', $13::uuid, 'expires_at', rdev_time($10::timestamptz),
                                 'rate_limit', $9::int, 'concurrency_limit', $24::int) FROM made
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
WITH writer AS MATERIALIZED (SELECT 1 WHERE rdev_may_change($1::uuid, $2::uuid, $7::int)
), )sql";

// First the key's locks, then that of the epoch, as in a change and a rotation: the other way round they would
// deadlock.
const std::string revoke_sql = writer_sql + R"sql(target AS MATERIALIZED (
  SELECT k.id FROM writer, api_keys k WHERE k.id = $1::uuid AND k.revoked_at IS NULL FOR UPDATE OF k
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
SELECT EXISTS (SELECT 1 FROM writer), true, coalesce((SELECT revoked_epoch FROM done), rdev_epoch()),
       (SELECT pg_notify('rdev_keys', id || ' ' || revoked_epoch || ' revoked') FROM done)::text)sql";

const std::string change_sql = writer_sql + R"sql(target AS MATERIALIZED (
  SELECT k.id FROM writer, api_keys k WHERE k.id = $1::uuid AND k.revoked_at IS NULL AND k.revision = $15::int FOR UPDATE OF k
), done AS (
  UPDATE api_keys k SET name = $8, scopes = $9::text[], project_ids = $10::text[], allowed_ips = $11::text[],
         rate_limit = $12::int, concurrency_limit = $13::int, expires_at = $14::timestamptz,
         expiry_told = CASE WHEN k.expires_at IS NOT DISTINCT FROM $14::timestamptz THEN k.expiry_told END,
         revision = k.revision + 1
    FROM target WHERE k.id = target.id
  RETURNING k.id, k.concurrency_limit
), raised AS MATERIALIZED (
  SELECT done.id, CASE WHEN done.concurrency_limit IS NOT NULL THEN rdev_take_slots(done.id)::text END, rdev_raise_epoch() AS epoch
    FROM done
), a AS (
  INSERT INTO audit_log (actor_key, actor_name, action, target, outcome, client_ip, request_id, trace_id, detail)
  SELECT $2::uuid, $3, 'key.change', id::text, 'allowed', $4, $5, $6,
         jsonb_build_object('name', $16::text, 'scopes', $9::text[], 'project_ids', $10::text[], 'allowed_ips', $11::text[],
                            'rate_limit', $12::int, 'concurrency_limit', $13::int, 'expires_at', rdev_time($14::timestamptz))
    FROM raised
)
SELECT EXISTS (SELECT 1 FROM writer), EXISTS (SELECT 1 FROM done), coalesce((SELECT epoch FROM raised), rdev_epoch()),
       (SELECT pg_notify('rdev_keys', id || ' ' || epoch) FROM raised)::text)sql";

// It is done at each start. When it changes something it is on record, and what the former key has begun or opened
// counts nowhere any more, like that of a key that was changed.
const std::string set_admin_sql = R"sql(
WITH locked AS MATERIALIZED (
  SELECT pg_advisory_xact_lock(rdev_lock_of(k.id))::text AS so FROM api_keys k WHERE k.key_prefix = 'admin'
), now AS (
  INSERT INTO api_keys (id, name, key_prefix, key_hash, hash_scheme, scopes, family)
  SELECT $1::uuid, 'admin', 'admin', $2::bytea, 1, '{admin}', $1::uuid FROM (SELECT count(so) FROM locked) AS first
  ON CONFLICT (key_prefix) DO UPDATE SET key_hash = excluded.key_hash, hash_scheme = 1, revoked_at = NULL, expires_at = NULL,
                                         revision = api_keys.revision + 1
    WHERE api_keys.key_hash <> excluded.key_hash OR api_keys.revoked_at IS NOT NULL OR api_keys.expires_at IS NOT NULL
  RETURNING id
), raised AS MATERIALIZED (SELECT now.id, rdev_raise_epoch() AS epoch FROM now
), a AS (
  INSERT INTO audit_log (actor_name, action, target, outcome) SELECT 'system', 'key.set_admin', id::text, 'done' FROM raised
)
SELECT pg_notify('rdev_keys', id || ' ' || epoch)::text FROM raised)sql";

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
       jsonb_build_object('prefix', key_prefix, 'name', name, 'expires_at', rdev_time(expires_at), 'days', days) FROM told)sql";

const statements all{
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

} // namespace

const statements& key_statements() {
  return all;
}

} // namespace rdev::postgres
