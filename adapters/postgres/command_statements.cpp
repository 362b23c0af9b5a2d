// What lane `commands` asks of the tables.
#include "adapters/postgres/command_statements.hpp"

#include "adapters/postgres/command_rows.hpp"

namespace rdev::postgres {

namespace {

// N submissions in one statement. The idempotency record is upserted and returned, so that it also waits for and sees a
// twin that was not visible to this statement's snapshot; within the batch the first of several twins counts. A
// revocation of a key waits for what has begun before it, and what begins beside it waits for the revocation; so does
// the end of a command for what is submitted with its credential, by turns: locks of rows alone would let ever new
// submissions go before it.
const std::string submit_sql = R"sql(
WITH good AS MATERIALIZED (SELECT * FROM rdev_good_keys($3::uuid[])
), turn AS MATERIALIZED (
  SELECT pg_advisory_xact_lock_shared(hashtextextended(w.id::text, 7233960005))
    FROM (SELECT DISTINCT id FROM unnest($22::uuid[]) AS x(id) WHERE id IS NOT NULL ORDER BY id) AS w
), holder AS MATERIALIZED (
  SELECT command_id FROM lease WHERE command_id = ANY ($22::uuid[]) AND (SELECT count(*) FROM turn) >= 0
   ORDER BY command_id FOR KEY SHARE
), input AS MATERIALIZED (
  SELECT u.*, k.id IS NOT NULL AND (u.holder IS NULL OR h.command_id IS NOT NULL) AS key_good, k.concurrency_limit, k.taken, clock_timestamp() AS now
    FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::smallint[], $7::int[], $8::jsonb[],
                $9::bytea[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bytea[], $15::bytea[],
                $17::uuid[], $18::uuid[], $19::text[], $20::int[], $21::jsonb[], $22::uuid[])
         WITH ORDINALITY AS u(id, project, key_id, family, type, priority, timeout_s, spec, env, actor, client_ip,
                              request_id, trace_id, scope_hash, digest, audit_id, event_id, scope, revision, clean_spec, holder, ord)
    LEFT JOIN good k ON k.id = u.key_id AND k.revision = u.revision
    LEFT JOIN holder h ON h.command_id = u.holder
), asks AS MATERIALIZED (
  SELECT i.ord, i.family, i.scope_hash,
         i.taken + row_number() OVER (PARTITION BY i.key_id ORDER BY i.ord) > i.concurrency_limit AS too_many
    FROM input i
   WHERE i.key_good AND i.concurrency_limit IS NOT NULL
     AND (i.scope_hash IS NULL OR NOT rdev_is_known(i.family, i.scope_hash))
     AND NOT EXISTS (SELECT 1 FROM input e WHERE e.ord < i.ord AND e.key_good AND e.family = i.family AND e.scope_hash = i.scope_hash)
), over AS MATERIALIZED (
  SELECT i.ord FROM asks a JOIN input i ON i.ord = a.ord OR (i.family = a.family AND i.scope_hash = a.scope_hash) WHERE a.too_many
), first AS (
  SELECT DISTINCT ON (family, scope_hash) family, scope_hash, digest, id, now FROM input
   WHERE scope_hash IS NOT NULL AND key_good AND ord NOT IN (SELECT ord FROM over) ORDER BY family, scope_hash, ord
), idem AS (
  INSERT INTO idempotency AS i (family, scope_hash, body_digest, resource, expires_at)
  SELECT family, scope_hash, digest, id::text, now + $16::interval FROM first
  ON CONFLICT (family, scope_hash) DO UPDATE SET
    resource    = CASE WHEN i.expires_at < statement_timestamp() THEN excluded.resource ELSE i.resource END,
    body_digest = CASE WHEN i.expires_at < statement_timestamp() THEN excluded.body_digest ELSE i.body_digest END,
    expires_at  = CASE WHEN i.expires_at < statement_timestamp() THEN excluded.expires_at ELSE i.expires_at END
  RETURNING i.family, i.scope_hash, i.body_digest, i.resource
), outcome AS MATERIALIZED (
  SELECT n.*, coalesce(m.resource, n.id::text) AS resource,
         CASE WHEN NOT n.key_good THEN 3
              WHEN n.ord IN (SELECT ord FROM over) THEN 4
              WHEN n.scope_hash IS NULL OR m.resource = n.id::text THEN 0
              WHEN m.body_digest = n.digest THEN 1
              ELSE 2 END AS verdict
    FROM input n LEFT JOIN idem m ON m.family = n.family AND m.scope_hash = n.scope_hash
), made AS (SELECT * FROM outcome WHERE verdict = 0 ORDER BY ord), c AS (
  INSERT INTO command (id, project, key_id, family, type, priority, timeout_s, created_at, spec)
  SELECT id, project, key_id, family, type, priority, timeout_s, now, spec FROM made
), slot AS (
  INSERT INTO key_slot (command_id, key_id) SELECT id, key_id FROM made WHERE concurrency_limit IS NOT NULL
), s AS (
  INSERT INTO command_secret (command_id, env) SELECT id, env FROM made WHERE env IS NOT NULL
), q AS (
  INSERT INTO queue_item (command_id, project, priority, ready_at, eff_ms, scope)
  SELECT id, project, priority, now,
         (extract(epoch FROM now) * 1000)::bigint + (ARRAY[0, 5000, 30000, 120000])[priority + 1], scope FROM made
), a AS (
  INSERT INTO audit_log (id, actor_key, actor_name, action, target, project, outcome, client_ip, request_id, trace_id, detail)
  SELECT audit_id, key_id, actor, 'command.submit', id::text, project, 'allowed', client_ip, request_id, trace_id,
         coalesce(clean_spec, spec) || jsonb_build_object('type', type, 'priority', (ARRAY['critical', 'high', 'normal', 'low'])[priority + 1], 'timeout_s', timeout_s,
                                    'spec_sha256', CASE WHEN clean_spec IS NULL THEN encode(sha256(convert_to(spec::text, 'UTF8')), 'hex') END)
    FROM made
), e AS (
  INSERT INTO event (id, event, project, command_id, key_id, data)
  SELECT event_id, 'command.queued', project, id, key_id, jsonb_build_object('type', type) FROM made
)
SELECT resource, verdict FROM outcome ORDER BY ord)sql";

// An element of the batch counts only while its token holds; the row lock keeps an adopter out until we commit. Where
// the lease has gone with this very token, it is the repeat of a completion whose answer was lost.
const std::string complete_sql = R"sql(
WITH input AS MATERIALIZED (
  SELECT u.* FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::int[], $6::text[], $7::int[], $8::bigint[],
                         $9::text[], $10::bigint[], $11::bigint[], $12::text[], $13::bigint[], $14::boolean[],
                         $15::bigint[], $16::text[])
         WITH ORDINALITY AS u(id, token, status, reason, exit_code, signal, survivors, out_bytes, out_sha256, out_total,
                              err_bytes, err_sha256, err_total, complete, ended_ago, clean_reason, ord)
), turn AS MATERIALIZED (
  SELECT pg_advisory_xact_lock(hashtextextended(w.id::text, 7233960005))
    FROM (SELECT id FROM unnest($1::uuid[]) AS x(id) ORDER BY id) AS w
), held AS MATERIALIZED (
  SELECT i.*, l.project, l.started_at,
         greatest(l.started_at, clock_timestamp() - coalesce(i.ended_ago, 0) * interval '1 millisecond') AS finished_at
    FROM lease l JOIN input i ON i.id = l.command_id AND i.token = l.token
   WHERE l.command_id = ANY ($1::uuid[]) AND (SELECT count(*) FROM turn) >= 0 ORDER BY l.command_id FOR UPDATE OF l
), gone AS (DELETE FROM lease l USING held h WHERE l.command_id = h.id), unsealed AS (
  DELETE FROM command_secret s USING held h WHERE s.command_id = h.id
), freed AS (DELETE FROM key_slot s USING held h WHERE s.command_id = h.id
), r AS (
  INSERT INTO command_result (command_id, project, status, reason, exit_code, signal, survivors, started_at, finished_at,
                              out_bytes, out_sha256, out_total, err_bytes, err_sha256, err_total, complete, token)
  SELECT id, project, status, reason, exit_code, signal, survivors, started_at, finished_at,
         out_bytes, out_sha256, out_total, err_bytes, err_sha256, err_total, complete, token FROM held
), a AS (
  INSERT INTO audit_log (actor_name, action, target, project, outcome, reason, detail)
  SELECT 'system', 'command.end', id::text, project, 'done', status,
         jsonb_build_object('started_at', rdev_time(started_at),
                            'finished_at', rdev_time(finished_at),
                            'exit_code', exit_code, 'signal', signal, 'reason', clean_reason, 'stdout_sha256', out_sha256,
                            'stdout_bytes', out_bytes, 'stdout_total_bytes', out_total, 'stderr_sha256', err_sha256,
                            'stderr_bytes', err_bytes, 'stderr_total_bytes', err_total, 'complete', complete) FROM held
), e AS (
  INSERT INTO event (event, project, command_id, data)
  SELECT 'command.' || status, project, id,
         jsonb_build_object('exit_code', exit_code,
                            'duration_ms', (extract(epoch FROM finished_at - started_at) * 1000)::bigint) FROM held
)
SELECT i.ord, CASE WHEN h.id IS NOT NULL THEN true
                   ELSE EXISTS (SELECT 1 FROM command_result d WHERE d.command_id = i.id AND d.token = i.token) END
  FROM input i LEFT JOIN held h ON h.ord = i.ord ORDER BY i.ord)sql";

// What is in the queue when it is the turn of this transaction, as in a claim, whose rows it would otherwise wait for.
const std::string cancel_queued_sql = R"sql(
WITH gone AS (
  DELETE FROM queue_item q WHERE q.command_id IN (
    SELECT i.command_id FROM queue_item i JOIN command c ON c.id = i.command_id WHERE c.key_id = $1::uuid LIMIT $2::int)
  RETURNING q.command_id, q.project
), unsealed AS (DELETE FROM command_secret s USING gone g WHERE s.command_id = g.command_id
), freed AS (DELETE FROM key_slot s USING gone g WHERE s.command_id = g.command_id
), r AS (
  INSERT INTO command_result (command_id, project, status, reason, finished_at, out_sha256, err_sha256)
  SELECT command_id, project, 'cancelled', 'its key was revoked before it was started', clock_timestamp(),
         encode(sha256(''), 'hex'), encode(sha256(''), 'hex') FROM gone
), a AS (
  INSERT INTO audit_log (actor_key, actor_name, action, target, project, outcome, reason, client_ip, request_id, trace_id)
  SELECT $3::uuid, $4, 'command.cancel', command_id::text, project, 'done', 'key_revoked', $5, $6, $7 FROM gone
), e AS (
  INSERT INTO event (event, project, command_id, key_id) SELECT 'command.cancelled', project, command_id, $3::uuid FROM gone
)
SELECT command_id FROM gone)sql";

// Two statements: a claim waits for its turn and then takes what was committed meanwhile, which the picture of the
// database that the statement began with does not show. The second one has a new picture.
const std::string claim_sql = "SELECT command_id FROM rdev_claim($1, $2, $3, $4, $5, $6::text[], $7::text[])";
const std::string claimed_sql =
    "SELECT " + lease_columns +
    " FROM lease l JOIN command c ON c.id = l.command_id "
    "LEFT JOIN command_secret s ON s.command_id = l.command_id WHERE l.command_id = ANY ($1::uuid[]) ORDER BY l.token";

const std::string vouch_sql = R"sql(
INSERT INTO audit_log (actor_key, actor_name, action, target, project, outcome, client_ip, request_id, trace_id)
SELECT $1::uuid, $2, $3, $4, $4, 'allowed', $5, $6, $7 WHERE rdev_may_write($1::uuid, $8::int))sql";

const std::string record_sql = R"sql(
WITH a AS (
  INSERT INTO audit_log (actor_key, actor_name, action, target, project, outcome, client_ip, request_id, trace_id)
  VALUES ($1, $2, $3, $4, $4, 'done', $5, $6, $7)
), e AS (INSERT INTO event (event, project, key_id) VALUES ($3, $4, $1)), i AS (
  INSERT INTO idempotency (family, scope_hash, body_digest, resource, expires_at)
  SELECT k.family, $8::bytea, $9::bytea, $4, clock_timestamp() + $10::interval FROM api_keys k
   WHERE k.id = $1 AND $8::bytea IS NOT NULL
  ON CONFLICT (family, scope_hash) DO UPDATE SET
    body_digest = excluded.body_digest, resource = excluded.resource, expires_at = excluded.expires_at
), h AS (DELETE FROM unhealthy_project WHERE project = $4 AND $3 = 'project.deleted')
SELECT 1)sql";

const std::string observe_sql = R"sql(
WITH worse AS (
  INSERT INTO unhealthy_project (project, reason) SELECT $1, $3 WHERE NOT $2::boolean
  ON CONFLICT (project) DO NOTHING RETURNING 1
), better AS (DELETE FROM unhealthy_project WHERE project = $1 AND $2::boolean RETURNING 1)
INSERT INTO event (event, project, data)
SELECT CASE WHEN $2::boolean THEN 'project.recovered' ELSE 'project.unhealthy' END, $1,
       CASE WHEN $2::boolean THEN '{}'::jsonb ELSE jsonb_build_object('reason', $3::text) END
  FROM (SELECT 1 FROM worse UNION ALL SELECT 1 FROM better) AS news
RETURNING 1)sql";

const statements all{
    {"submit", submit_sql},
    {"complete", complete_sql},
    {"claim", claim_sql},
    {"wait_for_turn", "SELECT pg_advisory_xact_lock(7233960002)"}, // of rdev_claim
    {"cancel_queued", cancel_queued_sql},
    {"claimed", claimed_sql},
    {"vouch", vouch_sql},
    {"record", record_sql},
    {"observe", observe_sql},
    {"existing", "SELECT id FROM command WHERE id = ANY ($1::uuid[])"},
    {"cancel", "SELECT rdev_cancel($1, $2, $3, $4, $5, $6, $7, $8)"},
    {"find_idempotent", "SELECT resource, body_digest FROM idempotency WHERE family = $1 AND scope_hash = $2::bytea "
                        "AND expires_at > clock_timestamp()"},
};

} // namespace

const statements& command_statements() {
  return all;
}

} // namespace rdev::postgres
