#include "adapters/postgres/embedded_server.hpp"

#include "adapters/closed_directory.hpp"
#include "adapters/crypto.hpp"
#include "adapters/postgres/server_log.hpp"

#include <pqxx/pqxx>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

namespace rdev::postgres {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto start_limit = 60s;
constexpr auto stop_limit = 10s;
constexpr int start_attempts = 20; // a watch interval apart
constexpr auto watch_interval = 250ms;
constexpr const char* database = "rdev";

struct account {
  bool change = false;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
};

failure wrong(std::string message) {
  return {fault::invalid, std::move(message)};
}

result<account> find_account(const std::string& user) {
  account out;
  const bool root = ::geteuid() == 0;
  const auto* entry = root ? ::getpwnam(user.c_str()) : ::getpwuid(::geteuid());
  if (entry == nullptr)
    return wrong("database.embedded_user: there is no user '" + user +
                 "'; make it with: useradd --system --no-create-home --shell /usr/sbin/nologin " + user);
  if (entry->pw_uid == 0)
    return wrong("database.embedded_user: PostgreSQL does not run as root; name another user");
  return account{root, entry->pw_uid, entry->pw_gid, entry->pw_name};
}

std::string binaries() {
  std::vector<std::string> found;
  std::error_code none;
  for (fs::directory_iterator it("/usr/lib/postgresql", none), end; !none && it != end; it.increment(none))
    if (fs::exists(it->path() / "bin/postgres"))
      found.push_back((it->path() / "bin").string());
  std::sort(found.begin(), found.end());
  return found.empty() ? "" : found.back();
}

// Short, since a socket's path may have 107 bytes; its own for each data dir.
std::string socket_dir_of(const std::string& data_dir) {
  const auto mark = to_hex(sha256(fs::weakly_canonical(data_dir).string())).substr(0, 12);
  if (::geteuid() == 0 && ::access("/run", W_OK) == 0)
    return "/run/rdev-" + mark;
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && std::strlen(runtime) < 60)
    return std::string(runtime) + "/rdev-" + mark;
  return "/tmp/rdev-" + std::to_string(::geteuid()) + "-" + mark;
}

// Runs `argv` as the account, with its output in `log_path`; session of its own, no inherited descriptors.
pid_t spawn(std::vector<std::string> argv, const account& who, const std::string& log_path) {
  std::vector<char*> arguments;
  for (auto& a : argv)
    arguments.push_back(a.data());
  arguments.push_back(nullptr);
  std::vector<std::string> environment{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC"};
  std::vector<char*> variables;
  for (auto& v : environment)
    variables.push_back(v.data());
  variables.push_back(nullptr);
  const int out = ::open(log_path.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  const int in = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const auto pid = ::fork();
  if (pid != 0) {
    ::close(out);
    ::close(in);
    return pid;
  }
  ::setsid();
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(out, STDERR_FILENO);
  ::close_range(3, ~0U, 0);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::umask(077);
  if (who.change && (::setgroups(1, &who.gid) != 0 || ::setgid(who.gid) != 0 || ::setuid(who.uid) != 0))
    ::_exit(126);
  if (::chdir("/") == 0)
    ::execve(arguments[0], arguments.data(), variables.data());
  ::_exit(127);
}

bool runs(const std::vector<std::string>& argv, const account& who, const std::string& log_path) {
  int status = 0;
  const auto pid = spawn(argv, who, log_path);
  return pid > 0 && ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class embedded final : public embedded_server {
public:
  embedded(embedded_config config, account who, std::string bin, log& out)
      : config_(std::move(config)), who_(std::move(who)), bin_(std::move(bin)),
        cluster_(config_.data_dir + "/postgres"), socket_dir_(socket_dir_of(config_.data_dir)),
        log_path_(config_.data_dir + "/postgres.log"), log_(out), told_(log_path_, config_.hidden_by, out) {
  }

  ~embedded() override {
    stop();
  }

  result<done> prepare() {
    if (const auto closed = who_.change ? closed_directory(config_.data_dir, who_.uid, who_.gid) : ""; !closed.empty())
      return wrong("the user '" + who_.name + "', as whom PostgreSQL runs, cannot enter " + closed +
                   "; mend it with: chmod o+x " + closed);
    if (auto made = make_socket_dir(); !made)
      return made;
    std::error_code none;
    if (fs::file_size(log_path_, none) > 16 * 1024 * 1024 && !none)
      fs::resize_file(log_path_, 0, none);
    return fs::exists(cluster_) ? result<done>(done{}) : initialise();
  }

  // A server that crashed may have left sessions behind, which end within moments; until then a new one gives up at
  // once.
  result<done> start() {
    bool up = false;
    for (int i = 0; i < start_attempts && !up; ++i) {
      if (i > 0)
        ::poll(nullptr, 0, static_cast<int>(watch_interval.count()));
      adopt_or_launch();
      up = accepts_connections();
      if (!up && alive())
        break; // it does not die, it does not answer
    }
    if (!up)
      told_.finish();
    if (!up)
      return failure{fault::unavailable, "PostgreSQL did not start; see " + log_path_};
    return make_database();
  }

  void watch() {
    thread_ = std::jthread([this](const std::stop_token& stop) { look_after(stop); });
  }

  void stop() override {
    if (thread_.joinable()) {
      thread_.request_stop();
      thread_.join();
    }
    if (!alive())
      return told_.finish();
    ::kill(pid_, SIGINT);
    const auto until = std::chrono::steady_clock::now() + stop_limit;
    while (alive() && std::chrono::steady_clock::now() < until)
      ::poll(nullptr, 0, 20);
    told_.finish();
    ::rmdir(socket_dir_.c_str()); // not while a socket is in it
    pid_ = 0;
  }

private:
  void adopt_or_launch() {
    pid_ = running_pid();
    child_ = pid_ <= 0;
    if (!child_) {
      log_.info("a running PostgreSQL of this data dir is used", {{"pid", std::int64_t{pid_}}});
      return;
    }
    if (auto made = make_socket_dir(); !made) // somebody may have cleared up meanwhile
      log_.error("PostgreSQL has no place for its socket", {{"error", made.error().message}});
    // What was in a statement or a row stays out of its log.
    pid_ = spawn({bin_ + "/postgres", "-D", cluster_, "-k", socket_dir_, "-c", "log_error_verbosity=terse", "-c",
                  "log_min_error_statement=panic"},
                 who_, log_path_);
  }

  result<done> make_socket_dir() const {
    if (::mkdir(socket_dir_.c_str(), 0700) != 0 && errno != EEXIST)
      return wrong("cannot make the socket directory " + socket_dir_ + ": " + std::strerror(errno));
    struct stat info {};
    if (::lstat(socket_dir_.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) ||
        (info.st_uid != ::geteuid() && info.st_uid != who_.uid))
      return wrong("the socket directory " + socket_dir_ + " belongs to somebody else; remove it");
    if (::chmod(socket_dir_.c_str(), 0700) != 0 ||
        (who_.change && ::chown(socket_dir_.c_str(), who_.uid, who_.gid) != 0))
      return wrong("cannot set the rights of " + socket_dir_ + ": " + std::strerror(errno));
    return done{};
  }

  // In a folder beside it, which gets its name when all is done: a crash leaves no half cluster.
  result<done> initialise() {
    const auto half = cluster_ + ".half";
    std::error_code none;
    fs::remove_all(half, none);
    if (::mkdir(half.c_str(), 0700) != 0 || (who_.change && ::chown(half.c_str(), who_.uid, who_.gid) != 0))
      return wrong("cannot make " + half + ": " + std::strerror(errno));
    if (!runs({bin_ + "/initdb", "-D", half, "-U", database, "-E", "UTF8", "--locale=C.UTF-8", "--auth=reject",
               "--no-sync"},
              who_, log_path_))
      return wrong("initdb failed; see " + log_path_);
    std::ofstream(half + "/pg_hba.conf") << "local all all peer map=rdev\n";
    std::ofstream ident(half + "/pg_ident.conf");
    ident << "rdev root rdev\nrdev " << who_.name << " rdev\n";
    ident.close();
    std::ofstream(half + "/postgresql.conf", std::ios::app)
        << "\n# written by rdev\nlisten_addresses = ''\nunix_socket_permissions = 0700\nmax_connections = 100\n"
           "shared_buffers = 128MB\njit = off\nwal_compression = lz4\ndefault_toast_compression = "
           "lz4\nautovacuum_naptime = 10s\n"
           "max_wal_size = 1GB\nlog_min_messages = warning\n";
    if (::rename(half.c_str(), cluster_.c_str()) != 0)
      return wrong("cannot make " + cluster_ + ": " + std::strerror(errno));
    return done{};
  }

  // The postmaster of this cluster, if it lives: its number alone proves nothing, its working directory does.
  [[nodiscard]] pid_t running_pid() const {
    std::ifstream file(cluster_ + "/postmaster.pid");
    pid_t pid = 0;
    if (!(file >> pid) || pid <= 0 || ::kill(pid, 0) != 0)
      return 0;
    std::error_code none;
    const auto where = fs::read_symlink("/proc/" + std::to_string(pid) + "/cwd", none);
    return !none && fs::equivalent(where, cluster_, none) ? pid : 0;
  }

  bool alive() {
    if (pid_ <= 0)
      return false;
    if (!child_)
      return running_pid() == pid_; // somebody else's child: it may be a zombie for long, or its number given away
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_)
      return true;
    pid_ = 0;
    return false;
  }

  bool accepts_connections() {
    const auto until = std::chrono::steady_clock::now() + start_limit;
    while (alive() && std::chrono::steady_clock::now() < until) {
      try {
        const pqxx::connection probe("host=" + socket_dir_ + " user=rdev dbname=postgres connect_timeout=3");
        return true;
      } catch (const std::exception&) {
        ::poll(nullptr, 0, 50);
      }
    }
    return false;
  }

  result<done> make_database() {
    try {
      pqxx::connection c("host=" + socket_dir_ + " user=rdev dbname=postgres");
      pqxx::nontransaction tx(c);
      if (tx.exec("SELECT 1 FROM pg_database WHERE datname = 'rdev'").empty())
        tx.exec("CREATE DATABASE rdev");
      return done{};
    } catch (const std::exception& e) {
      return failure{fault::unavailable, e.what()};
    }
  }

  void look_after(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      ::poll(nullptr, 0, static_cast<int>(watch_interval.count()));
      told_.look();
      const std::int64_t pid = pid_;
      if (stop.stop_requested() || alive())
        continue;
      log_.error("PostgreSQL has died and is started again", {{"pid", pid}});
      if (auto again = start(); !again)
        log_.error("PostgreSQL could not be started again", {{"error", again.error().message}});
    }
  }

  embedded_config config_;
  account who_;
  std::string bin_;
  std::string cluster_;
  std::string socket_dir_;
  std::string log_path_;
  log& log_;
  server_log told_;
  pid_t pid_ = 0;
  bool child_ = false;
  std::jthread thread_;
};

} // namespace

std::string embedded_conninfo(const std::string& data_dir) {
  return "host=" + socket_dir_of(data_dir) + " user=rdev dbname=" + database;
}

result<std::unique_ptr<embedded_server>> start_embedded(const embedded_config& config, log& out) {
  auto who = find_account(config.user);
  if (!who)
    return std::move(who.error());
  auto bin = binaries();
  if (bin.empty())
    return wrong("PostgreSQL is not installed: apt-get install postgresql-15, or set DATABASE_URL");
  auto server = std::make_unique<embedded>(config, std::move(*who), std::move(bin), out);
  if (auto ready = server->prepare(); !ready)
    return std::move(ready.error());
  if (auto started = server->start(); !started)
    return std::move(started.error());
  server->watch();
  return std::unique_ptr<embedded_server>(std::move(server));
}

} // namespace rdev::postgres
