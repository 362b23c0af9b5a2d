// Port of the durable store for API keys. Same rules as adapters/command_store.hpp.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/values/operations.hpp"
#include "messages/values/result.hpp"

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rdev {

// Who writes, for the audit row and the event row of the same transaction.
struct key_writer {
  std::optional<key_id> by; // none = rdev itself
  std::string actor_name;
  request_context from;
  key_id family; // scope of the idempotency record
  std::optional<rdev::idempotency> idempotency;
  int revision = 0; // of `by`; nothing is written for a key that is not that any more
};

// What a key's operation may answer besides the key itself.
// `stale`: the key is not what it was when it was read. `writer_changed`: nor is that of who wants it.
enum class change_verdict : std::uint8_t { changed, not_found, stale, writer_changed };

struct change_receipt {
  change_verdict verdict = change_verdict::changed;
  api_key key;            // afterwards
  std::int64_t epoch = 0; // what every node must have seen before the change counts everywhere
};

// A command that is running, and the key that submitted it.
struct running_command {
  command_id command;
  std::string project;
  api_key submitter;
};

// What has been revoked or ended behind an epoch.
struct epoch_news {
  std::int64_t epoch = 0;
  std::vector<key_id> revoked;
};

enum class mint_verdict : std::uint8_t { created, replayed, conflict, stale, writer_changed };

struct mint_receipt {
  mint_verdict verdict = mint_verdict::created;
  api_key key;            // as it was created; of the first one in a replay
  std::int64_t epoch = 0; // of a rotation: as in change_receipt
};

class key_store {
public:
  virtual ~key_store() = default;

  // Those that are there, in any order.
  virtual result<std::vector<api_key>> find_by_prefix(std::span<const std::string> prefixes) = 0;
  virtual result<std::optional<api_key>> find(const key_id& id) = 0;
  // Those of the commands that are running at this moment, in any order.
  virtual result<std::vector<running_command>> find_running(std::span<const command_id> commands) = 0;
  // Keys that lie within `projects` (none = all), newest first; the row `admin` too. With `unused_for` only keys that
  // are good and have neither been used nor made within it.
  virtual result<page<api_key>> list(const page_request& at, const std::optional<std::vector<std::string>>& projects,
                                     std::optional<std::chrono::seconds> unused_for) = 0;
  // With `rotated_from` set, the old key's expiry is lowered to now + `overlap` in the same transaction, and the epoch
  // is raised; it must be good and of `key`'s revision.
  virtual result<mint_receipt> create(const api_key& key, std::chrono::seconds overlap, const key_writer& writer) = 0;
  // Writes name, scopes, bindings, limits and expiry of `key` to the row of its id, if that is of its revision and not
  // revoked, and raises the epoch.
  virtual result<change_receipt> change(const api_key& key, const key_writer& writer) = 0;
  // A repeat changes nothing, and tells the present epoch.
  virtual result<change_receipt> revoke(const key_id& id, const key_writer& writer) = 0;
  // Writes down the latest use of keys; an older one than is known changes nothing. A network that a key was not used
  // from before becomes an event and an audit row, unless it is the key's first; those are returned.
  virtual result<std::vector<anomaly>> note_uses(const std::vector<key_use>& uses) = 0;
  // Writes an event and an audit row for each.
  virtual result<done> note_anomalies(const std::vector<anomaly>& seen) = 0;
  // Writes a `key.expiring` event for each good key that ends within 14, 7 or 1 days and of which that was not said
  // yet, by whatever node; how many.
  virtual result<int> announce_expiries() = 0;

  // ---- the barrier: every change that takes rights away raises the epoch
  // The present epoch, and the keys revoked behind `since`.
  virtual result<epoch_news> news_since(std::int64_t since) = 0;
  // Writes down that `node` serves nothing any more that is older than `epoch`.
  virtual result<done> saw(const node_id& node, std::int64_t epoch) = 0;
  // The least epoch that another node has seen which lives, or lived less than `grace` ago. None: there is no such
  // node.
  virtual result<std::optional<std::int64_t>> least_seen(const node_id& except, std::chrono::milliseconds grace) = 0;

  // Makes the row named `admin`, or sets its hash to `hash`, so that the former key stops working; the epoch is raised.
  virtual result<done> set_admin(const key_digest& hash) = 0;
  // Whether keys can be checked with the pepper that `check` is of (none: without any). The first pepper stays the only
  // one.
  virtual result<bool> settle_pepper(const std::optional<key_digest>& check) = 0;
};

// What a feed tells: a key was changed. No key: any may have been. With an epoch: a right was taken away.
struct key_news {
  std::optional<key_id> key;
  std::optional<std::int64_t> epoch;
  bool revoked = false;
};

// Tells of keys that were changed or revoked, by whatever node, as long as it lives.
class key_feed {
public:
  virtual ~key_feed() = default;
};

} // namespace rdev
