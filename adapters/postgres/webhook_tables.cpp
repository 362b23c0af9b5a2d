// Lane `endpoints`: webhooks as users see and change them.
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/command_rows.hpp"
#include "adapters/postgres/stores.hpp"
#include "adapters/postgres/webhook_rows.hpp"

namespace rdev::postgres {

namespace {

// No secrets: neither the signing ones nor what a URL may hold.
std::string detail_with(const std::string& url) {
  return "jsonb_build_object('url', rdev_bare_url(" + url +
         "), 'events', events, 'projects', projects, 'enabled', enabled, 'ordered', ordered)";
}

// Webhook, audit row and idempotency record in one statement. A repeat shows the first one, also when it is gone.
const std::string create_sql = writer_sql + R"sql(idem AS (
  INSERT INTO idempotency AS i (family, scope_hash, body_digest, resource, expires_at)
  SELECT $8::uuid, $9::bytea, $10::bytea, $1::text, clock_timestamp() + $11::interval FROM writer WHERE $9::bytea IS NOT NULL
  ON CONFLICT (family, scope_hash) DO UPDATE SET
    resource    = CASE WHEN i.expires_at < statement_timestamp() THEN excluded.resource ELSE i.resource END,
    body_digest = CASE WHEN i.expires_at < statement_timestamp() THEN excluded.body_digest ELSE i.body_digest END,
    expires_at  = CASE WHEN i.expires_at < statement_timestamp() THEN excluded.expires_at ELSE i.expires_at END
  RETURNING resource, body_digest
), verdict AS (
  SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM writer) THEN 'writer_changed'
              WHEN NOT EXISTS (SELECT 1 FROM idem WHERE resource <> $1::text) THEN 'created'
              WHEN EXISTS (SELECT 1 FROM idem WHERE body_digest = $10::bytea) THEN 'replayed'
              ELSE 'conflict' END AS v
), done AS (
  INSERT INTO webhook (id, url, events, projects, description, enabled, ordered, secret, created_by)
  SELECT $1::uuid, $12, $13::text[], $14::text[], $15, $16::boolean, $17::boolean, $18::bytea, $19::uuid
    FROM verdict WHERE v = 'created'
  RETURNING *
))sql" + audit_sql("webhook.create", "done", detail_with("$20::text")) +
                               "SELECT v, (SELECT resource FROM idem), " + webhook_columns +
                               " FROM verdict LEFT JOIN done w ON true";

// What a change answers, besides the row that `done` returns.
const std::string answer =
    "SELECT EXISTS (SELECT 1 FROM writer), EXISTS (SELECT 1 FROM webhook WHERE id = $1::uuid), " + webhook_columns +
    " FROM (VALUES (1)) AS one LEFT JOIN done w ON true";

const std::string change_sql = writer_sql + R"sql(before AS (
  SELECT id, enabled FROM webhook WHERE id = $1::uuid AND revision = $14::int AND EXISTS (SELECT 1 FROM writer)
     FOR NO KEY UPDATE
), done AS (
  UPDATE webhook w SET url = $8, events = $9::text[], projects = $10::text[], description = $11, enabled = $12::boolean,
         ordered = $13::boolean, revision = w.revision + 1,
         disabled_reason = CASE WHEN $12::boolean THEN '' ELSE w.disabled_reason END,
         failing_since = CASE WHEN $12::boolean AND NOT before.enabled THEN NULL ELSE w.failing_since END
    FROM before WHERE w.id = before.id
  RETURNING w.*
), waiting AS MATERIALIZED (
  SELECT d.delivery_id FROM webhook_due d
   WHERE d.webhook_id = (SELECT w.id FROM done w, before WHERE w.enabled AND NOT before.enabled)
     AND d.due_at > (SELECT clock_timestamp())
   ORDER BY d.delivery_id LIMIT 10000 FOR UPDATE
), due AS (
  UPDATE webhook_due d SET due_at = statement_timestamp() FROM waiting
   WHERE d.webhook_id = $1::uuid AND d.delivery_id = waiting.delivery_id
))sql" + audit_sql("webhook.change", "done", detail_with("$15::text")) +
                               answer;

const std::string rotate_sql =
    writer_sql + R"sql(done AS (
  UPDATE webhook w SET former_secret = w.secret, former_until = clock_timestamp() + $9::interval, secret = $8::bytea,
         revision = w.revision + 1
    FROM writer WHERE w.id = $1::uuid
  RETURNING w.*
))sql" +
    audit_sql("webhook.rotate_secret", "done",
              "jsonb_build_object('url', rdev_bare_url(url), 'former_until', rdev_time(former_until))") +
    answer;

// What waits is not sent any more at once; what is left of it is removed by and by (rdev_drop_deliveries).
const std::string remove_sql = writer_sql + R"sql(done AS (
  DELETE FROM webhook w USING writer WHERE w.id = $1::uuid RETURNING w.*
), l AS (
  DELETE FROM webhook_lease x USING done WHERE x.webhook_id = done.id
), waiting AS MATERIALIZED (
  SELECT d.delivery_id FROM webhook_due d WHERE d.webhook_id = (SELECT id FROM done) ORDER BY d.delivery_id LIMIT 10000 FOR UPDATE
), due AS (
  DELETE FROM webhook_due d USING waiting WHERE d.webhook_id = $1::uuid AND d.delivery_id = waiting.delivery_id
))sql" + audit_sql("webhook.delete", "done", detail_with("url")) +
                               answer;

statements prepared() {
  statements out{
      {"list", "SELECT " + webhook_columns +
                   " FROM webhook w WHERE w.id < $1 AND ($2::text[] IS NULL OR w.projects <@ $2::text[]) "
                   "ORDER BY w.id DESC LIMIT $3"},
      {"find", "SELECT " + webhook_columns + " FROM webhook w WHERE w.id = $1"},
      {"create", create_sql},
      {"change", change_sql},
      {"rotate", rotate_sql},
      {"remove", remove_sql},
  };
  out.insert(out.end(), delivery_statements().begin(), delivery_statements().end());
  return out;
}

class webhook_tables final : public webhook_registry {
public:
  explicit webhook_tables(const store_config& config)
      : config_(config), session_(config.conninfo, prepared(), config.breakers) {
  }

  result<page<webhook>> list(const page_request& at, const std::optional<std::vector<std::string>>& projects) override {
    const auto from = at.cursor ? webhook_id::parse(*at.cursor) : std::nullopt;
    const auto filter = projects ? std::optional(array_of(*projects)) : std::nullopt;
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      page<webhook> out;
      for (const auto& row : tx.exec_prepared("list", from ? from->uuid() : "ffffffff-ffff-ffff-ffff-ffffffffffff",
                                              or_null(filter), at.limit + 1))
        out.items.push_back(webhook_from(row));
      if (out.items.size() > static_cast<std::size_t>(at.limit)) {
        out.items.pop_back();
        out.next_cursor = out.items.back().id.text();
      }
      return out;
    });
  }

  result<std::optional<webhook>> find(const webhook_id& id) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) -> std::optional<webhook> {
      const auto rows = tx.exec_prepared("find", id.uuid());
      return rows.empty() ? std::nullopt : std::optional(webhook_from(rows[0]));
    });
  }

  result<webhook_mint_receipt> create(const webhook& what, const secret& plain, const key_writer& writer) override {
    auto first = what;
    auto verdict = session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const auto row = insert(tx, what, plain, writer);
      if (!row[2].is_null())
        first = webhook_from(row, 2);
      else if (!row[1].is_null())
        first.id = webhook_id::from_uuid(row[1].c_str()).value_or(what.id);
      return std::string(row[0].c_str());
    });
    if (!verdict)
      return std::move(verdict.error());
    if (*verdict == "writer_changed")
      return webhook_mint_receipt{mint_verdict::writer_changed, {}};
    if (*verdict == "conflict")
      return webhook_mint_receipt{mint_verdict::conflict, {}};
    if (*verdict == "created")
      return webhook_mint_receipt{mint_verdict::created, std::move(first)};
    return replayed(std::move(first));
  }

  result<webhook_receipt> change(const webhook& what, const key_writer& writer) override {
    const auto projects = what.projects ? std::optional(array_of(*what.projects)) : std::nullopt;
    return changed([&](pqxx::transaction_base& tx) {
      return exec_written(tx, "change", what.id, writer, what.url, array_of(what.events), or_null(projects),
                          what.description, what.enabled, what.ordered, what.revision,
                          cleaned(config_.audited.get(), what.url));
    });
  }

  result<webhook_receipt> rotate(const webhook_id& id, const secret& plain, std::chrono::seconds overlap,
                                 const key_writer& writer) override {
    return changed([&](pqxx::transaction_base& tx) {
      return exec_written(tx, "rotate", id, writer, sealed(id, plain), interval_of(overlap));
    });
  }

  result<webhook_receipt> remove(const webhook_id& id, const key_writer& writer) override {
    return changed([&](pqxx::transaction_base& tx) { return exec_written(tx, "remove", id, writer); });
  }

  result<page<delivery>> deliveries(const list_deliveries& what) override {
    return list_of_deliveries(session_, what);
  }

  result<std::optional<delivery>> find_delivery(const webhook_id& webhook, const delivery_id& id) override {
    return postgres::find_delivery(session_, webhook, id);
  }

  result<delivery_receipt> test(const webhook_id& id, const key_writer& writer) override {
    return test_webhook(session_, id, writer);
  }

  result<delivery_receipt> redeliver(const webhook_id& webhook, const delivery_id& id,
                                     const key_writer& writer) override {
    return send_again(session_, webhook, id, writer);
  }

  result<replay_receipt> replay(const replay_deliveries& what, const key_writer& writer) override {
    return send_again(session_, what, writer);
  }

private:
  std::string sealed(const webhook_id& id, const secret& plain) {
    return bytea_hex(config_.sealer->seal(plain.reveal(), secret_place(id)));
  }

  pqxx::row insert(pqxx::transaction_base& tx, const webhook& what, const secret& plain, const key_writer& writer) {
    std::optional<std::string> scope;
    std::optional<std::string> digest;
    if (writer.idempotency) {
      scope = bytea_hex(as_bytes(scope_of(writer.from, *writer.idempotency)));
      digest = bytea_hex(as_bytes(config_.sealer->mac(as_bytes(writer.idempotency->body_digest))));
    }
    const auto projects = what.projects ? std::optional(array_of(*what.projects)) : std::nullopt;
    const auto created_by = what.created_by ? std::optional(what.created_by->uuid()) : std::nullopt;
    return exec_written(tx, "create", what.id, writer, writer.family.uuid(), or_null(scope), or_null(digest),
                        interval_of(config_.idempotency_retention), what.url, array_of(what.events), or_null(projects),
                        what.description, what.enabled, what.ordered, sealed(what.id, plain), or_null(created_by),
                        cleaned(config_.audited.get(), what.url));
  }

  // `first` is what was asked for, with the id of the first one: the same body made that. When, the row says, or else
  // its id.
  result<webhook_mint_receipt> replayed(webhook first) {
    auto stored = find(first.id);
    if (!stored)
      return std::move(stored.error());
    first.created_at = *stored ? (*stored)->created_at : timestamp(std::chrono::milliseconds(first.id.unix_ms()));
    if (*stored)
      first.created_by = (*stored)->created_by;
    return webhook_mint_receipt{mint_verdict::replayed, std::move(first)};
  }

  // `write(tx)` answers as exec_written() says, then the webhook if it was changed.
  template <class Write>
  result<webhook_receipt> changed(Write write) {
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const pqxx::row row = write(tx);
      if (!row[0].as<bool>())
        return webhook_receipt{change_verdict::writer_changed, {}};
      if (row[2].is_null())
        return webhook_receipt{row[1].as<bool>() ? change_verdict::stale : change_verdict::not_found, {}};
      return webhook_receipt{change_verdict::changed, webhook_from(row, 2)};
    });
  }

  store_config config_;
  session session_;
};

} // namespace

std::shared_ptr<webhook_registry> make_webhook_registry(const store_config& config) {
  return std::make_shared<webhook_tables>(config);
}

} // namespace rdev::postgres
