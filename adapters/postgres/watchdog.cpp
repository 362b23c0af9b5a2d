#include "adapters/postgres/watchdog.hpp"

#include <sys/socket.h>

namespace rdev::postgres {

namespace {

constexpr auto look_interval = std::chrono::milliseconds(250);

} // namespace

std::shared_ptr<watchdog> watchdog::shared() {
  static std::mutex mutex;
  static std::weak_ptr<watchdog> known;
  std::lock_guard guard(mutex);
  auto out = known.lock();
  if (!out)
    known = out = std::make_shared<watchdog>();
  return out;
}

watchdog::watchdog() : thread_([this](const std::stop_token& stop) { run(stop); }) {
}

watchdog::watch::watch(watchdog& dog, int socket, std::chrono::milliseconds limit) : dog_(dog) {
  std::lock_guard guard(dog_.mutex_);
  place_ = dog_.watched_.insert(dog_.watched_.end(), {socket, std::chrono::steady_clock::now() + limit});
}

// Under the lock, so that no descriptor is shut down after it has been given away.
watchdog::watch::~watch() {
  std::lock_guard guard(dog_.mutex_);
  dog_.watched_.erase(place_);
}

void watchdog::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    tick_.wait_for(lock, stop, look_interval, [&] { return stop.stop_requested(); });
    const auto now = std::chrono::steady_clock::now();
    for (const auto& one : watched_)
      if (one.until <= now)
        ::shutdown(one.socket, SHUT_RDWR);
  }
}

} // namespace rdev::postgres
