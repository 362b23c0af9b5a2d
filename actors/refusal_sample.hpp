// Which refusals get a record of their own: the first few in a minute of an address and a key, and of all strangers
// together only some in a second; further ones are counted, and the counts become records when the minute is over.
// Bounded, whatever addresses are invented. Pure; the caller brings the time.
#pragma once

#include "messages/values/addresses.hpp"
#include "messages/values/audit.hpp"
#include "messages/values/time.hpp"

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rdev {

struct sampling_rules {
  int per_window = 5;                       // records of one address (IPv6: /64) and key; 1 to 1,000,000
  int strangers_per_second = 50;            // records of all who have no good key, together; 1 to 1,000,000
  std::chrono::milliseconds window{60'000}; // from the first of them on
  std::size_t most_tracked =
      10'000; // address and key, in about 300 bytes each; then keys alone; the rest share one count
};

class refusal_sample {
public:
  using time = std::chrono::milliseconds; // since any fixed moment

  explicit refusal_sample(sampling_rules rules) : rules_(rules) {
  }

  // Whether it is recorded by itself; it is counted otherwise. `at`: when it happened, for people.
  bool admits(const audit_record& refused, time now, timestamp at) {
    auto& one = windows_[place(refused, now)];
    if (one.recorded < rules_.per_window && (refused.actor || takes_stranger(now))) {
      ++one.recorded;
      return true;
    }
    auto& more = one.more.try_emplace(refused.reason, counted{0, at, at}).first->second;
    ++more.times;
    more.last = at;
    if (one.actor_name.empty() && refused.actor)
      one.actor_name = refused.actor_name;
    return false;
  }

  // The records of windows that are over.
  std::vector<audit_record> take_ended(time now) {
    std::vector<audit_record> out;
    for (; !ends_.empty() && ends_.front().first <= now; ends_.pop_front())
      take(ends_.front().second, out);
    return out;
  }
  // Of all windows: each is over.
  std::vector<audit_record> take_all() {
    return take_ended(time::max());
  }
  [[nodiscard]] std::optional<time> next_end() const {
    return ends_.empty() ? std::nullopt : std::optional(ends_.front().first);
  }

private:
  struct source {
    std::optional<ip_network> from; // none: the address is not known, or one of too many
    std::optional<key_id> actor;
    friend auto operator<=>(const source&, const source&) = default;
  };
  struct counted {
    std::int64_t times = 0;
    timestamp first;
    timestamp last;
  };
  struct window {
    int recorded = 0;
    std::string actor_name;
    std::map<std::string, counted> more; // by reason
  };

  // Many of them from many addresses are an attack; who has a key is not to be hidden by it.
  bool takes_stranger(time now) {
    if (now >= second_ + std::chrono::seconds(1)) {
      second_ = now;
      strangers_ = 0;
    }
    return ++strangers_ <= rules_.strangers_per_second;
  }

  source place(const audit_record& refused, time now) {
    const auto address = ip_address::parse(refused.from.client_ip);
    source key{address ? std::optional(client_network(*address)) : std::nullopt, refused.actor};
    if (windows_.contains(key))
      return key;
    if (windows_.size() >= rules_.most_tracked) { // who has a key is told by it all the same, up to as many again
      key.from.reset();
      if (windows_.size() >= 2 * rules_.most_tracked && !windows_.contains(key))
        key.actor.reset();
    }
    if (!windows_.contains(key)) {
      windows_.try_emplace(key);
      ends_.emplace_back(now + rules_.window, key);
    }
    return key;
  }

  static std::string text_of(const std::optional<ip_network>& from) {
    if (!from)
      return "";
    return from->address.v4 ? from->address.text() : from->text();
  }

  void take(const source& key, std::vector<audit_record>& out) {
    const auto found = windows_.find(key);
    for (const auto& [reason, more] : found->second.more) {
      audit_record row;
      row.actor = key.actor;
      row.actor_name = key.actor ? found->second.actor_name : "unknown";
      row.action = "request.refused";
      row.outcome = "refused";
      row.reason = reason;
      row.from.client_ip = text_of(key.from);
      row.detail = {
          {"count", std::to_string(more.times)}, {"first", to_rfc3339(more.first)}, {"last", to_rfc3339(more.last)}};
      out.push_back(std::move(row));
    }
    windows_.erase(found);
  }

  sampling_rules rules_;
  time second_{-1'000'000}; // when the current one began
  int strangers_ = 0;       // in it
  std::map<source, window> windows_;
  std::deque<std::pair<time, source>> ends_; // of each window, the soonest first
};

} // namespace rdev
