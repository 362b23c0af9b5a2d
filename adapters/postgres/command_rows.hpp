// Commands as rows, there and back. For this folder only.
#pragma once

#include "adapters/crypto.hpp"
#include "adapters/postgres/session.hpp"
#include "messages/values/operations.hpp"

#include <string>

namespace rdev::postgres {

// script, argv, prompt, workdir and the names of env, as JSON text for column `spec`.
std::string spec_of(const submission& what);
// The values of env, sealed for their row; empty when there are none.
std::string sealed_env(const command& c, sealer& seal);

// Columns that make a lease, in the order lease_from() reads them; `l` = lease, `c` = command, `s` = command_secret.
extern const std::string lease_columns;
// Fault `invalid`: the env cannot be opened.
result<lease> lease_from(const pqxx::row& row, sealer& seal);

std::array<std::uint8_t, 32> scope_of(const request_context& from, const idempotency& key);

// The result columns of command_result `r`, starting at `first`, and a result out of them; none while it is NULL.
extern const std::string result_columns;
std::optional<command_result> result_from(const pqxx::row& row, int first);

std::string as_bytes(const std::array<std::uint8_t, 32>& digest);
std::string interval_of(std::chrono::milliseconds d);

} // namespace rdev::postgres
