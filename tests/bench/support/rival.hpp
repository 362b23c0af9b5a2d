// A PostgreSQL as rdev-api runs it, and pgbench on it: what the store actor is measured beside.
#pragma once

#include "adapters/postgres/embedded_server.hpp"
#include "adapters/postgres/migrations.hpp"
#include "tests/support/test_database.hpp"

#include <pqxx/pqxx>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

namespace rdev::bench {

// Ours, with the settings that rdev-api gives it, but for room for pgbench's connections.
class database {
public:
  database() {
    test::end_with_program(folder_.path());
    start();
    run("ALTER SYSTEM SET max_connections = 120");
    server_->stop();
    start();
    if (auto migrated = postgres::migrate(conninfo()); !migrated)
      throw std::runtime_error(migrated.error().message);
    run("CREATE TABLE plain (LIKE command, PRIMARY KEY (id))");
    auto sealer = make_sealer("k1:" + to_base64(std::string(32, 'k')));
    stores_.conninfo = conninfo();
    stores_.sealer = std::move(*sealer);
  }
  [[nodiscard]] std::string conninfo() const {
    return postgres::embedded_conninfo(folder_.path());
  }
  [[nodiscard]] const postgres::store_config& stores() const {
    return stores_;
  }
  [[nodiscard]] std::string in_folder(const std::string& name) const {
    return folder_.path() + "/" + name;
  }
  std::string run(const std::string& sql) const {
    pqxx::connection c(conninfo());
    pqxx::nontransaction tx(c);
    const auto rows = tx.exec(sql);
    return rows.empty() ? std::string() : rows[0][0].c_str();
  }
  [[nodiscard]] std::uint64_t count(const std::string& table) const {
    return std::stoull(run("SELECT count(*) FROM " + table));
  }

private:
  void start() {
    auto started = postgres::start_embedded({folder_.path(), test::database_user}, log_);
    if (!started)
      throw std::runtime_error(started.error().message);
    server_ = std::move(*started);
  }

  test::silent_log log_;
  test::temporary_folder folder_;
  std::unique_ptr<postgres::embedded_server> server_;
  postgres::store_config stores_;
};

inline std::string pgbench_program() {
  for (const auto* path : {"/usr/lib/postgresql/17/bin/pgbench", "/usr/lib/postgresql/16/bin/pgbench",
                           "/usr/lib/postgresql/15/bin/pgbench", "/usr/bin/pgbench"})
    if (std::filesystem::exists(path))
      return path;
  throw std::runtime_error("pgbench is missing: it comes with the package postgresql-15");
}

// A row with the columns and the values of a command.
inline std::string write_pgbench_script(const database& db) {
  auto path = db.in_folder("plain.pgbench");
  std::ofstream file(path);
  file << "INSERT INTO plain SELECT gen_random_uuid(), 'demo', '" << command_id::make().uuid() << "', '"
       << command_id::make().uuid() << "', 'shell', 2, 1800, clock_timestamp(), '"
       << db.run("SELECT replace(spec::text, '''', '''''') FROM command LIMIT 1") << "';\n";
  return path;
}

// Transactions a second, as pgbench counts them (without the time it takes to connect).
inline double run_pgbench(const database& db, const std::string& script_path, int clients,
                          std::chrono::seconds how_long) {
  const auto command = pgbench_program() + " -n -M prepared -c " + std::to_string(clients) + " -j 2 -T " +
                       std::to_string(how_long.count()) + " -f " + script_path + " '" + db.conninfo() + "' 2>&1";
  auto* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr)
    throw std::runtime_error("pgbench cannot be started");
  std::string said;
  std::array<char, 4096> piece{};
  for (std::size_t n = 0; (n = ::fread(piece.data(), 1, piece.size(), pipe)) > 0;)
    said.append(piece.data(), n);
  const int status = ::pclose(pipe);
  const auto at = said.find("tps = ");
  if (status != 0 || at == std::string::npos)
    throw std::runtime_error("pgbench failed: " + said);
  return std::strtod(said.c_str() + at + 6, nullptr);
}

} // namespace rdev::bench
