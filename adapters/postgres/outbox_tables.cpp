// Lane `webhooks`: the outbox and what is sent of it.
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/command_rows.hpp"
#include "adapters/postgres/stores.hpp"
#include "adapters/postgres/webhook_rows.hpp"

namespace rdev::postgres {

namespace {

// Of an ordered webhook only the first one counts: the others wait for it.
const std::string mine_sql = "SELECT " + webhook_columns + R"sql(, w.secret,
       CASE WHEN w.former_until > clock_timestamp() THEN w.former_secret END, l.token,
       w.enabled AND CASE WHEN w.ordered
         THEN coalesce((SELECT d.due_at FROM webhook_due d WHERE d.webhook_id = w.id ORDER BY d.delivery_id LIMIT 1)
                       <= statement_timestamp(), false)
         ELSE EXISTS (SELECT 1 FROM webhook_due d WHERE d.webhook_id = w.id AND d.due_at <= statement_timestamp() LIMIT 1) END
  FROM webhook_lease l JOIN webhook w ON w.id = l.webhook_id WHERE l.node_id = $1::uuid ORDER BY w.id)sql";

const std::string due_sql = R"sql(
SELECT o_delivery, o_sequence, o_attempts, ceil(extract(epoch FROM o_due_at - clock_timestamp()) * 1000)::bigint,
       (o_event).id, (o_event).event, (extract(epoch FROM (o_event).at) * 1000000)::bigint, (o_event).project,
       (o_event).command_id, o_command_type, (o_event).key_id, (o_event).data
  FROM rdev_due($1, $2, $3))sql";

const std::string disable_failing_sql = R"sql(
SELECT rdev_disable_webhooks(array_agg(id), array_agg('it has failed since ' ||
         to_char(failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), max(at))
  FROM (SELECT w.id, w.failing_since, t.at FROM (SELECT clock_timestamp() - $1::interval AS at) AS t
          JOIN webhook w ON w.enabled AND w.failing_since <= t.at) AS failing HAVING count(*) > 0)sql";

const statements prepared{
    {"spread", "SELECT * FROM rdev_spread($1)"},
    {"own", "SELECT * FROM rdev_own($1)"},
    {"mine", mine_sql},
    {"release", "DELETE FROM webhook_lease WHERE node_id = $1 AND webhook_id = ANY ($2::uuid[])"},
    {"due", due_sql},
    {"record", "SELECT rdev_record($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::bigint[], $6::bigint[], "
               "$7::int[], $8::bigint[], $9::text[], $10::text[])"},
    {"disable_failing", disable_failing_sql},
    {"pending", "SELECT count(*) FROM webhook_due d WHERE EXISTS (SELECT 1 FROM webhook w WHERE w.id = d.webhook_id)"},
};

std::string_view name_of(attempt_outcome outcome) {
  switch (outcome) {
  case attempt_outcome::delivered:
    return "delivered";
  case attempt_outcome::retry:
    return "retry";
  case attempt_outcome::failed:
    return "failed";
  case attempt_outcome::disable:
    return "disable";
  }
  return "failed";
}

due_delivery due_from(const pqxx::row& row) {
  due_delivery out;
  out.id = *delivery_id::from_uuid(row[0].c_str());
  out.sequence = row[1].as<std::int64_t>();
  out.attempts = row[2].as<int>();
  out.due_in = std::chrono::milliseconds(row[3].as<std::int64_t>());
  out.what.id = *message_id::from_uuid(row[4].c_str());
  out.what.event = row[5].c_str();
  out.what.at = time_of(row[6]);
  out.what.project = maybe_text(row[7]);
  if (!row[8].is_null())
    out.what.command = command_id::from_uuid(row[8].c_str());
  out.what.command_type = row[9].c_str(); // empty for NULL
  if (!row[10].is_null())
    out.what.key = key_id::from_uuid(row[10].c_str());
  out.what.data = row[11].c_str();
  return out;
}

class outbox_tables final : public webhook_outbox {
public:
  explicit outbox_tables(const store_config& config)
      : sealer_(config.sealer), session_(config.conninfo, prepared, config.breakers) {
  }

  result<fan_out> spread(int most) override {
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const auto row = tx.exec_prepared1("spread", most);
      fan_out out;
      out.events = row[0].as<int>();
      for (const auto& id : elements_of(row[1].c_str()))
        out.webhooks.push_back(*webhook_id::from_uuid(id));
      out.more = row[2].as<bool>();
      out.held = row[3].as<bool>();
      return out;
    });
  }

  result<ownership> own(const node_id& node) override {
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const auto row = tx.exec_prepared1("own", node.uuid());
      ownership out;
      out.left = std::chrono::milliseconds(row[0].as<std::int64_t>());
      out.share = row[1].as<int>();
      for (const auto& one : tx.exec_prepared("mine", node.uuid()))
        out.mine.push_back(owned_from(one));
      return out;
    });
  }

  result<done> release(const node_id& node, std::span<const webhook_id> webhooks) override {
    array_literal ids;
    for (const auto& id : webhooks)
      ids.add(std::string_view(id.uuid()));
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("release", node.uuid(), ids.text());
      return done{};
    });
  }

  result<std::vector<due_delivery>> due(const webhook_id& id, std::int64_t token, int most) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<due_delivery> out;
      for (const auto& row : tx.exec_prepared("due", id.uuid(), token, most))
        out.push_back(due_from(row));
      return out;
    });
  }

  result<std::vector<bool>> record(std::span<const attempt_record> batch) override {
    std::array<array_literal, 10> c;
    for (const auto& r : batch) {
      c[0].add(std::string_view(r.webhook.uuid()));
      c[1].add_number(r.token);
      c[2].add(std::string_view(r.delivery.uuid()));
      c[3].add(name_of(r.outcome));
      c[4].add_number(r.retry_in.count());
      c[5].add_number(r.ago.count());
      r.what.status ? c[6].add_number(*r.what.status) : c[6].add_null();
      c[7].add_number(r.what.latency.count());
      c[8].add(std::string_view(r.what.error));
      c[9].add(std::string_view(r.what.body));
    }
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      std::vector<bool> out(batch.size());
      const auto row = tx.exec_prepared1("record", c[0].text(), c[1].text(), c[2].text(), c[3].text(), c[4].text(),
                                         c[5].text(), c[6].text(), c[7].text(), c[8].text(), c[9].text());
      for (const auto& place : elements_of(row[0].c_str()))
        out.at(std::stoul(place) - 1) = true;
      return out;
    });
  }

  result<int> disable_failing(std::chrono::milliseconds failing_for) override {
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const auto rows = tx.exec_prepared("disable_failing", interval_of(failing_for));
      return rows.empty() ? 0 : rows[0][0].as<int>();
    });
  }

  result<std::int64_t> pending() override {
    return session_.single(
        effect::reads, [&](pqxx::transaction_base& tx) { return tx.exec_prepared1("pending")[0].as<std::int64_t>(); });
  }

private:
  owned_webhook owned_from(const pqxx::row& row) {
    owned_webhook out;
    out.webhook = webhook_from(row);
    out.secrets.current = opened(row[webhook_column_count], out.webhook.id).value_or(secret());
    out.secrets.former = opened(row[webhook_column_count + 1], out.webhook.id);
    out.token = row[webhook_column_count + 2].as<std::int64_t>();
    out.has_due = row[webhook_column_count + 3].as<bool>();
    return out;
  }

  // None where there is none, or it was sealed under a key that is not in the ring.
  std::optional<secret> opened(const pqxx::field& sealed, const webhook_id& id) {
    if (sealed.is_null())
      return std::nullopt;
    auto plain = sealer_->open(bytes_of_hex(sealed.c_str()), secret_place(id));
    return plain ? std::optional(secret(std::move(*plain))) : std::nullopt;
  }

  std::shared_ptr<sealer> sealer_;
  session session_;
};

} // namespace

std::shared_ptr<webhook_outbox> make_webhook_outbox(const store_config& config) {
  return std::make_shared<outbox_tables>(config);
}

} // namespace rdev::postgres
