// Port of the durable store for bans. Same rules as adapters/command_store.hpp.
#pragma once

#include "adapters/key_store.hpp"
#include "messages/values/bans.hpp"

#include <optional>
#include <span>
#include <vector>

namespace rdev {

// All times are the store's.
class ban_store {
public:
  virtual ~ban_store() = default;

  // Locks networks out, or for longer if they are locked out already; each may be named once. Writes an `auth.lockout`
  // event and an audit row for each that was not; these bans.
  virtual result<std::vector<ban>> impose(std::span<const new_ban> bans) = 0;
  // Those that have not ended, and for `memory` those that have (for their strikes); newest first.
  virtual result<std::vector<ban>> all(std::chrono::milliseconds memory) = 0;
  // Grows with every change of a ban, by whatever node.
  virtual result<std::int64_t> version() = 0;
  // Those that have not ended, newest first.
  virtual result<page<ban>> list(const page_request& at) = 0;
  // Ends it now and forgets its strikes; as it was. None: there is no such ban, or it has ended. Fault `key_changed`:
  // the writer's key is not what it was.
  virtual result<std::optional<ban>> lift(const ban_id& id, const key_writer& writer) = 0;
};

} // namespace rdev
