// Writes batches of submissions durably, on a connection of its own; a child of COMMAND QUEUE, which keeps several of
// them busy: while one waits for its commit, the next batch is being made. Loses on death: the batch under way; COMMAND
// QUEUE dies with it, and its askers get `unknown outcome`. Runs: detached, because the store blocks.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/command_store.hpp"

#include <caf/stateful_actor.hpp>

#include <memory>
#include <vector>

namespace rdev::submit_lane {

struct config {
  int settle_attempts = 5; // of a commit whose outcome is unknown
};

struct write {
  std::vector<new_command> batch;
};
struct written {
  std::vector<submit_receipt> receipts; // in the order of the batch
};

using actor = caf::typed_actor<caf::replies_to<write>::with<written>>;

struct state {
  explicit state(actor::base* self_pointer) : self(self_pointer) {
  }
  caf::result<written> on_write(const write& what);

  actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<command_store> store;
  const char* name = "submit_lane";
};

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, config settings,
                              std::shared_ptr<command_store> store);

// Submits in one transaction, and settles a commit in doubt by the ids we made. Repeating is safe: an id that exists is
// not written again, and the idempotency record decides about the rest.
result<std::vector<submit_receipt>> write_durably(command_store& store, const std::vector<new_command>& batch,
                                                  int attempts);

} // namespace rdev::submit_lane

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::submit_lane::write)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::submit_lane::written)
