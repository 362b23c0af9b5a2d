// Pure: how fast the API server is asked, whatever asks us: a bucket of tokens that fills steadily.
#pragma once

#include <algorithm>
#include <chrono>

namespace rdev::kubernetes {

class pace {
public:
  using milliseconds = std::chrono::milliseconds;

  // `burst` requests at once, then `per_second`; both at least 1.
  pace(int per_second, int burst) : between_(milliseconds(1000) / per_second), most_(burst * between_) {
  }

  // How long to wait before the next request, which is counted; nothing is counted if that is longer than `most`.
  milliseconds take(milliseconds now, milliseconds most) {
    const auto begin = std::max(full_at_, now); // all tokens are there at `full_at_`, most_ of them
    const auto wait = std::max(milliseconds(0), begin + between_ - now - most_);
    if (wait <= most)
      full_at_ = begin + between_;
    return wait;
  }

private:
  milliseconds between_;
  milliseconds most_;
  milliseconds full_at_{0};
};

} // namespace rdev::kubernetes
