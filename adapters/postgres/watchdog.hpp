// Cuts connections whose server does not answer: a frozen PostgreSQL keeps neither its statement_timeout nor, over a
// Unix socket, any of TCP's promises. For this folder only.
#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

namespace rdev::postgres {

class watchdog {
public:
  // One for all sessions of the process; it ends with the last of them.
  static std::shared_ptr<watchdog> shared();
  watchdog();
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;

  // While it lives, `socket` is watched; after `limit` it is shut down, so that whoever waits for it gets an end of
  // file.
  class watch {
  public:
    watch(watchdog& dog, int socket, std::chrono::milliseconds limit);
    ~watch();
    watch(const watch&) = delete;
    watch& operator=(const watch&) = delete;

  private:
    struct entry {
      int socket = -1;
      std::chrono::steady_clock::time_point until;
    };
    friend class watchdog;
    watchdog& dog_;
    std::list<entry>::iterator place_;
  };

private:
  void run(const std::stop_token& stop);

  std::mutex mutex_;
  std::condition_variable_any tick_;
  std::list<watch::entry> watched_;
  std::jthread thread_; // last: it uses all of the above
};

} // namespace rdev::postgres
