// API keys and what they may do.
#pragma once

#include "messages/values/ids.hpp"
#include "messages/values/refusal.hpp"
#include "messages/values/secret.hpp"
#include "messages/values/time.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev {

enum class scope : std::uint16_t {
  projects_read = 1U << 0U,
  projects_write = 1U << 1U,
  projects_execute = 1U << 2U, // implies projects_read
  keys_read = 1U << 3U,
  keys_write = 1U << 4U,
  webhooks_read = 1U << 5U,
  webhooks_write = 1U << 6U,
  audit_read = 1U << 7U,
  admin = 1U << 8U, // all of them
};

// A set of scopes.
class scopes {
public:
  constexpr scopes() = default;
  constexpr scopes(std::initializer_list<scope> list) {
    for (auto s : list)
      add(s);
  }
  constexpr void add(scope s) {
    bits_ = static_cast<std::uint16_t>(bits_ | static_cast<std::uint16_t>(s));
  }
  // Whether a key with these scopes may do what `wanted` guards (admin: everything; execute implies read).
  [[nodiscard]] constexpr bool allow(scope wanted) const {
    if (has(scope::admin) || has(wanted))
      return true;
    return wanted == scope::projects_read && has(scope::projects_execute);
  }
  // Whether every right of `other` is a right of these scopes too.
  [[nodiscard]] bool dominate(const scopes& other) const;
  [[nodiscard]] constexpr bool has(scope s) const {
    return (bits_ & static_cast<std::uint16_t>(s)) != 0;
  }
  [[nodiscard]] constexpr bool empty() const {
    return bits_ == 0;
  }
  // The contract's names (`projects:read`, …) in the order of the enum.
  [[nodiscard]] std::vector<std::string> names() const;
  friend bool operator==(const scopes&, const scopes&) = default;

private:
  std::uint16_t bits_ = 0;
};

std::string_view name_of(scope s);
std::optional<scope> scope_from(std::string_view name);

// SHA-256 or HMAC-SHA-256 of a key's text.
using key_digest = std::array<std::uint8_t, 32>;

// A key as it is stored. The secret itself is nowhere.
struct api_key {
  key_id id;
  std::string name;
  std::string prefix; // `rdev_<8 id>`, or `admin`: unique, the look-up column
  key_digest hash{};
  std::int16_t hash_scheme = 1; // 1 = SHA-256, 2 = HMAC with a pepper
  scopes granted;
  std::optional<std::vector<std::string>> project_ids; // none = all
  std::optional<std::vector<std::string>> allowed_ips; // CIDR; none = from anywhere
  std::optional<int> rate_limit;                       // requests per second; none = the default
  std::optional<int> concurrency_limit;                // its commands queued or running at once; none = any number
  timestamp created_at{};
  std::optional<key_id> created_by;
  std::optional<timestamp> expires_at; // none = never
  std::optional<timestamp> last_used_at;
  std::string last_used_ip; // empty = never used
  std::optional<timestamp> revoked_at;
  std::optional<key_id> revoked_by;
  std::optional<key_id> rotated_from;
  key_id family;    // the first key of its chain of rotations: scope of Idempotency-Key
  int revision = 0; // grows with every change of what it may do

  [[nodiscard]] bool active(timestamp now) const {
    return !revoked_at && (!expires_at || *expires_at > now);
  }
};

// A key was used, as far as it is written down: the latest use from one network within a while.
struct key_use {
  key_id key;
  timestamp at{};
  std::string client_ip;
  std::string network; // what counts as one place: the address's /24 or /48
};

// Something odd about the use of a key. Nothing is refused for it.
enum class anomaly_kind : std::uint8_t {
  new_network,    // a key that was used before, from a network it was never used from
  unusual_rate,   // far more requests in a minute than it usually makes
  many_addresses, // used from many addresses within a minute
  wrong_secrets,  // many wrong secrets under the prefix of one key
};
inline constexpr std::array all_anomaly_kinds{anomaly_kind::new_network, anomaly_kind::unusual_rate,
                                              anomaly_kind::many_addresses, anomaly_kind::wrong_secrets};
std::string_view name_of(anomaly_kind kind);

struct anomaly {
  anomaly_kind kind = anomaly_kind::new_network;
  key_id key;
  std::string prefix;
  std::string client_ip;
  std::string detail; // the figures, in words
};

// Whether `x` may create, change, rotate or revoke a key like `y` (contract, Authentication: domination).
bool dominates(const api_key& x, const api_key& y);

// Who is asking, once the key has been accepted.
struct principal {
  key_id key;
  key_id family;
  std::string key_prefix;
  std::string key_name;
  scopes granted;
  std::optional<std::vector<std::string>> project_ids;
  std::optional<int> rate_limit;
  std::optional<int> concurrency_limit;
  // Of the key as it is known here: a write for another one is not carried out.
  int revision = 0;
  std::optional<timestamp> expires_at;
  // Set for the credential of a running command (RDEV_TOKEN); `key` is then the one that submitted it.
  std::optional<command_id> command;
  std::optional<refusal_code> may_not_submit; // with such a credential: why that key may not any more
  // On the boot clock: from then on it has to be asked again who this is.
  std::chrono::milliseconds good_until = std::chrono::milliseconds::max();

  [[nodiscard]] bool sees_project(std::string_view project) const;
};

} // namespace rdev
