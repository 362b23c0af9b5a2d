// Owns: the cache of keys, who is locked out, and how keys are used. Loses them on death: it fills the cache again, is
// told the bans again, and begins to count failures and habits anew. Runs: scheduled.
#pragma once

#include "actors/ban_policy.hpp"
#include "actors/key_habits.hpp"
#include "actors/surroundings.hpp"
#include "adapters/crypto.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

namespace rdev::auth {

struct config {
  std::shared_ptr<const credentials> checks;
  std::chrono::milliseconds cache_lease{2000};     // how long an entry is served, from before the query that brought it
  std::size_t most_cached = 100000;                // entries; beyond that the cache starts anew
  std::size_t most_asked = 500;                    // keys that are looked up in one query
  std::chrono::milliseconds note_uses{2000};       // how long uses are gathered before they are written down
  std::size_t most_noted = 64;                     // addresses of one key that are written down at once
  std::function<timestamp()> wall_clock = now_utc; // for expiry

  ban_rules bans;
  bool strict = false;                     // a ban also keeps out who has a good key
  bool ban_shadow = false;                 // bans are counted, nobody is refused for one
  std::vector<ip_network> trusted_proxies; // are never locked out: all clients behind them would be
  habit_rules habits;
};

struct note_uses {};

using self_actor = actor::extend<caf::reacts_to<note_uses>>;
using reply = caf::typed_response_promise<answer<principal>>;
using boot_time = std::chrono::milliseconds;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  reply on_identify(identify& request);
  forgotten on_forget(const forget& what);
  void on_banned(const banned& now);
  void on_note_uses();

  struct entry {
    std::optional<api_key> key;
    std::vector<ip_network> allowed;
    boot_time asked_at{};
  };
  struct waiting {
    identify request;
    digest256 digest{}; // SHA-256 of the credential
    reply promise;
    boot_time arrived{};
  };

  // Goes on with a request: to the administrator's row first, then to the command or the row that it names.
  void advance(waiting one);
  [[nodiscard]] bool known_not_admin(const waiting& one) const;
  void learn_admin();
  void decide(waiting& one, const entry& found);
  [[nodiscard]] bool fits(const api_key& key, const waiting& one) const;
  [[nodiscard]] principal principal_of(const api_key& key, boot_time asked_at) const;
  void note_use(const api_key& key, const std::string& client_ip);

  // The cached row; null while it is being fetched, with `one` waiting for it.
  const entry* lookup(const std::string& prefix, waiting& one);
  // `whom`: a prefix of a key, or the id of a command.
  void wait_for(const std::string& whom, waiting one);
  void ask();
  void on_found(const std::vector<std::string>& names, boot_time asked_at, api_keys::found& found);
  void fetched(const std::string& prefix, boot_time asked_at, std::optional<api_key> key);
  [[nodiscard]] bool was_forgotten(const key_id& key) const;
  void seen_running(const std::string& command, boot_time asked_at, const api_keys::execution* running);
  void failed(const std::vector<std::string>& names, const failure& why);
  std::vector<waiting> those_waiting_for(const std::string& whom);

  // A ban comes first.
  void refuse(waiting& one, refusal why);
  // For who has no good key. `guessed`: a malformed or unknown key was presented.
  void turn_away(waiting& one, std::string message, bool guessed);
  [[nodiscard]] bool is_trusted(const ip_address& address) const;
  [[nodiscard]] std::optional<boot_time> banned_until(const waiting& one) const;
  void refuse_banned(waiting& one, boot_time until);
  void count_failure(const waiting& one);
  void notice(anomaly_kind kind, const api_key& key, const std::string& client_ip, std::string detail);

  self_actor::base* self;
  surroundings around;
  config settings;
  std::unordered_map<std::string, entry> cache;
  std::unordered_map<std::string, std::vector<waiting>> pending;
  std::vector<std::string> wanted;                        // of `pending`, what is not being asked for yet
  bool asking = false;                                    // a query is under way
  std::vector<std::optional<key_id>> forgotten_meanwhile; // while the query was under way
  std::unordered_map<key_id, std::vector<key_use>> uses;  // since they were last written down, one of each address
  ban_policy bans{{}};
  key_habits habits{{}};
  std::vector<anomaly> odd; // since they were last written down
  const char* name = "auth";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings);

} // namespace rdev::auth

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::auth::note_uses)
