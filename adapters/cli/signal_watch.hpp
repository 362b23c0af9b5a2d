// SIGINT and SIGTERM as events: the first one is told, the second one ends the process at once.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace rdev::cli {

class signal_watch {
public:
  // Must be made before any other thread, so that all of them leave these signals to it. `on_first` runs on a thread
  // of its own and must not block.
  explicit signal_watch(std::function<void(int)> on_first);
  ~signal_watch();
  signal_watch(const signal_watch&) = delete;
  signal_watch& operator=(const signal_watch&) = delete;

  // The first signal that came; 0 = none.
  [[nodiscard]] int seen() const {
    return seen_;
  }

private:
  void run();

  std::function<void(int)> on_first_;
  std::atomic<int> seen_ = 0;
  int signals_ = -1; // signalfd
  int end_ = -1;     // eventfd
  std::jthread thread_;
};

} // namespace rdev::cli
