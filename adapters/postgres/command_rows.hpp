// Commands as rows, there and back. For this folder only.
#pragma once

#include "adapters/censor.hpp"
#include "adapters/crypto.hpp"
#include "adapters/postgres/session.hpp"
#include "messages/values/operations.hpp"

#include <optional>
#include <string>

namespace rdev::postgres {

// script, argv, prompt, workdir and the names of env, as JSON text for column `spec`.
std::string spec_of(const submission& what);
// The same for an audit record, without secrets; none: there are none in it.
std::optional<std::string> clean_spec_of(const submission& what, const censor* by);
// The values of env, sealed for their row; empty when there are none.
std::string sealed_env(const command& c, sealer& seal);

// Columns that make a lease, in the order lease_from() reads them; `l` = lease, `c` = command, `s` = command_secret.
// Inline, so that it is there before any statement that is put together from it.
inline const std::string lease_columns =
    "l.command_id, c.project, c.key_id, c.family, c.type, c.priority, c.timeout_s, "
    "(extract(epoch FROM c.created_at) * 1000000)::bigint, c.spec, s.env, l.token, l.attempt, l.start_intent, "
    "(extract(epoch FROM l.started_at) * 1000000)::bigint, l.cancel, l.scope, "
    "(extract(epoch FROM clock_timestamp() - l.started_at) * 1000)::bigint";
inline constexpr int lease_column_count = 17;
// `asked_at`: of the boot clock, before the statement was sent.
lease lease_from(const pqxx::row& row, sealer& seal, std::chrono::milliseconds asked_at);

// Column `cancel` of a lease.
std::optional<cancel_reason> cancel_from(const pqxx::field& f);

std::array<std::uint8_t, 32> scope_of(const request_context& from, const idempotency& key);

// The result columns of command_result `r`, starting at `first`, and a result out of them; none while it is NULL.
inline const std::string result_columns =
    "r.status, r.reason, r.exit_code, r.signal, r.survivors, (extract(epoch FROM r.started_at) * 1000000)::bigint, "
    "(extract(epoch FROM r.finished_at) * 1000000)::bigint, r.out_bytes, r.out_sha256, r.out_total, r.err_bytes, "
    "r.err_sha256, r.err_total, r.complete";
std::optional<command_result> result_from(const pqxx::row& row, int first);

std::string as_bytes(const std::array<std::uint8_t, 32>& digest);
std::string interval_of(std::chrono::milliseconds d);

} // namespace rdev::postgres
