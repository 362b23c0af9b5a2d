// Who is locked out, and for how long: so many failures of one network within a while ban it, each ban twice as long as
// the one before. Bounded, whatever addresses are invented. Pure; the caller brings the time.
#pragma once

#include "messages/values/addresses.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <vector>

namespace rdev {

struct ban_rules {
  int failures = 10;                                 // of one network ...
  std::chrono::milliseconds within{60'000};          // ... in any window of this length ban it
  std::chrono::milliseconds first_ban{60'000};       // then twice as long with each ban in a row
  std::chrono::milliseconds longest_ban{3'600'000};  // but never longer
  std::chrono::milliseconds memory{24 * 3'600'000L}; // after a ban's end the next one is the first again
  std::size_t most_tracked = 65'536;                 // networks, in about 200 bytes each
};

class ban_policy {
public:
  using time = std::chrono::milliseconds; // since any fixed moment

  struct known_ban {
    ip_network network;
    time until{};
    int strikes = 1;
  };

  explicit ban_policy(ban_rules rules) : rules_(rules) {
  }

  // Counts a failure; the ban that it leads to, if it does. Failures of a banned network count for nothing.
  std::optional<known_ban> failed(const ip_network& who, time now) {
    if (banned_until(who, now))
      return std::nullopt;
    auto& one = track(who, now);
    std::erase_if(one.failures, [&](time at) { return at + rules_.within <= now; });
    one.failures.push_back(now);
    if (one.failures.size() < static_cast<std::size_t>(rules_.failures))
      return std::nullopt;
    one.failures.clear();
    one.strikes = remembers(one, now) ? one.strikes + 1 : 1;
    one.unconfirmed = true;
    one.until = now + length_of(one.strikes);
    return known_ban{who, one.until, one.strikes};
  }

  // The end of the ban that stands; none: there is none.
  [[nodiscard]] std::optional<time> banned_until(const ip_network& who, time now) const {
    const auto found = tracked_.find(who);
    if (found == tracked_.end() || found->second.until <= now)
      return std::nullopt;
    return found->second.until;
  }

  // What is known of bans everywhere, those that have ended too: it replaces all that stood here, except bans that
  // began here and that it does not know yet.
  void replace(const std::vector<known_ban>& all, time now) {
    for (auto& [network, one] : tracked_)
      if (!one.unconfirmed) {
        one.until = time::zero();
        one.strikes = 0;
      }
    for (const auto& ban : all) {
      auto& one = track(ban.network, now);
      const bool lifted = ban.strikes == 0;
      if (one.unconfirmed && ban.strikes < one.strikes && !lifted)
        continue; // an earlier one
      one.until = ban.until;
      one.strikes = ban.strikes;
      one.unconfirmed = false;
    }
    std::erase_if(tracked_, [&](const auto& e) { return idle(e.second, now); });
  }

  [[nodiscard]] std::size_t tracked() const {
    return tracked_.size();
  }

private:
  struct network_state {
    std::vector<time> failures; // in the window, oldest first; fewer than the rules' number
    time until{};               // of the last ban; zero: there was none, or it was lifted
    int strikes = 0;
    bool unconfirmed = false; // the last ban began here, and is not known elsewhere yet
  };

  [[nodiscard]] bool remembers(const network_state& one, time now) const {
    return one.strikes > 0 && now < one.until + rules_.memory;
  }

  [[nodiscard]] time length_of(int strikes) const {
    auto length = rules_.first_ban;
    for (int i = 1; i < strikes && length < rules_.longest_ban; ++i)
      length *= 2;
    return std::min(length, rules_.longest_ban);
  }

  [[nodiscard]] bool idle(const network_state& one, time now) const {
    return !remembers(one, now) && (one.failures.empty() || one.failures.back() + rules_.within <= now);
  }

  network_state& track(const ip_network& who, time now) {
    const auto found = tracked_.find(who);
    if (found != tracked_.end())
      return found->second;
    if (tracked_.size() >= rules_.most_tracked)
      make_room(now);
    return tracked_[who];
  }

  // First what has ended by itself; then those that have only begun; bans that stand last of all.
  void make_room(time now) {
    std::erase_if(tracked_, [&](const auto& e) { return idle(e.second, now); });
    if (tracked_.size() >= rules_.most_tracked)
      std::erase_if(tracked_, [&](const auto& e) { return e.second.until <= now; });
    if (tracked_.size() >= rules_.most_tracked)
      tracked_.erase(std::min_element(tracked_.begin(), tracked_.end(),
                                      [](const auto& a, const auto& b) { return a.second.until < b.second.until; }));
  }

  ban_rules rules_;
  std::map<ip_network, network_state> tracked_; // ordered: no hash that an attacker could aim at
};

} // namespace rdev
