// How keys are used, and what about it is odd. It refuses nothing: it gives a hint, at most once an hour for each key
// and kind. Bounded. Pure; the caller brings the time.
#pragma once

#include "messages/values/addresses.hpp"
#include "messages/values/keys.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <unordered_map>
#include <vector>

namespace rdev {

struct habit_rules {
  std::size_t many_addresses = 20;            // different ones within a minute are odd
  int ordinary_rate = 300;                    // requests in a minute that are never odd
  int times_the_usual = 10;                   // above that so many times the usual is
  int minutes_to_know = 10;                   // in use, until a usual is known
  int wrong_secrets = 10;                     // within a minute are odd
  std::chrono::milliseconds again{3'600'000}; // the same is said again after this
  std::size_t most_tracked = 100'000;         // keys, in about 200 bytes each
};

class key_habits {
public:
  using time = std::chrono::milliseconds; // since any fixed moment

  explicit key_habits(habit_rules rules) : rules_(rules) {
  }

  // One request of the key. True: it has become an unusual number of them.
  bool used(const key_id& key, time now) {
    auto& one = track(key, now);
    ++one.requests;
    const bool odd = one.minutes >= rules_.minutes_to_know && one.requests > rules_.ordinary_rate &&
                     one.requests > rules_.times_the_usual * std::max(one.usual, 1.0);
    return odd && say(one, anomaly_kind::unusual_rate, now);
  }

  // The key was used from this address. True: these have become many.
  bool used_from(const key_id& key, const ip_address& where, time now) {
    auto& one = track(key, now);
    if (one.addresses.size() <= rules_.many_addresses &&
        std::find(one.addresses.begin(), one.addresses.end(), where) == one.addresses.end())
      one.addresses.push_back(where);
    return one.addresses.size() > rules_.many_addresses && say(one, anomaly_kind::many_addresses, now);
  }

  // Somebody presented a wrong secret under the key's prefix. True: that was one of many.
  bool wrong_secret(const key_id& key, time now) {
    auto& one = track(key, now);
    return ++one.wrong_secrets >= rules_.wrong_secrets && say(one, anomaly_kind::wrong_secrets, now);
  }

  [[nodiscard]] std::size_t tracked() const {
    return tracked_.size();
  }

private:
  static constexpr time minute{60'000};
  static constexpr double weight = 0.1; // of the last minute in the usual
  static constexpr time never{-1};

  struct habit {
    time minute_began{};
    int requests = 0; // in this minute
    std::vector<ip_address> addresses;
    int wrong_secrets = 0;
    double usual = 0; // requests in a minute of use
    int minutes = 0;  // of use that the usual was made of
    std::array<time, all_anomaly_kinds.size()> said{never, never, never, never};
  };

  habit& track(const key_id& key, time now) {
    if (tracked_.size() >= rules_.most_tracked && !tracked_.contains(key))
      tracked_.clear();
    auto& one = tracked_.try_emplace(key, habit{now, 0, {}, 0, 0, 0, {never, never, never, never}}).first->second;
    if (now - one.minute_began >= minute)
      turn(one, now);
    return one;
  }

  // Minutes without any use tell nothing about how the key is used.
  void turn(habit& one, time now) const {
    if (one.requests > 0) {
      one.usual = one.minutes == 0 ? one.requests : (1 - weight) * one.usual + weight * one.requests;
      one.minutes = std::min(one.minutes + 1, rules_.minutes_to_know);
    }
    one.minute_began = now;
    one.requests = 0;
    one.addresses.clear();
    one.wrong_secrets = 0;
  }

  bool say(habit& one, anomaly_kind kind, time now) const {
    auto& last = one.said.at(static_cast<std::size_t>(kind));
    if (last != never && now - last < rules_.again)
      return false;
    last = now;
    return true;
  }

  habit_rules rules_;
  std::unordered_map<key_id, habit> tracked_;
};

} // namespace rdev
