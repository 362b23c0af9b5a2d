// COMMAND QUEUE is the one writer of the life of commands: it accepts them durably (group commit), gives them out to
// the RUNNER as long as there are free slots, and records their end.
#pragma once

#include "messages/values/changes.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::command_queue {

struct submit {
  principal who;
  request_context from;
  std::optional<rdev::idempotency> idempotency;
  submission what;
};

struct cancel {
  cancel_order order;
};
struct cancelled {
  cancel_verdict verdict = cancel_verdict::not_found;
};

// What a revoked key has in the queue, some hundreds at a time: whoever asks goes on while there may be `more`.
struct cancel_queued {
  queue_order order;
};
struct queued_cancelled {
  bool more = false;
};

// The owner of a lease reports the end of its command. `accepted` is false for a stale token.
struct complete {
  completion what;
};
struct completed {
  bool accepted = false;
};

// A change of a project, to be recorded; and whether a POST was made before.
struct record {
  project_change what;
};
struct recorded {};
// The health of a project, as it was seen. May be lost: it is seen again.
struct observe {
  project_health what;
};
struct look_up {
  key_id family;
  request_context from;
  rdev::idempotency key;
};
struct looked_up {
  std::optional<idempotency_hit> hit;
};

// This is about to be done outside of the store: it is put on record, if the key is still the one that was accepted.
struct vouch {
  project_change what;
  int revision = 0; // of the key
};
struct vouched {
  bool good = false;
};

// So many commands are running here (from the RUNNER, at every change): slots may have become free. May be lost: the
// queue also polls.
struct load {
  int running = 0;
};

// The server goes away: claim nothing more. What is under way is still written.
struct rest {};

using actor = caf::typed_actor<
    // Durable before it is answered: command, queue, audit, event and idempotency rows in one transaction.
    caf::replies_to<submit>::with<answer<submitted>>,
    // Queued commands end at once; a running one is ended by its owner.
    caf::replies_to<cancel>::with<cancelled>, caf::replies_to<cancel_queued>::with<queued_cancelled>,
    // Result, audit row and event row in one transaction, fenced by the token.
    caf::replies_to<complete>::with<completed>,
    // Audit row, event row and idempotency record of a project's change.
    caf::replies_to<record>::with<recorded>, caf::replies_to<look_up>::with<looked_up>,
    caf::replies_to<vouch>::with<vouched>, caf::reacts_to<load>,
    // An event row, if it is news.
    caf::reacts_to<observe>, caf::reacts_to<rest>>;

} // namespace rdev::command_queue
