// Owns: the batch of records not yet written, and the connection of the audit log. Loses on death: that batch (the log
// lines remain). Runs: detached, because the audit log blocks.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/audit_log.hpp"

#include <caf/stateful_actor.hpp>

#include <memory>
#include <vector>

namespace rdev::audit {

struct config {
  std::chrono::milliseconds linger{100}; // how long a record may wait for others
  std::size_t batch = 200;               // records in one transaction
  std::size_t most_waiting = 20000;      // kept while the store is away; beyond that they are counted and dropped
};

struct flush {};

using self_actor = actor::extend<caf::reacts_to<flush>>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  void on_record(record& what);
  void on_committed(const committed& what);
  void on_flush();
  void keep(audit_record&& what);
  void drop_first();
  void tell_dropped();

  self_actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<audit_log> store;
  std::vector<new_audit_record> waiting;
  bool flush_is_due = false;
  bool one_by_one = false;  // one of the batch cannot be written: find it
  std::int64_t dropped = 0; // because too many were waiting, since that was told last
  const char* name = "audit";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<audit_log> store);

} // namespace rdev::audit

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::audit::flush)
