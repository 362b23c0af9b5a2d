#include "tests/support/test_database.hpp"

#include "adapters/postgres/embedded_server.hpp"
#include "adapters/postgres/migrations.hpp"

#include <pqxx/pqxx>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace rdev::test {

namespace {

constexpr const char* template_name = "migrated";

// The watching process: waits until the other end of the pipe is gone with its owner, then clears up.
[[noreturn]] void clear_up_after(int pipe_end, const std::string& data_dir) {
  ::setsid();
  char byte = 0;
  while (::read(pipe_end, &byte, 1) < 0 && errno == EINTR) {
  }
  if (const int pid = postmaster_of(data_dir); pid > 0) {
    ::kill(pid, SIGQUIT);
    for (int i = 0; i < 200 && ::kill(pid, 0) == 0; ++i)
      ::poll(nullptr, 0, 10);
    ::kill(pid, SIGKILL);
  }
  std::error_code none;
  const auto conninfo = postgres::embedded_conninfo(data_dir);
  std::filesystem::remove_all(conninfo.substr(5, conninfo.find(' ') - 5), none); // behind `host=`
  std::filesystem::remove_all(data_dir, none);
  ::_exit(0);
}

// The one server of this program, made by the first database.
class server {
public:
  server() {
    end_with_program(folder_.path());
    auto started = postgres::start_embedded({folder_.path(), database_user}, log_);
    if (!started)
      throw std::runtime_error("no PostgreSQL for the tests: " + started.error().message);
    server_ = std::move(*started);
    conninfo_ = postgres::embedded_conninfo(folder_.path());
    admin("ALTER SYSTEM SET fsync = off"); // nothing here has to outlive a power cut
    admin("SELECT pg_reload_conf()");
    admin(std::string("CREATE DATABASE ") + template_name);
    if (auto done = postgres::migrate(conninfo_ + " dbname=" + template_name); !done)
      throw std::runtime_error("the migrations failed: " + done.error().message);
  }
  void admin(const std::string& sql) const {
    pqxx::connection c(conninfo_ + " dbname=postgres");
    pqxx::nontransaction(c).exec(sql);
  }
  [[nodiscard]] const std::string& conninfo() const {
    return conninfo_;
  }

private:
  silent_log log_;
  temporary_folder folder_;
  std::unique_ptr<postgres::embedded_server> server_;
  std::string conninfo_;
};

server& the_server() {
  static server one;
  return one;
}

std::string next_name() {
  static std::atomic<int> n{0};
  return "test_" + std::to_string(++n);
}

} // namespace

temporary_folder::temporary_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "rdev-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr || ::chmod(name.c_str(), 0755) != 0)
    throw std::runtime_error("no temporary folder");
  path_ = name;
}

temporary_folder::~temporary_folder() {
  std::error_code none;
  std::filesystem::remove_all(path_, none);
}

int postmaster_of(const std::string& data_dir) {
  std::ifstream file(data_dir + "/postgres/postmaster.pid");
  int pid = 0;
  return file >> pid ? pid : 0;
}

void end_with_program(const std::string& data_dir) {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0)
    throw std::runtime_error("no pipe");
  const auto pid = ::fork();
  if (pid < 0)
    throw std::runtime_error("no process to clear up");
  if (pid == 0) {
    ::dup2(fds[0], 3);
    ::close_range(4, ~0U, 0);
    // Whoever reads the program's output must not wait for this process.
    const int nowhere = ::open("/dev/null", O_RDWR);
    for (const int fd : {0, 1, 2})
      ::dup2(nowhere, fd);
    clear_up_after(3, data_dir);
  }
  ::close(fds[0]); // fds[1] stays open for the life of the program: that is the sign
}

test_database::test_database(bool migrated) : name_(next_name()) {
  auto& server = the_server();
  server.admin("CREATE DATABASE " + name_ + " TEMPLATE " + (migrated ? template_name : "template0"));
  conninfo_ = server.conninfo() + " dbname=" + name_;
  auto made = make_sealer("k1:" + to_base64(std::string(32, 'k')));
  sealer_ = std::move(*made);
}

test_database::~test_database() {
  try {
    the_server().admin("DROP DATABASE IF EXISTS " + name_ + " WITH (FORCE)");
  } catch (const std::exception&) {
    return; // it goes with the server
  }
}

postgres::store_config test_database::stores() const {
  postgres::store_config out;
  out.conninfo = conninfo_;
  out.sealer = sealer_;
  return out;
}

std::vector<std::vector<std::string>> test_database::rows(const std::string& sql) const {
  pqxx::connection c(conninfo_);
  pqxx::nontransaction tx(c);
  std::vector<std::vector<std::string>> out;
  for (const auto& row : tx.exec(sql)) {
    auto& fields = out.emplace_back();
    for (const auto& field : row)
      fields.emplace_back(field.is_null() ? "NULL" : field.c_str());
  }
  return out;
}

std::string test_database::one(const std::string& sql) const {
  return rows(sql).at(0).at(0);
}

void test_database::run(const std::string& sql) const {
  [[maybe_unused]] const auto ignored = rows(sql);
}

struct session_lock::holder {
  explicit holder(const std::string& conninfo) : connection(conninfo), transaction(connection) {
  }
  pqxx::connection connection;
  pqxx::nontransaction transaction;
};

session_lock::session_lock(const test_database& db, std::int64_t number)
    : db_(db), holder_(std::make_unique<holder>(db.conninfo())) {
  holder_->transaction.exec("SELECT pg_advisory_lock(" + std::to_string(number) + ")");
}

session_lock::~session_lock() = default;

bool session_lock::somebody_waits() const {
  for (int i = 0; i < 3000; ++i) {
    if (db_.one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())") != "0")
      return true;
    ::poll(nullptr, 0, 10);
  }
  return false;
}

} // namespace rdev::test
