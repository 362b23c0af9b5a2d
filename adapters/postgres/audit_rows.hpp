// Rows of the audit log and of its chain. For this folder only.
#pragma once

#include "adapters/audit_store.hpp"

#include <pqxx/pqxx>

#include <string>

namespace rdev::postgres {

// Microseconds since the epoch. What a year of four digits cannot say is brought to its end: it was not written by us.
inline std::string microseconds_of(const std::string& column) {
  return "CASE WHEN " + column + " IS NOT NULL THEN (extract(epoch FROM greatest(least(" + column +
         ", '9999-12-31T23:59:59.999999Z'), '0001-01-01T00:00:00Z')) * 1000000)::bigint END";
}

// of `l`
inline const std::string entry_columns = "l.id, " + microseconds_of("l.at") +
                                         ", l.actor_key, l.actor_name, l.action, l.target, l.project, "
                                         "l.outcome, l.reason, l.client_ip, l.request_id, l.trace_id, l.detail::text";
inline constexpr int entry_column_count = 13;
audit_entry entry_from(const pqxx::row& row, int first = 0);

// of `s`
inline const std::string seal_columns = "s.seq, s.row_id, s.row_hash, s.prev_hash, s.hash";
inline constexpr int seal_column_count = 5;
audit_seal seal_from(const pqxx::row& row, int first = 0);

// of `c`
inline const std::string checkpoint_columns = "c.seq, c.hash, " + microseconds_of("c.at") + ", c.first_seq, " +
                                              microseconds_of("c.kept_from") + ", c.key, c.signature";
audit_checkpoint checkpoint_from(const pqxx::row& row);

} // namespace rdev::postgres
