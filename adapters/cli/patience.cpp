#include "adapters/cli/patience.hpp"

#include <algorithm>
#include <charconv>

namespace rdev::cli {

namespace {

constexpr milliseconds first_pause{200};
constexpr milliseconds longest_pause{5000};
constexpr milliseconds longest_hint{10'000};

} // namespace

std::optional<milliseconds> patience::after_failure(moment now, std::optional<std::chrono::seconds> retry_after) {
  if (!since_)
    since_ = now;
  const auto wanted = std::max(std::min(first_pause * (1 << std::min(failures_, 10)), longest_pause), floor_);
  ++failures_;
  // Between once and one and a half times: many clients that were cut together do not come back together.
  const auto asked = retry_after ? std::max<milliseconds>(*retry_after, floor_) : wanted;
  const auto pause = asked + milliseconds(std::uniform_int_distribution<std::int64_t>(0, asked.count() / 2)(random_));
  if (failing_for(now) + pause > budget_)
    return std::nullopt;
  return pause;
}

void patience::forget() {
  since_.reset();
  failures_ = 0;
}

void patience::at_least(milliseconds hint) {
  floor_ = std::min(hint, longest_hint);
}

milliseconds patience::failing_for(moment now) const {
  return since_ ? std::chrono::duration_cast<milliseconds>(now - *since_) : milliseconds{0};
}

std::optional<std::chrono::seconds> retry_after_from(std::string_view text) {
  unsigned seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return std::chrono::seconds(seconds);
}

} // namespace rdev::cli
