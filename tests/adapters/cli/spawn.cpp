#include "spawn.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

namespace rdev::cli {

namespace {

using pipe_ends = std::array<int, 2>;

pipe_ends make_pipe() {
  pipe_ends ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    throw std::runtime_error("no pipe");
  return ends;
}

std::vector<std::string> environment_for(const spawn_options& options) {
  std::vector<std::string> out;
  for (const char* name : {"PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"})
    if (const char* value = std::getenv(name))
      out.push_back(std::string(name) + "=" + value);
  for (const auto& [name, value] : options.env)
    out.push_back(name + "=" + value);
  return out;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (auto& text : texts)
    out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

int start(const std::vector<std::string>& arguments, const spawn_options& options, const pipe_ends& out,
          const pipe_ends& err) {
  std::vector<std::string> argv{RDEV_PROGRAM};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  auto envp = environment_for(options);
  const auto argv_pointers = pointers_to(argv);
  const auto env_pointers = pointers_to(envp);
  const int pid = ::fork();
  if (pid == 0) {
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(err[1], STDERR_FILENO);
    ::execve(RDEV_PROGRAM, argv_pointers.data(), env_pointers.data());
    ::_exit(99);
  }
  ::close(out[1]);
  ::close(err[1]);
  return pid;
}

// False at the end.
bool take(int& fd, std::string& into) {
  std::array<char, 65536> piece{};
  const auto n = ::read(fd, piece.data(), piece.size());
  if (n > 0) {
    into.append(piece.data(), static_cast<std::size_t>(n));
    return true;
  }
  ::close(fd);
  fd = -1;
  return false;
}

} // namespace

ended_program run_program(const std::vector<std::string>& arguments, const spawn_options& options) {
  auto out = make_pipe();
  auto err = make_pipe();
  const int pid = start(arguments, options, out, err);
  ended_program ended;
  bool told = false;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (out[0] >= 0 || err[0] >= 0) {
    std::array<pollfd, 2> waiting{{{out[0], POLLIN, 0}, {err[0], POLLIN, 0}}};
    ::poll(waiting.data(), waiting.size(), 1000);
    if (std::chrono::steady_clock::now() > deadline)
      ::kill(pid, SIGKILL);
    if (waiting[0].revents != 0 && take(out[0], ended.out) && !told) {
      told = true;
      if (options.close_stdout_at_first_output) {
        ::close(out[0]);
        out[0] = -1;
      }
      if (options.on_first_output)
        options.on_first_output(pid);
    }
    if (waiting[1].revents != 0)
      take(err[0], ended.err);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFEXITED(status))
    ended.code = WEXITSTATUS(status);
  else
    ended.signal = WTERMSIG(status);
  return ended;
}

} // namespace rdev::cli
