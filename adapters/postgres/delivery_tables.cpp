// Deliveries as users see them and have them sent again.
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/webhook_rows.hpp"

namespace rdev::postgres {

namespace {

// What a filter leaves cannot be guessed beforehand: an index is to be followed until there is enough.
constexpr const char* in_order = "SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off";

// Where to look for deliveries first.
const std::string all_of_them = "webhook_delivery d";
std::string those_in(const std::string& table) {
  return "(SELECT s.webhook_id, s.delivery_id AS id, x.event_id, x.event, x.sequence, x.created_at FROM " + table +
         R"sql( s
   CROSS JOIN LATERAL (SELECT * FROM webhook_delivery x WHERE x.webhook_id = s.webhook_id AND x.id = s.delivery_id
                        LIMIT 1) AS x) AS d)sql";
}

// Sub-selects with a LIMIT are looked up row by row, so that only one partition of many is opened for each.
const std::string with_state = R"sql(
    JOIN (SELECT id, enabled FROM webhook) AS w ON w.id = d.webhook_id
    LEFT JOIN LATERAL (SELECT q.due_at FROM webhook_due q WHERE q.webhook_id = d.webhook_id AND q.delivery_id = d.id
                        LIMIT 1) AS q ON true
    LEFT JOIN LATERAL (SELECT true AS given_up FROM webhook_failed f
                        WHERE f.webhook_id = d.webhook_id AND f.delivery_id = d.id LIMIT 1) AS f ON true)sql";
const std::string status =
    R"sql(CASE WHEN q.due_at IS NOT NULL AND w.enabled THEN 'pending' WHEN q.due_at IS NOT NULL THEN 'blocked'
         WHEN f.given_up THEN 'failed' ELSE 'delivered' END)sql";
const std::string columns =
    "d.id, d.webhook_id, d.event, d.event_id, d.sequence, " + status +
    ", (extract(epoch FROM d.created_at) * 1000000)::bigint, CASE WHEN w.enabled THEN (extract(epoch FROM q.due_at) * "
    "1000000)::bigint END";

// Parameters `n` to `n` + 3: status, filters of events, from, to. The bounds of ids only keep partitions out.
std::string matches(int n) {
  const auto p = [&](int i) { return "$" + std::to_string(n + i); };
  return "($" + std::to_string(n) + "::text IS NULL OR " + status + " = " + p(0) + "::text) AND (" + p(1) +
         "::text[] IS NULL OR rdev_filters_of(d.event) && " + p(1) + "::text[]) AND (" + p(2) +
         "::timestamptz IS NULL OR d.created_at >= " + p(2) + ") AND (" + p(3) +
         "::timestamptz IS NULL OR d.created_at < " + p(3) + ") AND d.id >= coalesce(rdev_uuid7_floor(" + p(2) +
         "::timestamptz - interval '1 minute'), '00000000-0000-0000-0000-000000000000') AND d.id < "
         "coalesce(rdev_uuid7_floor(" +
         p(3) + "::timestamptz + interval '1 minute'), 'ffffffff-ffff-ffff-ffff-ffffffffffff')";
}

std::string list_sql(const std::string& from) {
  return "SELECT " + columns + " FROM " + from + with_state +
         " WHERE d.webhook_id = $1::uuid AND d.id < $2::uuid AND " + matches(3) + " ORDER BY d.id DESC LIMIT $7";
}

std::string again_sql(const std::string& chosen) {
  return writer_sql + "chosen AS MATERIALIZED (" + chosen + R"sql(
), due AS (
  INSERT INTO webhook_due (delivery_id, webhook_id, event_id, sequence, due_at)
  SELECT id, $1::uuid, event_id, sequence, statement_timestamp() FROM chosen
  ON CONFLICT (webhook_id, delivery_id) DO UPDATE SET attempts = 0, due_at = excluded.due_at
  RETURNING delivery_id
))sql";
}

std::string replay_sql(const std::string& from) {
  return again_sql("SELECT d.id, d.event_id, d.sequence FROM " + from + with_state +
                   " WHERE d.webhook_id = $1::uuid AND EXISTS (SELECT 1 FROM writer) AND " + matches(8) +
                   " ORDER BY d.id LIMIT 100000") +
         audit_sql("webhook.redeliver", "webhook w WHERE w.id = $1::uuid AND EXISTS (SELECT 1 FROM writer)",
                   "jsonb_build_object('deliveries', (SELECT count(*) FROM due), 'status', $8::text, 'events', "
                   "$9::text[], 'from', rdev_time($10::timestamptz), 'to', rdev_time($11::timestamptz))") +
         "SELECT EXISTS (SELECT 1 FROM writer), EXISTS (SELECT 1 FROM webhook WHERE id = $1::uuid), (SELECT count(*) "
         "FROM due)";
}

const std::string redeliver_sql =
    again_sql("SELECT d.id, d.event_id, d.sequence FROM webhook_delivery d JOIN webhook w ON w.id = d.webhook_id "
              "WHERE d.webhook_id = $1::uuid AND d.id = $8::uuid AND EXISTS (SELECT 1 FROM writer)") +
    audit_sql("webhook.redeliver", "due", "jsonb_build_object('delivery', delivery_id)") +
    "SELECT EXISTS (SELECT 1 FROM writer), true, (SELECT delivery_id FROM due)";

// Alone among those that give numbers to deliveries (rdev_spread), so after its lock.
const std::string test_sql = writer_sql + R"sql(tick AS (
  UPDATE webhook_cursor c SET tick = greatest((extract(epoch FROM clock_timestamp()) * 1000)::bigint << 12, c.tick) + 1
   WHERE EXISTS (SELECT 1 FROM webhook w, writer WHERE w.id = $1::uuid) RETURNING c.tick
), counted AS (
  UPDATE webhook w SET sequence = w.sequence + 1 FROM tick WHERE w.id = $1::uuid
  RETURNING w.sequence, rdev_uuid7_of_tick(tick.tick) AS delivery_id
), e AS (
  INSERT INTO event (event, key_id) SELECT 'webhook.test', $2::uuid FROM counted RETURNING id, event
), made AS (
  INSERT INTO webhook_delivery (id, webhook_id, event_id, event, sequence)
  SELECT c.delivery_id, $1::uuid, e.id, e.event, c.sequence FROM counted c, e
), due AS (
  INSERT INTO webhook_due (delivery_id, webhook_id, event_id, sequence, due_at)
  SELECT c.delivery_id, $1::uuid, e.id, c.sequence, statement_timestamp() FROM counted c, e RETURNING delivery_id
))sql" + audit_sql("webhook.test", "due", "jsonb_build_object('delivery', delivery_id)") +
                             "SELECT EXISTS (SELECT 1 FROM writer), true, (SELECT delivery_id FROM due)";

const std::string attempts_sql = R"sql(
SELECT u.id, a.* FROM unnest($1::uuid[]) AS u(id)
 CROSS JOIN LATERAL (SELECT (extract(epoch FROM t.at) * 1000000)::bigint, t.status, t.latency_ms, t.error, t.body
                       FROM webhook_attempt t WHERE t.delivery_id = u.id ORDER BY t.at LIMIT 1000) AS a)sql";

delivery delivery_from(const pqxx::row& row) {
  delivery out;
  out.id = *delivery_id::from_uuid(row[0].c_str());
  out.webhook = *webhook_id::from_uuid(row[1].c_str());
  out.event = row[2].c_str();
  out.message = *message_id::from_uuid(row[3].c_str());
  out.sequence = row[4].as<std::int64_t>();
  out.status = delivery_status_from(row[5].c_str()).value_or(delivery_status::pending);
  out.created_at = time_of(row[6]);
  out.next_attempt_at = maybe_time_of(row[7]);
  return out;
}

void add_attempts(pqxx::transaction_base& tx, std::vector<delivery>& to) {
  array_literal ids;
  for (const auto& one : to)
    ids.add(std::string_view(one.id.uuid()));
  auto current = to.begin();
  for (const auto& row : tx.exec_prepared("attempts", ids.text())) {
    const auto id = *delivery_id::from_uuid(row[0].c_str());
    while (current->id != id)
      ++current;
    delivery_attempt one;
    one.at = time_of(row[1]);
    if (!row[2].is_null())
      one.status = row[2].as<int>();
    one.latency = std::chrono::milliseconds(row[3].as<std::int64_t>());
    one.error = row[4].c_str();
    one.body = row[5].c_str();
    current->attempts.push_back(std::move(one));
  }
}

// A filter as parameters.
struct filter_texts {
  std::optional<std::string> status, events, from, to;
  explicit filter_texts(const delivery_filter& f) : from(text_of(f.from)), to(text_of(f.to)) {
    if (f.status)
      status = name_of(*f.status);
    if (!f.events.empty())
      events = array_of(f.events);
  }
};

// Of the statements with this name that one which goes by the smallest table.
std::string by_status(const std::string& name, const delivery_filter& f) {
  if (f.status == delivery_status::pending || f.status == delivery_status::blocked)
    return name + "_waiting";
  return name + (f.status == delivery_status::failed ? "_failed" : "_all");
}

// `written`: whether the writer's key is what it was, whether the webhook is there, which delivery it was.
result<delivery_receipt> receipt_of(session& in, const webhook_id& webhook, result<pqxx::row> written) {
  if (!written)
    return std::move(written.error());
  const auto& row = *written;
  if (!row[0].as<bool>())
    return delivery_receipt{change_verdict::writer_changed, {}};
  if (row[2].is_null())
    return delivery_receipt{change_verdict::not_found, {}};
  auto now = find_delivery(in, webhook, *delivery_id::from_uuid(row[2].c_str()));
  if (!now)
    return std::move(now.error());
  return *now ? delivery_receipt{change_verdict::changed, std::move(**now)}
              : delivery_receipt{change_verdict::not_found, {}};
}

} // namespace

const statements& delivery_statements() {
  static const statements all{
      {"deliveries_all", list_sql(all_of_them)},
      {"deliveries_failed", list_sql(those_in("webhook_failed"))},
      {"deliveries_waiting", list_sql(those_in("webhook_due"))},
      {"delivery", "SELECT " + columns + " FROM " + all_of_them + with_state +
                       " WHERE d.webhook_id = $1::uuid AND d.id = $2::uuid"},
      {"attempts", attempts_sql},
      {"lock_numbers", "SELECT pg_advisory_xact_lock(7233960005)"},
      {"test", test_sql},
      {"redeliver", redeliver_sql},
      {"replay_all", replay_sql(all_of_them)},
      {"replay_failed", replay_sql(those_in("webhook_failed"))},
      {"replay_waiting", replay_sql(those_in("webhook_due"))},
  };
  return all;
}

result<page<delivery>> list_of_deliveries(session& in, const list_deliveries& what) {
  const auto from = what.at.cursor ? delivery_id::parse(*what.at.cursor) : std::nullopt;
  const filter_texts f(what.which);
  return in.snapshot([&](pqxx::transaction_base& tx) {
    tx.exec(in_order);
    page<delivery> out;
    for (const auto& row :
         tx.exec_prepared(by_status("deliveries", what.which), what.webhook.uuid(),
                          from ? from->uuid() : "ffffffff-ffff-ffff-ffff-ffffffffffff", or_null(f.status),
                          or_null(f.events), or_null(f.from), or_null(f.to), what.at.limit + 1))
      out.items.push_back(delivery_from(row));
    if (out.items.size() > static_cast<std::size_t>(what.at.limit)) {
      out.items.pop_back();
      out.next_cursor = out.items.back().id.text();
    }
    add_attempts(tx, out.items);
    return out;
  });
}

result<std::optional<delivery>> find_delivery(session& in, const webhook_id& webhook, const delivery_id& id) {
  return in.snapshot([&](pqxx::transaction_base& tx) -> std::optional<delivery> {
    const auto rows = tx.exec_prepared("delivery", webhook.uuid(), id.uuid());
    if (rows.empty())
      return std::nullopt;
    std::vector<delivery> one{delivery_from(rows[0])};
    add_attempts(tx, one);
    return std::move(one.front());
  });
}

result<delivery_receipt> test_webhook(session& in, const webhook_id& id, const key_writer& writer) {
  return receipt_of(in, id, in.transact([&](pqxx::transaction_base& tx) {
    tx.exec_prepared("lock_numbers");
    return exec_written(tx, "test", id, writer);
  }));
}

result<delivery_receipt> send_again(session& in, const webhook_id& webhook, const delivery_id& id,
                                    const key_writer& writer) {
  return receipt_of(in, webhook, in.single(effect::writes, [&](pqxx::transaction_base& tx) {
    return exec_written(tx, "redeliver", webhook, writer, id.uuid());
  }));
}

result<replay_receipt> send_again(session& in, const replay_deliveries& what, const key_writer& writer) {
  const filter_texts f(what.which);
  return in.transact([&](pqxx::transaction_base& tx) {
    tx.exec(in_order);
    const auto row = exec_written(tx, by_status("replay", what.which).c_str(), what.webhook, writer, or_null(f.status),
                                  or_null(f.events), or_null(f.from), or_null(f.to));
    if (!row[0].as<bool>())
      return replay_receipt{change_verdict::writer_changed, 0};
    if (!row[1].as<bool>())
      return replay_receipt{change_verdict::not_found, 0};
    return replay_receipt{change_verdict::changed, row[2].as<std::int64_t>()};
  });
}

} // namespace rdev::postgres
