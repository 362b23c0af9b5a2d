#include "adapters/postgres/migrations.hpp"

#include "adapters/crypto.hpp"
#include "adapters/postgres/session.hpp"

namespace rdev::postgres {

namespace {

constexpr const char* lock_sql = "SELECT pg_advisory_lock(7233960000)";
constexpr const char* there_sql = "SELECT to_regclass('schema_migrations') IS NOT NULL, current_user, "
                                  "coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)";
constexpr const char* table_sql = "CREATE TABLE schema_migrations (version int PRIMARY KEY, name text "
                                  "NOT NULL, checksum text NOT NULL, "
                                  "applied_at timestamptz NOT NULL DEFAULT clock_timestamp())";

int apply_missing(pqxx::connection& c) {
  pqxx::nontransaction look(c);
  look.exec(lock_sql);
  const auto& known = all_migrations();
  const auto schema = look.exec1(there_sql);
  const auto must_own = [&](std::size_t version) {
    if (!schema[2].as<bool>())
      throw std::runtime_error("the schema has version " + std::to_string(version) + ", this program needs " +
                               std::to_string(known.back().version) + ", and the role \"" + schema[1].c_str() +
                               "\" may not change it: run `rdev-api migrate` as the owner of the tables");
  };
  if (!schema[0].as<bool>()) {
    must_own(0);
    look.exec(table_sql);
  }
  const auto there = look.exec("SELECT version, checksum FROM schema_migrations ORDER BY version");
  look.commit();
  for (const auto& row : there) {
    const auto version = row[0].as<int>();
    if (version > known.back().version)
      throw std::runtime_error("the schema has version " + std::to_string(version) +
                               ", this program understands up to " + std::to_string(known.back().version) +
                               ": run a newer rdev-api");
    if (to_hex(sha256(known.at(static_cast<std::size_t>(version - 1)).sql)) != row[1].c_str())
      throw std::runtime_error("migration " + std::to_string(version) + " was applied with another text");
  }
  if (there.size() < known.size())
    must_own(there.size());
  for (auto i = there.size(); i < known.size(); ++i) {
    pqxx::work tx(c);
    tx.exec("SET LOCAL client_min_messages = warning");
    tx.exec(known[i].sql);
    tx.exec_params("INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)", known[i].version,
                   known[i].name, to_hex(sha256(known[i].sql)));
    tx.commit();
  }
  return known.back().version;
}

} // namespace

result<int> migrate(const std::string& conninfo) {
  try {
    pqxx::connection c(with_timeouts(conninfo));
    return apply_missing(c); // the lock goes with the connection
  } catch (const pqxx::broken_connection& e) {
    return failure{fault::unavailable, e.what()};
  } catch (const std::exception& e) {
    return failure{fault::invalid, e.what()};
  }
}

} // namespace rdev::postgres
