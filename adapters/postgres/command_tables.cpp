// Lane `commands`: submit, claim, complete, cancel.
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/command_rows.hpp"
#include "adapters/postgres/stores.hpp"

#include <array>
#include <set>

namespace rdev::postgres {

namespace {

// N submissions in one statement. The idempotency record is upserted and returned, so that it also waits for and sees a
// twin that was not visible to this statement's snapshot; within the batch the first of several twins counts.
const std::string submit_sql = R"sql(
WITH input AS MATERIALIZED (
  SELECT u.*, k.id IS NOT NULL AS key_good, k.concurrency_limit, clock_timestamp() AS now
    FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::smallint[], $7::int[], $8::jsonb[],
                $9::bytea[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bytea[], $15::bytea[],
                $17::uuid[], $18::uuid[], $19::text[], $20::int[], $21::jsonb[])
         WITH ORDINALITY AS u(id, project, key_id, family, type, priority, timeout_s, spec, env, actor, client_ip,
                              request_id, trace_id, scope_hash, digest, audit_id, event_id, scope, revision, clean_spec, ord)
    LEFT JOIN api_keys k ON k.id = u.key_id AND k.revoked_at IS NULL AND k.revision = u.revision
                        AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
), over AS MATERIALIZED (
  SELECT n.ord FROM (
    SELECT i.ord, i.key_id, i.concurrency_limit, row_number() OVER (PARTITION BY i.key_id ORDER BY i.ord) AS rank
      FROM input i
     WHERE i.key_good AND i.concurrency_limit IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM idempotency r WHERE r.family = i.family AND r.scope_hash = i.scope_hash
                          AND r.expires_at >= statement_timestamp())) AS n
   WHERE n.rank + (SELECT count(*) FROM key_slot s WHERE s.key_id = n.key_id) > n.concurrency_limit
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
         coalesce(clean_spec, spec) || jsonb_build_object('type', type, 'priority', priority, 'timeout_s', timeout_s,
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
), held AS MATERIALIZED (
  SELECT i.*, l.project, l.started_at,
         greatest(l.started_at, clock_timestamp() - coalesce(i.ended_ago, 0) * interval '1 millisecond') AS finished_at
    FROM lease l JOIN input i ON i.id = l.command_id AND i.token = l.token
   WHERE l.command_id = ANY ($1::uuid[]) ORDER BY l.command_id FOR UPDATE OF l
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
         jsonb_build_object('started_at', to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                            'finished_at', to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
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

// Two statements: a claim waits for its turn and then takes what was committed meanwhile, which the picture of the
// database that the statement began with does not show. The second one has a new picture.
const std::string claim_sql = "SELECT command_id FROM rdev_claim($1, $2, $3, $4, $5, $6::text[], $7::text[])";
const std::string claimed_sql =
    "SELECT " + lease_columns +
    " FROM lease l JOIN command c ON c.id = l.command_id "
    "LEFT JOIN command_secret s ON s.command_id = l.command_id WHERE l.command_id = ANY ($1::uuid[]) ORDER BY l.token";

const std::string vouch_sql = R"sql(
INSERT INTO audit_log (actor_key, actor_name, action, target, project, outcome, client_ip, request_id, trace_id)
SELECT k.id, $2, $3, $4, $4, 'allowed', $5, $6, $7 FROM api_keys k
 WHERE k.id = $1 AND k.revision = $8 AND k.revoked_at IS NULL
   AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp()))sql";

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

const statements prepared{
    {"submit", submit_sql},
    {"complete", complete_sql},
    {"claim", claim_sql},
    {"claimed", claimed_sql},
    {"vouch", vouch_sql},
    {"record", record_sql},
    {"observe", observe_sql},
    {"lock_slots", "SELECT pg_advisory_xact_lock(hashtextextended($1, 7233960003))"},
    {"existing", "SELECT id FROM command WHERE id = ANY ($1::uuid[])"},
    {"cancel", "SELECT rdev_cancel($1, $2, $3, $4, $5, $6, $7, $8)"},
    {"find_idempotent", "SELECT resource, body_digest FROM idempotency WHERE family = $1 AND scope_hash = $2::bytea "
                        "AND expires_at > clock_timestamp()"},
};

class command_tables final : public command_store {
public:
  explicit command_tables(const store_config& config)
      : config_(config), session_(config.conninfo, prepared, config.breakers) {
  }

  result<std::vector<submit_receipt>> submit(std::span<const new_command> batch) override {
    std::array<array_literal, 20> column;
    for (const auto& one : batch)
      add_row(column, one);
    std::array<std::string, 20> text;
    for (std::size_t i = 0; i < column.size(); ++i)
      text.at(i) = column.at(i).text();
    const auto write = [&](pqxx::transaction_base& tx) {
      const auto rows = tx.exec_prepared("submit", text[0], text[1], text[2], text[3], text[4], text[5], text[6],
                                         text[7], text[8], text[9], text[10], text[11], text[12], text[13], text[14],
                                         interval_of(config_.idempotency_retention), text[15], text[16], text[17],
                                         text[18], text[19]);
      std::vector<submit_receipt> out;
      for (const auto& row : rows)
        out.push_back({static_cast<submit_verdict>(row[1].as<int>()), *command_id::from_uuid(row[0].c_str())});
      return out;
    };
    const auto counted = keys_with_slots(batch);
    if (counted.empty())
      return session_.single(effect::writes, write);
    // One at a time for each of these keys, so that what is counted is all there is.
    return session_.transact([&](pqxx::transaction_base& tx) {
      for (const auto& key : counted)
        tx.exec_prepared("lock_slots", key);
      return write(tx);
    });
  }

  result<std::vector<command_id>> existing(std::span<const command_id> ids) override {
    array_literal wanted;
    for (const auto& id : ids)
      wanted.add(std::string_view(id.uuid()));
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<command_id> out;
      for (const auto& row : tx.exec_prepared("existing", wanted.text()))
        out.push_back(*command_id::from_uuid(row[0].c_str()));
      return out;
    });
  }

  result<std::vector<lease>> claim(const claim_request& request) override {
    std::vector<completion> unreadable;
    std::optional<std::string> projects;
    std::optional<std::string> intents;
    if (request.places) {
      std::array<array_literal, 2> columns;
      for (const auto& [project, intent] : *request.places) {
        columns[0].add(std::string_view(project));
        columns[1].add(std::string_view(intent));
      }
      projects = columns[0].text();
      intents = columns[1].text();
    }
    const auto asked_at = boot_clock_now();
    auto out = session_.transact([&](pqxx::transaction_base& tx) {
      std::vector<lease> leases;
      array_literal taken;
      for (const auto& row : tx.exec_prepared("claim", request.node.uuid(), request.scope, request.start_intent,
                                              request.most, request.max_running_per_project, projects, intents))
        taken.add(std::string_view(row[0].c_str()));
      if (taken.text() == "{}")
        return leases;
      for (const auto& row : tx.exec_prepared("claimed", taken.text())) {
        auto one = lease_from(row, *config_.sealer, asked_at);
        if (one.unreadable)
          unreadable.push_back(lost_for(one));
        else
          leases.push_back(std::move(one));
      }
      return leases;
    });
    // A command whose secrets cannot be read must not stop the others; it has not been started.
    if (out && !unreadable.empty())
      if (auto ended = complete(unreadable); !ended)
        return std::move(ended.error());
    return out;
  }

  result<std::vector<bool>> complete(std::span<const completion> batch) override {
    std::array<array_literal, 16> column;
    for (const auto& one : batch)
      add_row(column, one);
    std::array<std::string, 16> text;
    for (std::size_t i = 0; i < column.size(); ++i)
      text.at(i) = column.at(i).text();
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const auto rows =
          tx.exec_prepared("complete", text[0], text[1], text[2], text[3], text[4], text[5], text[6], text[7], text[8],
                           text[9], text[10], text[11], text[12], text[13], text[14], text[15]);
      std::vector<bool> out;
      for (const auto& row : rows)
        out.push_back(row[1].as<bool>());
      return out;
    });
  }

  result<cancel_verdict> cancel(const cancel_order& order) override {
    const auto by = order.by ? std::optional(order.by->uuid()) : std::nullopt;
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const auto row = tx.exec_prepared1(
          "cancel", order.id.uuid(), order.reason == cancel_reason::timeout ? "timeout" : "user", or_null(by),
          order.actor_name, order.from.client_ip, order.from.request_id, order.from.trace_id, order.revision);
      const std::string_view verdict = row[0].c_str();
      return verdict == "never_ran"     ? cancel_verdict::never_ran
             : verdict == "requested"   ? cancel_verdict::requested
             : verdict == "ended"       ? cancel_verdict::ended
             : verdict == "key_changed" ? cancel_verdict::key_changed
                                        : cancel_verdict::not_found;
    });
  }

  result<done> record(const project_change& change) override {
    std::optional<std::string> scope;
    std::optional<std::string> digest;
    if (change.idempotency) {
      scope = bytea_hex(as_bytes(scope_of(change.from, *change.idempotency)));
      digest = bytea_hex(as_bytes(sealed_digest(*change.idempotency)));
    }
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("record", change.by.uuid(), change.actor_name, change.event, change.project,
                       change.from.client_ip, change.from.request_id, change.from.trace_id, or_null(scope),
                       or_null(digest), interval_of(config_.idempotency_retention));
      return done{};
    });
  }

  result<bool> vouch(const project_change& change, int revision) override {
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      return tx.exec_prepared("vouch", change.by.uuid(), change.actor_name, change.event, change.project,
                              change.from.client_ip, change.from.request_id, change.from.trace_id, revision)
                 .affected_rows() > 0;
    });
  }

  result<bool> observe(const project_health& seen) override {
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      return !tx.exec_prepared("observe", seen.project, seen.healthy, seen.reason).empty();
    });
  }

  result<std::optional<idempotency_hit>> find_idempotent(const key_id& family, const request_context& from,
                                                         const idempotency& key) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) -> std::optional<idempotency_hit> {
      const auto rows = tx.exec_prepared("find_idempotent", family.uuid(), bytea_hex(as_bytes(scope_of(from, key))));
      if (rows.empty())
        return std::nullopt;
      return idempotency_hit{bytes_of_hex(rows[0][1].c_str()) == as_bytes(sealed_digest(key)), rows[0][0].c_str()};
    });
  }

private:
  // The digest of a body is stored as a MAC: it would otherwise tell who knows the key of the row what the body was.
  digest256 sealed_digest(const idempotency& key) {
    return config_.sealer->mac(as_bytes(key.body_digest));
  }

  static std::set<std::string> keys_with_slots(std::span<const new_command> batch) {
    std::set<std::string> out; // in one order for all lanes, so that none waits for the other in turn
    for (const auto& one : batch)
      if (one.key_has_slots)
        out.insert(one.what.key.uuid());
    return out;
  }

  void add_row(std::array<array_literal, 20>& column, const new_command& one) {
    const auto& what = one.what.what;
    column[0].add(std::string_view(one.what.id.uuid()));
    column[1].add(std::string_view(what.project));
    column[2].add(std::string_view(one.what.key.uuid()));
    column[3].add(std::string_view(one.what.family.uuid()));
    column[4].add(name_of(what.type));
    column[5].add_number(static_cast<std::int64_t>(what.priority));
    column[6].add_number(what.timeout.value_or(std::chrono::seconds(0)).count());
    column[7].add(std::string_view(spec_of(what)));
    if (const auto env = sealed_env(one.what, *config_.sealer); env.empty())
      column[8].add_null();
    else
      column[8].add_bytes(env);
    column[9].add(std::string_view(one.actor_name));
    column[10].add(std::string_view(one.from.client_ip));
    column[11].add(std::string_view(one.from.request_id));
    column[12].add(std::string_view(one.from.trace_id));
    if (one.idempotency) {
      column[13].add_bytes(as_bytes(scope_of(one.from, *one.idempotency)));
      column[14].add_bytes(as_bytes(sealed_digest(*one.idempotency)));
    } else {
      column[13].add_null();
      column[14].add_null();
    }
    // Ids of the audit row and the event row: the server would need longer to make them.
    column[15].add(std::string_view(to_uuid_text(new_uuid_v7())));
    column[16].add(std::string_view(to_uuid_text(new_uuid_v7())));
    column[17].add(std::string_view(one.scope));
    column[18].add_number(one.key_revision);
    column[19].add(clean_spec_of(what, config_.audited.get()));
  }

  void add_row(std::array<array_literal, 16>& column, const completion& one) const {
    const auto& r = one.result;
    column[0].add(std::string_view(one.id.uuid()));
    column[1].add_number(one.token);
    column[2].add(name_of(r.status));
    column[3].add(r.reason);
    r.exit_code ? column[4].add_number(*r.exit_code) : column[4].add_null();
    column[5].add(r.signal);
    column[6].add_number(r.survivors);
    column[7].add_number(static_cast<std::int64_t>(r.out.bytes));
    column[8].add(std::string_view(r.out.sha256));
    column[9].add_number(static_cast<std::int64_t>(r.out.total_bytes));
    column[10].add_number(static_cast<std::int64_t>(r.err.bytes));
    column[11].add(std::string_view(r.err.sha256));
    column[12].add_number(static_cast<std::int64_t>(r.err.total_bytes));
    column[13].add(std::string_view(r.complete ? "t" : "f"));
    one.ended_ago ? column[14].add_number(one.ended_ago->count()) : column[14].add_null();
    column[15].add(r.reason ? std::optional(cleaned(config_.audited.get(), *r.reason)) : std::nullopt);
  }

  static completion lost_for(const lease& one) {
    completion out;
    out.id = one.what.id;
    out.token = one.token;
    out.result.reason = one.unreadable;
    out.result.out.sha256 = out.result.err.sha256 = to_hex(sha256(""));
    return out;
  }

  store_config config_;
  session session_;
};

} // namespace

std::shared_ptr<command_store> make_command_store(const store_config& config) {
  return std::make_shared<command_tables>(config);
}

} // namespace rdev::postgres
