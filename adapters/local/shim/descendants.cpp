#include "adapters/local/shim/descendants.hpp"

#include "adapters/local/run_files.hpp"

#include <dirent.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>

namespace rdev::local {

namespace {

struct close_dir {
  void operator()(DIR* d) const {
    ::closedir(d);
  }
};

} // namespace

std::vector<pid_t> descendants() {
  std::multimap<pid_t, pid_t> children;
  const std::unique_ptr<DIR, close_dir> proc(::opendir("/proc"));
  while (const auto* entry = proc ? ::readdir(proc.get()) : nullptr) {
    const auto pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (pid <= 0)
      continue;
    const auto stat = read_small_file("/proc/" + std::to_string(pid) + "/stat");
    const auto bracket = stat ? stat->rfind(')') : std::string::npos;
    if (bracket == std::string::npos)
      continue;
    std::istringstream in(stat->substr(bracket + 1));
    std::string state;
    pid_t parent = 0;
    in >> state >> parent;
    if (state != "Z" && state != "X")
      children.emplace(parent, pid);
  }
  std::vector<pid_t> out{::getpid()};
  for (std::size_t i = 0; i < out.size(); ++i)
    for (auto [it, end] = children.equal_range(out[i]); it != end; ++it)
      out.push_back(it->second);
  out.erase(out.begin());
  return out;
}

void signal_all(const std::vector<pid_t>& pids, int signal) {
  for (const auto pid : pids)
    ::kill(pid, signal);
}

} // namespace rdev::local
