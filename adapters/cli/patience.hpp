// When to try again, and when to give up. Pure: time comes from outside.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string_view>

namespace rdev::cli {

using milliseconds = std::chrono::milliseconds;

class patience {
public:
  using moment = std::chrono::steady_clock::time_point;

  // From the first failure on, `budget` may be spent; the seed is for the jitter.
  patience(milliseconds budget, std::uint64_t seed) : budget_(budget), random_(seed) {
  }

  // After a failure at `now`: how long to wait before the next try; empty = give up. Never less than the server asked
  // for with Retry-After.
  std::optional<milliseconds> after_failure(moment now, std::optional<std::chrono::seconds> retry_after = std::nullopt);
  // It went well again: the next failure is the first.
  void forget();
  // Pauses are at least this long (the `retry:` of an event stream); hints beyond 10 s are taken for 10 s.
  void at_least(milliseconds hint);
  // How long there has been nothing but failure.
  [[nodiscard]] milliseconds failing_for(moment now) const;

private:
  milliseconds budget_;
  milliseconds floor_{0};
  int failures_ = 0;
  std::optional<moment> since_;
  std::mt19937_64 random_;
};

// The value of a Retry-After header in whole seconds; a date or nonsense counts as none.
std::optional<std::chrono::seconds> retry_after_from(std::string_view text);

} // namespace rdev::cli
