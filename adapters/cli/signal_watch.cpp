#include "adapters/cli/signal_watch.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <system_error>

namespace rdev::cli {

namespace {

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

} // namespace

signal_watch::signal_watch(std::function<void(int)> on_first) : on_first_(std::move(on_first)) {
  const auto set = watched();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC);
  end_ = ::eventfd(0, EFD_CLOEXEC);
  if (signals_ < 0 || end_ < 0)
    throw std::system_error(errno, std::generic_category(), "cannot watch for signals");
  thread_ = std::jthread([this] { run(); });
}

signal_watch::~signal_watch() {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(end_, &one, sizeof one));
  if (thread_.joinable())
    thread_.join();
  ::close(signals_);
  ::close(end_);
}

void signal_watch::run() {
  std::array<pollfd, 2> waiting{{{signals_, POLLIN, 0}, {end_, POLLIN, 0}}};
  for (;;) {
    if (::poll(waiting.data(), waiting.size(), -1) < 0)
      continue; // EINTR
    if (waiting[1].revents != 0)
      return;
    signalfd_siginfo info{};
    if (::read(signals_, &info, sizeof info) != static_cast<ssize_t>(sizeof info))
      continue;
    const auto number = static_cast<int>(info.ssi_signo);
    if (seen_ != 0)
      ::_exit(128 + number); // all output is written unbuffered: there is nothing to flush
    seen_ = number;
    on_first_(number);
  }
}

} // namespace rdev::cli
