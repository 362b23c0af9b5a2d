#include "adapters/local/local_runner.hpp"

#include "adapters/closed_directory.hpp"
#include "adapters/crypto.hpp"
#include "adapters/local/change_watcher.hpp"
#include "adapters/local/order.hpp"
#include "adapters/local/run_files.hpp"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <map>

extern "C" { // the header of glibc 2.36 forgets to say so
#include <sys/pidfd.h>
}

namespace rdev {

namespace {

using namespace local;
namespace fs = std::filesystem;

constexpr auto answer_limit = std::chrono::seconds(10); // for the shim to say whether it has started the command
constexpr const char* default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

failure unavailable(const std::string& what) {
  const int code = errno;
  return {code == ENOSPC ? fault::no_space : fault::unavailable, what + ": " + std::strerror(code)};
}

struct account {
  bool change = false;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};

result<account> find_account(const std::string& user) {
  account out;
  if (user.empty() || ::geteuid() != 0)
    return out;
  const auto* entry = ::getpwnam(user.c_str());
  if (entry == nullptr)
    return failure{fault::invalid, "runner.local.user: there is no user '" + user +
                                       "'; make it with: useradd --system " +
                                       "--no-create-home --shell /usr/sbin/nologin " + user};
  out.change = true;
  out.uid = entry->pw_uid;
  out.gid = entry->pw_gid;
  int n = 64;
  out.groups.resize(64);
  ::getgrouplist(user.c_str(), out.gid, out.groups.data(), &n);
  out.groups.resize(static_cast<std::size_t>(std::max(n, 0)));
  return out;
}

std::string real_machine() {
  auto boot = read_small_file("/proc/sys/kernel/random/boot_id").value_or("unknown");
  std::erase(boot, '\n');
  std::array<char, 64> ns{};
  const auto n = ::readlink("/proc/self/ns/pid", ns.data(), ns.size());
  return boot + "/" + std::string(ns.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
}

// The folder's own mark: a run folder that was deleted and made anew is another one, in which nothing can be attached
// to.
result<std::string> scope_of(const std::string& run_dir) {
  const auto path = run_dir + "/scope";
  if (auto text = read_small_file(path); text && !text->empty())
    return *text;
  const auto fresh = node_id::make().text();
  if (!write_small_file(path, fresh, 0600))
    return unavailable("cannot write " + path);
  return fresh;
}

class local_runner final : public process_runner {
public:
  local_runner(local_runner_config config, account who, std::string tag)
      : config_(std::move(config)), who_(std::move(who)), tag_(std::move(tag)) {
  }

  std::string boot_tag() override {
    return tag_;
  }

  result<run_status> start(const launch& what) override {
    const auto folder = folder_of(what.id);
    if (auto known = status(what.id); known && known->state != run_state::absent)
      return known;
    if (!enough_room())
      return failure{fault::no_space, "less than runner.min_free_bytes are free in " + config_.run_dir};
    if (::mkdir(folder.c_str(), 0711) != 0 && errno != EEXIST)
      return unavailable("cannot make " + folder);
    ::chmod(folder.c_str(), 0711); // whatever the umask: the command reads its script by path
    watcher_.add(what.id, folder);
    if (auto ordered = order_shim(order_of(what, folder)); !ordered)
      return std::move(ordered.error());
    return status(what.id);
  }

  result<run_status> status(const command_id& id) override {
    const auto folder = folder_of(id);
    run_status out;
    if (fill_end(folder, out))
      return out;
    const auto record = wait_for_start(folder);
    if (!record) {
      const bool begun = ::access((folder + "/start").c_str(), F_OK) == 0;
      out.state = begun ? run_state::lost : run_state::absent;
      out.reason = begun ? "the shim died while it was starting the command" : "";
      return out;
    }
    if (record->cancelled) {
      out.state = run_state::tombstone;
      return out;
    }
    fill_sizes(folder, out);
    if (record->boot_tag == tag_ && starttime_of(record->shim) == record->starttime) {
      out.state = run_state::running;
      out.ending = ::access((folder + "/cancel").c_str(), F_OK) == 0;
      watcher_.add(id, folder);
      return out;
    }
    if (fill_end(folder, out)) // it ended between the two looks
      return out;
    out.state = run_state::lost;
    out.reason =
        record->boot_tag == tag_ ? "the process that stood over the command was killed" : "the machine was restarted";
    return out;
  }

  result<std::string> read(const command_id& id, stream which, std::uint64_t offset, std::size_t most) override {
    const auto path = folder_of(id) + (which == stream::out ? "/out" : "/err");
    const descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file)
      return errno == ENOENT ? result<std::string>(std::string{}) : unavailable("cannot open " + path);
    struct stat info {};
    if (::fstat(file.get(), &info) != 0)
      return unavailable("cannot look at " + path);
    const auto size = static_cast<std::uint64_t>(info.st_size);
    std::string out(std::min<std::uint64_t>(most, size - std::min(size, offset)), '\0');
    const auto n = out.empty() ? 0 : ::pread(file.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0)
      return unavailable("cannot read " + path);
    out.resize(static_cast<std::size_t>(n));
    return out;
  }

  result<run_status> cancel(const command_id& id, std::chrono::milliseconds grace) override {
    const auto folder = folder_of(id);
    if (::mkdir(folder.c_str(), 0711) != 0 && errno != EEXIST)
      return unavailable("cannot make " + folder);
    descriptor start;
    const auto claimed = take_start(folder, start);
    if (claimed == claim::failed)
      return unavailable("cannot write to " + folder);
    if (claimed == claim::won) {
      start_record tombstone;
      tombstone.cancelled = true;
      if (!write_start(start, tombstone))
        return unavailable("cannot write to " + folder);
      return status(id);
    }
    auto now = status(id);
    if (!now || now->state != run_state::running)
      return now;
    const auto record = wait_for_start(folder);
    const auto temporary = folder + "/cancel.tmp";
    if (!record)
      return now;
    // The first grace counts. The signal is sent again: who wrote the file may have died before it was sent.
    if (!now->ending && (!write_small_file(temporary, std::to_string(grace.count()), 0600) ||
                         ::rename(temporary.c_str(), (folder + "/cancel").c_str()) != 0))
      return unavailable("cannot write to " + folder);
    // By descriptor, and only if it is still the same process: its number may have been given away.
    const descriptor shim(::pidfd_open(record->shim, 0));
    if (shim && starttime_of(record->shim) == record->starttime)
      ::pidfd_send_signal(shim.get(), SIGTERM, nullptr, 0);
    return status(id);
  }

  result<done> forget(const command_id& id) override {
    auto now = status(id);
    if (now && now->state == run_state::running)
      return failure{fault::invalid, "a running command cannot be forgotten"};
    watcher_.remove(id);
    std::error_code error;
    fs::remove_all(folder_of(id), error);
    if (error)
      return failure{fault::unavailable, "cannot remove a run folder: " + error.message()};
    return done{};
  }

  void watch(std::function<void(const command_id&)> changed) override {
    watcher_.on_change(std::move(changed));
  }

private:
  [[nodiscard]] std::string folder_of(const command_id& id) const {
    return config_.run_dir + "/" + id.text();
  }

  [[nodiscard]] bool enough_room() const {
    struct statvfs info {};
    return ::statvfs(config_.run_dir.c_str(), &info) != 0 || info.f_bavail * info.f_frsize >= config_.min_free_bytes;
  }

  static bool fill_end(const std::string& folder, run_status& out) {
    const auto end = read_end(folder);
    if (!end)
      return false;
    out.state = run_state::exited;
    out.exit_code = end->exit_code;
    out.signal = end->signal;
    out.killed_by_us = end->killed;
    out.survivors = end->survivors;
    out.out_bytes = end->out_bytes;
    out.out_total = end->out_total;
    out.err_bytes = end->err_bytes;
    out.err_total = end->err_total;
    out.output_lost = end->output_lost;
    return true;
  }

  static void fill_sizes(const std::string& folder, run_status& out) {
    std::error_code gone;
    const auto size = [&](const char* name) {
      const auto n = fs::file_size(folder + name, gone);
      return gone ? 0 : n;
    };
    out.out_bytes = out.out_total = size("/out");
    out.err_bytes = out.err_total = size("/err");
  }

  // A start file is empty for a moment while its record is being written.
  static std::optional<start_record> wait_for_start(const std::string& folder) {
    bool being_written = false;
    auto record = read_start(folder, being_written);
    for (int i = 0; i < 200 && being_written; ++i) {
      ::poll(nullptr, 0, 10);
      record = read_start(folder, being_written);
    }
    return record;
  }

  [[nodiscard]] order order_of(const launch& what, const std::string& folder) const {
    order o;
    o.folder = folder;
    o.boot_tag = tag_;
    const auto workspace = config_.projects_dir + "/" + what.project;
    o.working_dir = what.workdir.empty() ? workspace : workspace + "/" + what.workdir;
    o.change_user = who_.change;
    o.uid = who_.uid;
    o.gid = who_.gid;
    o.groups = who_.groups;
    o.script = what.script;
    o.argv = what.argv;
    o.stdin_text = what.stdin_text;
    o.max_bytes = what.max_bytes;
    o.missing_hint = what.missing_hint;
    std::map<std::string, std::string> env{
        {"PATH", default_path}, {"HOME", workspace}, {"LANG", "C.UTF-8"}, {"TERM", "dumb"}, {"TZ", "UTC"}};
    for (const auto& name : config_.pass_env)
      if (const char* value = std::getenv(name.c_str()))
        env[name] = value;
    for (const auto& v : what.env)
      env[v.name] = v.value.reveal();
    env["RDEV_COMMAND_ID"] = what.id.text();
    env["RDEV_PROJECT"] = what.project;
    for (const auto& [name, value] : env)
      o.environment.push_back(name + "=" + value);
    return o;
  }

  // Starts a shim, hands it the order and waits for its word.
  result<done> order_shim(const order& what) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe2(in.data(), O_CLOEXEC) != 0)
      return unavailable("no pipe");
    descriptor in_read(in[0]);
    descriptor in_write(in[1]);
    if (::pipe2(out.data(), O_CLOEXEC) != 0)
      return unavailable("no pipe");
    descriptor out_read(out[0]);
    descriptor out_write(out[1]);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in_read.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, out_write.get(), STDOUT_FILENO);
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    std::string program = "rdev-shim";
    std::array<char*, 2> arguments{program.data(), nullptr};
    std::array<char*, 1> environment{nullptr};
    pid_t pid = 0;
    const int failed =
        ::posix_spawn(&pid, config_.shim.c_str(), &actions, nullptr, arguments.data(), environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (failed != 0)
      return failure{fault::unavailable, "cannot start " + config_.shim + ": " + std::strerror(failed)};
    in_read = {};
    out_write = {};
    const bool told = write_all(in_write.get(), encode(what));
    in_write = {};
    ::waitpid(pid, nullptr, 0); // it forks at once, and its child belongs to init
    if (!told)
      return failure{fault::unavailable, "the shim did not take its order"};
    return word_of(out_read);
  }

  static result<done> word_of(const descriptor& from) {
    std::string word;
    const auto until = std::chrono::steady_clock::now() + answer_limit;
    while (!word.ends_with('\n')) {
      pollfd fd{from.get(), POLLIN, 0};
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
      if (left <= 0 || ::poll(&fd, 1, static_cast<int>(left)) == 0)
        return failure{fault::deadline, "the shim gave no answer"};
      std::array<char, 512> piece{};
      const auto n = ::read(from.get(), piece.data(), piece.size());
      if (n <= 0)
        return failure{fault::unavailable, "the shim died before it gave an answer"};
      word.append(piece.data(), static_cast<std::size_t>(n));
    }
    if (word.starts_with("failed"))
      return failure{word.find(std::strerror(ENOSPC)) != std::string::npos ? fault::no_space : fault::unavailable,
                     word};
    return done{}; // `started`, or `taken`: somebody else has started or cancelled it
  }

  local_runner_config config_;
  account who_;
  std::string tag_;
  change_watcher watcher_;
};

} // namespace

result<std::shared_ptr<process_runner>> make_local_runner(local_runner_config config) {
  ::signal(SIGPIPE, SIG_IGN); // a shim that dies while it is given its order must not take us with it
  auto who = find_account(config.user);
  if (!who)
    return std::move(who.error());
  if (::access(config.shim.c_str(), X_OK) != 0)
    return failure{fault::invalid, "the program rdev-shim is missing: " + config.shim};
  std::error_code error;
  fs::create_directories(config.run_dir, error);
  if (::chmod(config.run_dir.c_str(), 0711) != 0)
    return unavailable("cannot use " + config.run_dir);
  for (const auto& folder : {config.projects_dir, config.run_dir})
    if (const auto closed = who->change ? closed_directory(folder, who->uid, who->gid) : ""; !closed.empty())
      return failure{fault::invalid, "the user '" + config.user + "', as whom commands run, cannot enter " + closed +
                                         "; mend it with: chmod o+x " + closed};
  auto scope = scope_of(config.run_dir);
  if (!scope)
    return std::move(scope.error());
  const auto tag = (config.machine.empty() ? real_machine() : config.machine) + "/" + *scope;
  return std::shared_ptr<process_runner>(std::make_shared<local_runner>(std::move(config), std::move(*who), tag));
}

} // namespace rdev
