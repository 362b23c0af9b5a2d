// Appends the audit log's records to its chain (docs/audit.md), in the cluster one node at a time. Owns: the connection
// of the seals lane. Loses nothing on death: the chain itself is the state. Runs: detached, because the store blocks.
// Talks to nobody: whoever may seal is settled in the store.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/audit_store.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_actor.hpp>

#include <memory>

namespace rdev::audit_sealer {

struct config {
  node_id node;
  std::chrono::milliseconds look{500};           // between looks for records that are not sealed
  int at_once = 1000;                            // records in one transaction
  std::chrono::milliseconds tell{60'000};        // between log lines with the latest checkpoint
  std::chrono::milliseconds late{60'000};        // a record that waits longer is a fault
  std::shared_ptr<checkpoint_keeper> outside;    // gets them too; or none
  std::chrono::milliseconds retire{3600 * 1000}; // between looks for records past their retention
};

// The log goes to places that nobody who writes into the database reaches: this line shows a tail that was cut off.
void log_checkpoint(const audit_checkpoint& what, log& to);

struct look {};
struct tell {};
struct retire {};

using actor = caf::typed_actor<caf::reacts_to<look>, caf::reacts_to<tell>, caf::reacts_to<retire>>;

struct state {
  explicit state(actor::base* self_pointer) : self(self_pointer) {
  }
  void on_look();
  void on_tell();
  void on_retire();
  void look_for_late_ones();
  [[nodiscard]] bool keep_outside(const audit_checkpoint& what) const;

  actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<audit_chain_store> store;
  std::optional<audit_checkpoint> untold;   // the latest one, of which the outside knows nothing yet
  std::chrono::milliseconds unknown_for{0}; // whether records wait too long
  const char* name = "audit_sealer";
};

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, config settings,
                              std::shared_ptr<audit_chain_store> store);

} // namespace rdev::audit_sealer

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::audit_sealer::look)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::audit_sealer::tell)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::audit_sealer::retire)
