// Admits at most `limit` events in any window of the given length, exactly: the time of each admitted event is kept
// until it has left the window. Pure; the caller brings the time.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>

namespace rdev {

class sliding_window {
public:
  using time_point = std::chrono::steady_clock::time_point;
  using duration = std::chrono::steady_clock::duration;

  // Counts an event at `now` unless it would be the (limit + 1)-th of the window that ends with it.
  // `now` must not run backwards.
  bool admit(time_point now, std::size_t limit, duration window) {
    forget(now, window);
    if (admitted_.size() >= limit)
      return false;
    admitted_.push_back(now);
    return true;
  }

  // How many more would be admitted at `now`.
  std::size_t remaining(time_point now, std::size_t limit, duration window) {
    forget(now, window);
    return limit > admitted_.size() ? limit - admitted_.size() : 0;
  }

  // How long until one more would be admitted than at `now`; zero when nothing is counted.
  [[nodiscard]] duration resets_in(time_point now, duration window) const {
    return admitted_.empty() ? duration::zero() : admitted_.front() + window - now;
  }

  // Whether nothing is counted any more, so that the window can be thrown away.
  bool idle(time_point now, duration window) {
    forget(now, window);
    return admitted_.empty();
  }

private:
  void forget(time_point now, duration window) {
    while (!admitted_.empty() && admitted_.front() + window <= now)
      admitted_.pop_front();
  }

  std::deque<time_point> admitted_;
};

} // namespace rdev
