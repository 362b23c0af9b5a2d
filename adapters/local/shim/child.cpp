#include "adapters/local/shim/child.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace rdev::local {

namespace {

constexpr int not_found = 127;
constexpr int cannot_run = 126;

[[noreturn]] void give_up(int code, const std::string& message) {
  write_all(STDERR_FILENO, "rdev: " + message + "\n");
  ::_exit(code);
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (auto& s : strings)
    out.push_back(s.data());
  out.push_back(nullptr);
  return out;
}

// The text for stdin lies in memory: it is in no file that somebody could read.
descriptor stdin_of(const order& what) {
  if (what.stdin_text.empty())
    return descriptor(::open("/dev/null", O_RDONLY));
  descriptor text(::memfd_create("stdin", 0));
  if (!text || !write_all(text.get(), what.stdin_text) || ::lseek(text.get(), 0, SEEK_SET) != 0)
    return {};
  return text;
}

void become(const order& what) {
  if (!what.change_user)
    return;
  if (::setgroups(what.groups.size(), what.groups.data()) != 0 || ::setgid(what.gid) != 0 || ::setuid(what.uid) != 0)
    give_up(cannot_run, std::string("cannot change to the user for commands: ") + std::strerror(errno));
}

void default_signals() {
  for (int s = 1; s < NSIG; ++s)
    ::signal(s, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void run(const order& what, const descriptor& in, const descriptor& out, const descriptor& err) {
  ::setsid();
  default_signals();
  ::dup2(in.get(), STDIN_FILENO);
  ::dup2(out.get(), STDOUT_FILENO);
  ::dup2(err.get(), STDERR_FILENO);
  ::close_range(3, ~0U, 0);
  ::umask(022);
  become(what);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (::chdir(what.working_dir.c_str()) != 0)
    give_up(cannot_run, "cannot enter the working directory: " + std::string(std::strerror(errno)));
  auto arguments = what.script ? std::vector<std::string>{"/bin/sh", what.folder + "/script"} : what.argv;
  auto environment = what.environment;
  auto variables = pointers(environment);
  environ = variables.data(); // execvp looks for the program in the command's own PATH
  ::execvp(arguments[0].c_str(), pointers(arguments).data());
  const int why = errno;
  if (why == ENOENT)
    give_up(not_found,
            arguments[0] + ": not found" + (what.missing_hint.empty() ? "" : "\nrdev: " + what.missing_hint));
  give_up(cannot_run, arguments[0] + ": " + std::strerror(why));
}

} // namespace

pid_t start_child(const order& what, descriptor out, descriptor err) {
  const auto in = stdin_of(what);
  if (!in)
    return -1;
  const auto pid = ::fork();
  if (pid == 0)
    run(what, in, out, err);
  return pid;
}

} // namespace rdev::local
