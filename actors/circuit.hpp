// Pure: when a dependency that fails is left alone. The caller brings the clock and reports how calls went.
//
// Closed: calls go through; when enough of those of the last `window` failed or were slow, it opens. Open: none does,
// for a rest. Half-open: one call at a time probes; well: closed, badly: open again, for twice as long.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

namespace rdev {

enum class circuit_state : std::uint8_t { closed, half_open, open };

struct circuit_limits {
  std::chrono::milliseconds window{10'000};       // calls count for so long, to a tenth of it
  int fewest_calls = 5;                           // in the window; fewer never open it
  int failing_percent = 50;                       // 1 to 100: so many of them failed or were slow, and it opens
  std::chrono::milliseconds slow{10'000};         // a call that took longer counts as failed
  std::chrono::milliseconds first_rest{1'000};    // before it is probed
  std::chrono::milliseconds longest_rest{30'000}; // the rest doubles with each failed probe
  std::chrono::milliseconds probe_limit{30'000};  // a probe that has not ended by then is given up
};

class circuit {
public:
  using milliseconds = std::chrono::milliseconds;

  explicit circuit(circuit_limits limits = {}) : limits_(limits), rest_(limits.first_rest) {
  }

  // A pass, or nothing when it is open; then remaining() says for how long.
  std::optional<std::uint64_t> admit(milliseconds now) {
    if (!admits(now))
      return std::nullopt;
    if (state_ != circuit_state::closed) {
      state_ = circuit_state::half_open;
      ++round_;
      probe_until_ = now + limits_.probe_limit;
    }
    return round_;
  }

  [[nodiscard]] bool admits(milliseconds now) const {
    return state_ == circuit_state::closed || remaining(now) == milliseconds(0);
  }

  // Until the next call is let through.
  [[nodiscard]] milliseconds remaining(milliseconds now) const {
    if (state_ == circuit_state::closed)
      return milliseconds(0);
    return std::max(milliseconds(0), (state_ == circuit_state::open ? open_until_ : probe_until_) - now);
  }

  // What was admitted before the last change tells nothing of how it is now.
  void ended(milliseconds now, std::uint64_t pass, bool well, milliseconds took) {
    if (pass != round_ || state_ == circuit_state::open)
      return;
    well = well && took <= limits_.slow;
    if (state_ == circuit_state::half_open)
      return well ? close() : open(now, std::min(2 * rest_, limits_.longest_rest));
    auto& current = tenth_at(now);
    ++current.calls;
    current.bad += well ? 0 : 1;
    if (!well && must_open(now))
      open(now, limits_.first_rest);
  }

  // It is known from elsewhere that all is well.
  void recovered() {
    if (state_ != circuit_state::closed)
      close();
  }

  [[nodiscard]] circuit_state state() const {
    return state_;
  }

private:
  static constexpr std::size_t parts = 10;
  struct tenth {
    std::int64_t number = -1; // of its tenth of a window, since the clock's zero
    int calls = 0;
    int bad = 0;
  };

  [[nodiscard]] std::int64_t number_at(milliseconds now) const {
    return now.count() / std::max<std::int64_t>(1, limits_.window.count() / static_cast<std::int64_t>(parts));
  }

  tenth& tenth_at(milliseconds now) {
    const auto number = number_at(now);
    auto& out = parts_.at(static_cast<std::size_t>(number) % parts);
    if (out.number != number)
      out = {number, 0, 0};
    return out;
  }

  [[nodiscard]] bool must_open(milliseconds now) const {
    const auto last = number_at(now);
    int calls = 0;
    int bad = 0;
    for (const auto& one : parts_)
      if (one.number > last - static_cast<std::int64_t>(parts) && one.number <= last) {
        calls += one.calls;
        bad += one.bad;
      }
    return calls >= limits_.fewest_calls && bad * 100 >= calls * limits_.failing_percent;
  }

  void open(milliseconds now, milliseconds rest) {
    state_ = circuit_state::open;
    rest_ = rest;
    open_until_ = now + rest;
    parts_ = {};
  }
  void close() {
    state_ = circuit_state::closed;
    rest_ = limits_.first_rest;
    ++round_;
  }

  circuit_limits limits_;
  circuit_state state_ = circuit_state::closed;
  std::uint64_t round_ = 1; // changes with the state; a pass is the round in which it was given
  milliseconds rest_;
  milliseconds open_until_{0};
  milliseconds probe_until_{0};
  std::array<tenth, parts> parts_{};
};

} // namespace rdev
