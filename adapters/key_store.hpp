// Port of the durable store for API keys. Same rules as adapters/command_store.hpp.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/values/operations.hpp"
#include "messages/values/result.hpp"

#include <chrono>
#include <optional>
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
};

enum class mint_verdict : std::uint8_t { created, replayed, conflict, writer_revoked };

struct mint_receipt {
  mint_verdict verdict = mint_verdict::created;
  api_key key; // as it was created; of the first one in a replay
};

class key_store {
public:
  virtual ~key_store() = default;

  virtual result<std::optional<api_key>> find_by_prefix(std::string_view prefix) = 0;
  virtual result<std::optional<api_key>> find(const key_id& id) = 0;
  // Keys that lie within `projects` (none = all), newest first; the row `admin` too.
  virtual result<page<api_key>> list(const page_request& at,
                                     const std::optional<std::vector<std::string>>& projects) = 0;
  // With `rotated_from` set, the old key's expiry is lowered to now + `overlap` in the same transaction.
  virtual result<mint_receipt> create(const api_key& key, std::chrono::seconds overlap, const key_writer& writer) = 0;
  // The key afterwards; a repeat changes nothing. None = no such key.
  virtual result<std::optional<api_key>> revoke(const key_id& id, const key_writer& writer) = 0;
  // Writes down the latest use of keys; an older one than is known changes nothing.
  virtual result<done> note_uses(const std::vector<key_use>& uses) = 0;
  // Makes the row named `admin`, or sets its hash to `hash`, so that the former key stops working.
  virtual result<done> set_admin(const key_digest& hash) = 0;
};

// Tells of keys that were changed or revoked, by whatever node, as long as it lives.
class key_feed {
public:
  virtual ~key_feed() = default;
};

} // namespace rdev
