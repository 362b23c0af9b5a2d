#include "adapters/local/leftovers.hpp"

#include "adapters/local/processes.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <set>

namespace rdev::local {

namespace {

namespace fs = std::filesystem;

constexpr int kill_rounds = 20;
constexpr int pause_ms = 20; // between rounds: a killed process needs a moment to go

// Environments may be large: read to their end, unlike read_small_file(). Without descriptors nothing can be said.
bool environment_has(pid_t pid, const std::string& entry, bool& blind) {
  const descriptor file(::open(("/proc/" + std::to_string(pid) + "/environ").c_str(), O_RDONLY | O_CLOEXEC));
  blind = blind || (!file && (errno == EMFILE || errno == ENFILE || errno == ENOMEM));
  std::string all(1, '\0');
  std::array<char, 16384> piece{};
  for (auto n = ::read(file.get(), piece.data(), piece.size()); n > 0;
       n = ::read(file.get(), piece.data(), piece.size()))
    all.append(piece.data(), static_cast<std::size_t>(n));
  return all.find(entry) != std::string::npos;
}

bool has_open(pid_t pid, const std::set<std::string>& targets) {
  std::error_code gone;
  for (fs::directory_iterator fds("/proc/" + std::to_string(pid) + "/fd", gone), end; !gone && fds != end;
       fds.increment(gone)) {
    std::error_code closed;
    if (const auto target = fs::read_symlink(fds->path(), closed); !closed && targets.contains(target.string()))
      return true;
  }
  return false;
}

std::optional<std::vector<pid_t>> find_all(const std::string& mark, const std::set<std::string>& pipes, pid_t shim) {
  const auto all = living_processes();
  bool blind = all.empty();
  std::vector<pid_t> found;
  for (const auto& p : all)
    if (p.pid != ::getpid() &&
        (p.pid == shim || environment_has(p.pid, mark, blind) || (!pipes.empty() && has_open(p.pid, pipes))))
      found.push_back(p.pid);
  if (blind)
    return std::nullopt;
  // A session that one of them leads belongs to the command.
  std::set<pid_t> sessions;
  for (const auto& p : all)
    if (p.session == p.pid && std::find(found.begin(), found.end(), p.pid) != found.end())
      sessions.insert(p.session);
  for (const auto& p : all)
    if (sessions.contains(p.session) && std::find(found.begin(), found.end(), p.pid) == found.end())
      found.push_back(p.pid);
  return with_descendants(std::move(found), all);
}

} // namespace

std::optional<int> end_leftovers(const std::string& command_id, const std::optional<start_record>& record) {
  const auto mark = std::string(1, '\0') + "RDEV_COMMAND_ID=" + command_id + std::string(1, '\0');
  std::set<std::string> pipes;
  pid_t shim = 0;
  if (record) {
    for (const auto inode : record->pipes)
      if (inode != 0)
        pipes.insert("pipe:[" + std::to_string(inode) + "]");
    if (starttime_of(record->shim) == record->starttime)
      shim = record->shim;
  }
  auto left = find_all(mark, pipes, shim);
  for (int round = 0; round < kill_rounds && left && !left->empty(); ++round) {
    signal_all(*left, SIGSTOP); // so that nothing forks away between look and blow
    if (const auto all = find_all(mark, pipes, shim))
      signal_all(*all, SIGKILL);
    ::poll(nullptr, 0, pause_ms);
    left = find_all(mark, pipes, shim);
  }
  return left ? std::optional(static_cast<int>(left->size())) : std::nullopt;
}

} // namespace rdev::local
