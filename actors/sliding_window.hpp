// Admits at most `limit` events in any window of the given length, exactly: the time of each admitted event is kept
// until it has left the window. Pure; the caller brings the time.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace rdev {

class sliding_window {
public:
  using time_point = std::chrono::steady_clock::time_point;
  using duration = std::chrono::steady_clock::duration;

  // Whether an event at `now` would not be the (limit + 1)-th of the window that ends with it. `now` must not run
  // backwards.
  bool fits(time_point now, std::size_t limit, duration window) {
    forget(now, window);
    return size_ < limit;
  }

  // Counts an event that was found to fit.
  void count(time_point now) {
    if (size_ == ring_.size())
      grow();
    ring_[(first_ + size_) % ring_.size()] = now;
    ++size_;
  }

  // Counts an event at `now` if it fits.
  bool admit(time_point now, std::size_t limit, duration window) {
    if (!fits(now, limit, window))
      return false;
    count(now);
    return true;
  }

  // How many more would be admitted at `now`.
  std::size_t remaining(time_point now, std::size_t limit, duration window) {
    forget(now, window);
    return limit > size_ ? limit - size_ : 0;
  }

  // How long until one more would be admitted than at `now`; zero when nothing is counted.
  [[nodiscard]] duration resets_in(time_point now, duration window) const {
    return size_ == 0 ? duration::zero() : ring_[first_] + window - now;
  }

  // Whether nothing is counted any more, so that the window can be thrown away.
  bool idle(time_point now, duration window) {
    forget(now, window);
    return size_ == 0;
  }

private:
  void forget(time_point now, duration window) {
    while (size_ > 0 && ring_[first_] + window <= now) {
      first_ = (first_ + 1) % ring_.size();
      --size_;
    }
  }

  void grow() {
    std::rotate(ring_.begin(), ring_.begin() + static_cast<std::ptrdiff_t>(first_), ring_.end());
    first_ = 0;
    ring_.resize(std::max<std::size_t>(4, 2 * ring_.size()));
  }

  // The times of what is counted, the oldest at `first_`; grows to no more than twice the limit.
  std::vector<time_point> ring_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
};

} // namespace rdev
