// Waiting, as a thing that a test can replace and another thread can cut short.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace rdev::cli {

class clock {
public:
  virtual ~clock() = default;
  virtual std::chrono::steady_clock::time_point now() = 0;
  // False, and at once, when it has been decided that nothing is waited for any more.
  virtual bool pause(std::chrono::milliseconds how_long) = 0;
};

class system_clock final : public clock {
public:
  std::chrono::steady_clock::time_point now() override {
    return std::chrono::steady_clock::now();
  }
  bool pause(std::chrono::milliseconds how_long) override {
    std::unique_lock held(mutex_);
    return !changed_.wait_for(held, how_long, [this] { return stopped_; });
  }
  // Ends this and every later pause.
  void stop() {
    const std::lock_guard held(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
};

} // namespace rdev::cli
