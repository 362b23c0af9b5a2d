// A private PostgreSQL for a test program, through the project's own embedded server: in a temporary folder, as an
// unprivileged user, on a Unix socket. It ends with the program, also when the program is killed. Each database is a
// fresh copy of a migrated template.
#pragma once

#include "adapters/crypto.hpp"
#include "adapters/log.hpp"
#include "adapters/postgres/stores.hpp"

#include <memory>
#include <string>
#include <vector>

namespace rdev::test {

// A folder that everybody may enter (the database's user among them); removed at the end.
class temporary_folder {
public:
  temporary_folder();
  ~temporary_folder();
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  [[nodiscard]] const std::string& path() const {
    return path_;
  }

private:
  std::string path_;
};

// Forgets everything.
class silent_log final : public log {
public:
  [[nodiscard]] bool enabled(log_level) const override {
    return false;
  }
  void write(log_level, log_message, std::span<const log_field>) override {
  }
};

// Who the database runs as when the tests are run by root.
inline constexpr const char* database_user = "rdev-db";

// The postmaster of a data dir, from its lock file; 0 = none.
int postmaster_of(const std::string& data_dir);

// From the moment it is made until the program ends, however it ends: kills the PostgreSQL of `data_dir` and removes
// the folder, in case nobody else has.
void end_with_program(const std::string& data_dir);

// A database of its own. Throws std::runtime_error when the server cannot be had: the tests cannot go on without it.
class test_database {
public:
  explicit test_database(bool migrated = true);
  ~test_database();
  test_database(const test_database&) = delete;
  test_database& operator=(const test_database&) = delete;

  [[nodiscard]] const std::string& conninfo() const {
    return conninfo_;
  }
  [[nodiscard]] postgres::store_config stores() const;
  // Runs SQL as the owner; rows of text (NULL = `NULL`). Throws when the server refuses.
  [[nodiscard]] std::vector<std::vector<std::string>> rows(const std::string& sql) const;
  [[nodiscard]] std::string one(const std::string& sql) const; // first field of the first row
  void run(const std::string& sql) const;

private:
  std::string name_;
  std::string conninfo_;
  std::shared_ptr<rdev::sealer> sealer_;
};

// Holds an advisory lock for as long as it lives, as another session of the database would.
class session_lock {
public:
  session_lock(const test_database& db, std::int64_t number);
  ~session_lock();
  session_lock(const session_lock&) = delete;
  session_lock& operator=(const session_lock&) = delete;
  // Whether somebody comes to wait for it within 30 seconds.
  [[nodiscard]] bool somebody_waits() const;

private:
  struct holder;
  const test_database& db_;
  std::unique_ptr<holder> holder_;
};

} // namespace rdev::test
