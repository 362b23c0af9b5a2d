#include "adapters/local/shim_starter.hpp"

#include "adapters/failpoint.hpp"
#include "adapters/local/order.hpp"
#include "adapters/local/run_files.hpp"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>

namespace rdev::local {

namespace {

constexpr auto answer_limit = std::chrono::seconds(10); // for the shim to say whether it has started the command
constexpr const char* default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

order order_of(const launch& what, const shim_starter_config& config) {
  order o;
  const auto workspace = config.projects_dir + "/" + what.project;
  o.working_dir = what.workdir.empty() ? workspace : workspace + "/" + what.workdir;
  o.change_user = config.who.change;
  o.uid = config.who.uid;
  o.gid = config.who.gid;
  o.groups = config.who.groups;
  o.script = what.script;
  o.argv = what.argv;
  o.stdin_text = what.stdin_text;
  o.max_bytes = what.max_bytes;
  o.missing_hint = what.missing_hint;
  o.timeout_ms = static_cast<std::uint64_t>(what.timeout.count());
  o.grace_ms = static_cast<std::uint64_t>(what.grace.count());
  o.valid_until_ms = static_cast<std::uint64_t>(what.valid_until.count());
  std::map<std::string, std::string> env{
      {"PATH", default_path}, {"HOME", workspace}, {"LANG", "C.UTF-8"}, {"TERM", "dumb"}, {"TZ", "UTC"}};
  for (const auto& name : config.pass_env)
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

result<done> word_of(const descriptor& from) {
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
  if (word.starts_with("late"))
    return failure{fault::deadline, "the order to start the command came too late"};
  if (word.starts_with("failed"))
    return failure{word.find(std::strerror(ENOSPC)) != std::string::npos ? fault::no_space : fault::unavailable, word};
  return done{}; // `started`, or `taken`: somebody else has started or cancelled it
}

// Starts a shim, hands it the order and waits for its word.
result<done> order_shim(const std::string& shim, const order& what) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0)
    return failure{fault::unavailable, std::string("no pipe: ") + std::strerror(errno)};
  descriptor in_read(in[0]);
  descriptor in_write(in[1]);
  if (::pipe2(out.data(), O_CLOEXEC) != 0)
    return failure{fault::unavailable, std::string("no pipe: ") + std::strerror(errno)};
  descriptor out_read(out[0]);
  descriptor out_write(out[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in_read.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out_write.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::string program = "rdev-shim";
  std::array<char*, 2> arguments{program.data(), nullptr};
  std::string points = "RDEV_FAILPOINT=" + failpoint::of_next_shim();
  std::array<char*, 2> environment{failpoint::built_in ? points.data() : nullptr, nullptr};
  pid_t pid = 0;
  const int failed = ::posix_spawn(&pid, shim.c_str(), &actions, nullptr, arguments.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0)
    return failure{fault::unavailable, "cannot start " + shim + ": " + std::strerror(failed)};
  in_read = {};
  out_write = {};
  const bool told = write_all(in_write.get(), encode(what));
  in_write = {};
  ::waitpid(pid, nullptr, 0); // it forks at once, and its child belongs to init
  if (!told)
    return failure{fault::unavailable, "the shim did not take its order"};
  return word_of(out_read);
}

} // namespace

result<account> find_account(const std::string& user) {
  account out;
  if (user.empty() || ::geteuid() != 0)
    return out;
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 16384> texts{};
  ::getpwnam_r(user.c_str(), &entry, texts.data(), texts.size(), &found);
  if (found == nullptr)
    return failure{fault::invalid, "runner.local.user: there is no user '" + user +
                                       "'; make it with: useradd --system " +
                                       "--no-create-home --shell /usr/sbin/nologin " + user};
  out.change = true;
  out.uid = entry.pw_uid;
  out.gid = entry.pw_gid;
  int n = 64;
  out.groups.resize(64);
  ::getgrouplist(user.c_str(), out.gid, out.groups.data(), &n);
  out.groups.resize(static_cast<std::size_t>(std::max(n, 0)));
  return out;
}

result<done> shim_starter::start(const launch& what, const std::string& folder, const std::string& boot_tag) const {
  auto order = order_of(what, config_);
  order.folder = folder;
  order.boot_tag = boot_tag;
  return order_shim(config_.shim, order);
}

} // namespace rdev::local
