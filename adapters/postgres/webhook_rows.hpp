// Webhooks and their deliveries as rows, there and back. For this folder only.
#pragma once

#include "adapters/crypto.hpp"
#include "adapters/postgres/session.hpp"
#include "adapters/webhook_store.hpp"

#include <string>

namespace rdev::postgres {

// Columns that make a webhook, in the order webhook_from() reads them; `w` = webhook.
inline const std::string webhook_columns =
    "w.id, w.url, w.events, w.projects, w.description, w.enabled, w.ordered, w.disabled_reason, "
    "(extract(epoch FROM w.failing_since) * 1000000)::bigint, (extract(epoch FROM w.created_at) * 1000000)::bigint, "
    "w.created_by, w.revision";
inline constexpr int webhook_column_count = 12;
webhook webhook_from(const pqxx::row& row, int first = 0);

// How the secrets of a webhook are bound to their row.
std::string secret_place(const webhook_id& id);

// Begins a statement that writes for a key: CTE `writer` has a row while that key is what it was. Parameters 1 to 7:
// the webhook, the key (NULL = rdev itself), its name, address, request, trace, its revision.
inline const std::string writer_sql = R"sql(
WITH writer AS MATERIALIZED (SELECT 1 WHERE rdev_may_write($2::uuid, $7::int)
), )sql";

// CTE `a`: an audit row of `action` for the one row of `from`, with `detail`, an expression over that row.
inline std::string audit_sql(const std::string& action, const std::string& from, const std::string& detail) {
  return ", a AS (INSERT INTO audit_log (actor_key, actor_name, action, target, outcome, client_ip, request_id, "
         "trace_id, detail) SELECT $2::uuid, $3, '" +
         action + "', $1::uuid::text, 'allowed', $4, $5, $6, " + detail + " FROM " + from + ") ";
}

// `rest`: the parameters of the statement from 8 on. The answer's first two columns: whether the writer's key is what
// it was, and whether there is such a webhook.
template <class... Rest>
pqxx::row exec_written(pqxx::transaction_base& tx, const char* statement, const webhook_id& id,
                       const key_writer& writer, Rest&&... rest) {
  const auto by = writer.by ? std::optional(writer.by->uuid()) : std::nullopt;
  return tx.exec_prepared1(statement, id.uuid(), or_null(by), writer.actor_name, writer.from.client_ip,
                           writer.from.request_id, writer.from.trace_id, writer.revision, std::forward<Rest>(rest)...);
}

// Deliveries: delivery_tables.cpp.
const statements& delivery_statements();
result<page<delivery>> list_of_deliveries(session& in, const list_deliveries& what);
result<std::optional<delivery>> find_delivery(session& in, const webhook_id& webhook, const delivery_id& id);
result<delivery_receipt> test_webhook(session& in, const webhook_id& id, const key_writer& writer);
result<delivery_receipt> send_again(session& in, const webhook_id& webhook, const delivery_id& id,
                                    const key_writer& writer);
result<replay_receipt> send_again(session& in, const replay_deliveries& what, const key_writer& writer);

} // namespace rdev::postgres
