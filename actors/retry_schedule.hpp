// Pure: when a delivery that failed is tried again.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

namespace rdev {

class retry_schedule {
public:
  using milliseconds = std::chrono::milliseconds;
  // An endpoint that wishes to be left alone for longer than this is asked again after this.
  static constexpr milliseconds longest_wish{24 * 3'600'000L};

  explicit retry_schedule(std::vector<milliseconds> delays) : delays_(std::move(delays)) {
  }

  // Until the next attempt when `failed` of them (1 or more) have failed; none: that was the last one. The delay of the
  // schedule, a tenth more or less by `dice` (0 to 1), so that not all come back at once; never before the endpoint's
  // own wish (Retry-After; RFC 9110, section 10.2.3).
  [[nodiscard]] std::optional<milliseconds> after(int failed, std::optional<std::chrono::seconds> wish,
                                                  double dice) const {
    const auto turn = static_cast<std::size_t>(failed) - 1;
    if (failed < 1 || turn >= delays_.size())
      return std::nullopt;
    const auto base = delays_[turn];
    const milliseconds delay(static_cast<milliseconds::rep>(static_cast<double>(base.count()) * (0.9 + 0.2 * dice)));
    if (!wish)
      return delay;
    return std::max(delay, wish_of(*wish));
  }

  // For how long an endpoint wants to be left alone, as far as it is heeded.
  [[nodiscard]] static milliseconds wish_of(std::chrono::seconds wish) {
    return std::min(std::max<std::chrono::seconds>(wish, std::chrono::seconds(0)),
                    std::chrono::duration_cast<std::chrono::seconds>(longest_wish));
  }

private:
  std::vector<milliseconds> delays_;
};

} // namespace rdev
