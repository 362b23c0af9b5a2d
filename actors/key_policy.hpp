// What keys may be like: how long they live, what they are bound to. Pure; the caller brings the time.
#pragma once

#include "messages/values/operations.hpp"

#include <chrono>
#include <optional>
#include <vector>

namespace rdev {

struct key_policy {
  std::chrono::seconds default_lifetime{90 * 24 * 3600}; // of a key asked for without expires_in and expires_at
  std::chrono::seconds max_lifetime{0};                  // of every key; 0 = any, and keys without an end

  // The key that is wished for, with all that the schema could not find wrong with the wish: what the rules say
  // (messages/values/rules.hpp), and what depends on the settings.
  struct draft {
    api_key key;
    std::vector<field_problem> problems;
  };
  [[nodiscard]] draft drafted(const key_request& wish, timestamp now) const;
  // What is wrong with a change, whatever key it is for.
  [[nodiscard]] std::vector<field_problem> problems_of(const key_change& what, timestamp now) const;
  // What is wrong with a key as a whole.
  [[nodiscard]] static std::vector<field_problem> problems_of(const api_key& key);
  [[nodiscard]] static api_key changed(api_key key, const key_change& what);
  // The end of a key, no later than its longest lifetime from now on.
  [[nodiscard]] std::optional<timestamp> within_lifetime(std::optional<timestamp> expires_at, timestamp now) const;
};

} // namespace rdev
