#include "adapters/local/processes.hpp"

#include "adapters/local/run_files.hpp"

#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>
#include <string>

namespace rdev::local {

namespace {

struct close_dir {
  void operator()(DIR* d) const {
    ::closedir(d);
  }
};

// What stands behind the name in /proc/PID/stat, which may hold any character; empty when it is no living process
// (errno ESRCH).
std::optional<std::string> stat_of(pid_t pid) {
  auto text = read_small_file("/proc/" + std::to_string(pid) + "/stat");
  if (!text) {
    if (errno == ENOENT)
      errno = ESRCH;
    return std::nullopt;
  }
  text->erase(0, std::min(text->size(), text->rfind(')') + 2));
  if (text->empty() || text->starts_with('Z') || text->starts_with('X')) {
    errno = ESRCH;
    return std::nullopt;
  }
  return text;
}

} // namespace

std::vector<process> living_processes() {
  std::vector<process> out;
  const std::unique_ptr<DIR, close_dir> proc(::opendir("/proc"));
  while (const auto* entry = proc ? ::readdir(proc.get()) : nullptr) {
    process one;
    one.pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    const auto stat = one.pid > 0 ? stat_of(one.pid) : std::nullopt;
    if (!stat)
      continue;
    std::istringstream in(*stat);
    std::string state;
    pid_t group = 0;
    in >> state >> one.parent >> group >> one.session;
    out.push_back(one);
  }
  return out;
}

std::vector<pid_t> with_descendants(std::vector<pid_t> roots, const std::vector<process>& all) {
  std::multimap<pid_t, pid_t> children;
  for (const auto& p : all)
    children.emplace(p.parent, p.pid);
  for (std::size_t i = 0; i < roots.size(); ++i)
    for (auto [it, end] = children.equal_range(roots[i]); it != end; ++it)
      if (std::find(roots.begin(), roots.end(), it->second) == roots.end())
        roots.push_back(it->second);
  return roots;
}

void signal_all(const std::vector<pid_t>& pids, int signal) {
  for (const auto pid : pids)
    ::kill(pid, signal);
}

std::optional<std::uint64_t> starttime_of(pid_t pid) {
  const auto stat = stat_of(pid);
  if (!stat)
    return std::nullopt;
  std::istringstream in(*stat);
  std::string field;
  for (int i = 3; i < 22; ++i)
    in >> field;
  std::uint64_t ticks = 0;
  in >> ticks;
  return in ? std::optional(ticks) : std::nullopt;
}

} // namespace rdev::local
