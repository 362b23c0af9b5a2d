// Ports of the durable store for commands, one per lane. Every call blocks its caller until PostgreSQL has answered,
// at most for the statement time-out; none throws. Faults: `unavailable` (nothing was written), `unknown_outcome`
// (the connection broke during a commit: settle by id), `internal`.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/values/changes.hpp"
#include "messages/values/operations.hpp"
#include "messages/values/result.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace rdev {

// A submission with all that its transaction writes: command, queue row, audit row, event row, idempotency record.
struct new_command {
  command what; // with an id made by us; created_at is the store's
  request_context from;
  std::string actor_name;
  std::optional<rdev::idempotency> idempotency;
  std::string scope;    // of the runner that it is for
  int key_revision = 0; // of its key when it was accepted; nothing is written for another one
  std::optional<command_id> holder = std::nullopt; // whose credential it came with; written only while that runs
};

enum class submit_verdict : std::uint8_t { created, replayed, conflict, key_changed, key_is_full };

struct submit_receipt {
  submit_verdict verdict = submit_verdict::created;
  command_id id; // of the first one in a replay
};

// What a node is allowed to take.
struct claim_request {
  node_id node;
  std::string start_intent; // boot tag of the machine the commands will be started on
  int most = 1;
  int max_running_per_project = 64;
  std::string scope; // of its runner: commands that were queued for another one are not its own
  // Projects whose commands can be started now, each with a start intent of its own. None: all, with `start_intent`.
  std::optional<std::map<std::string, std::string>> places = std::nullopt;
};

// Lane `commands`: short writes. Batches are one transaction each (group commit).
class command_store {
public:
  virtual ~command_store() = default;

  // Writes many submissions in one transaction; receipts in the order given.
  virtual result<std::vector<submit_receipt>> submit(std::span<const new_command> batch) = 0;
  // Which of these commands exist (an in-doubt commit is settled by the ids we made).
  virtual result<std::vector<command_id>> existing(std::span<const command_id> ids) = 0;
  // Takes ready commands: by priority with ageing, fair between projects. The lease and its start intent are
  // committed before this returns; nothing may be started before. A node that does not count as alive gets none.
  virtual result<std::vector<lease>> claim(const claim_request& request) = 0;
  // Writes results with audit and event rows; false where the token is stale. True also for a repeat of what was
  // written under the same token.
  virtual result<std::vector<bool>> complete(std::span<const completion> batch) = 0;
  // Queued: the command ends as cancelled, never run. Running: the wish is recorded for its owner.
  virtual result<cancel_verdict> cancel(const cancel_order& order) = 0;
  // At most `most` commands of a key that are queued end as cancelled, never run; which ones. The key is revoked
  // already, so that no more of them come.
  virtual result<std::vector<command_id>> cancel_queued(const queue_order& order, int most) = 0;
  // Whether its key is good and of this revision; then it is on record that this is about to be done.
  virtual result<bool> vouch(const project_change& change, int revision) = 0;
  // It was done.
  virtual result<done> record(const project_change& change) = 0;
  // Writes the event `project.unhealthy` or `project.recovered`, unless another node did before. True: it is news.
  virtual result<bool> observe(const project_health& seen) = 0;
  virtual result<std::optional<idempotency_hit>> find_idempotent(const key_id& family, const request_context& from,
                                                                 const rdev::idempotency& key) = 0;
};

// Lane `output`.
class output_store {
public:
  virtual ~output_store() = default;
  // One transaction; false where the token is stale. A chunk that is there already is left as it is.
  virtual result<std::vector<bool>> append(std::span<const output_append> batch) = 0;
};

// Lane `reads`.
class command_queries {
public:
  virtual ~command_queries() = default;
  // Visible means: the project is among `projects` (none = all).
  virtual result<std::optional<command_view>> find(const command_id& id) = 0;
  virtual result<page<command_view>> list(const list_commands& what,
                                          const std::optional<std::vector<std::string>>& projects) = 0;
  virtual result<queue_view> queue(const std::optional<std::vector<std::string>>& projects) = 0;
  // Events behind `after` (none = from the start), at most `max_bytes` of output, at least one item if there is one.
  virtual result<std::optional<event_page>> events(const command_id& id, std::optional<event_position> after,
                                                   std::size_t max_bytes) = 0;
  // Of these places, the commands that have something behind theirs, in no order; those that are not there, too.
  virtual result<std::vector<command_id>> behind(const std::vector<event_place>& places) = 0;
  // Whether anything of the command's output is there; what is past its retention is not.
  virtual result<bool> has_output(const command_id& id) = 0;
  virtual result<output_list> chunks(const list_output& what) = 0;
  // At most `max_bytes` of one stream from `offset` on.
  virtual result<output_bytes> bytes(const read_output& what, std::size_t max_bytes) = 0;
};

// Lane `leases`: membership, liveness, take-over, upkeep.
struct node_info {
  node_id id;
  std::string name;
  std::string address;
  std::string runner_scope; // of its runner: whose commands it can attach to
};
struct held_lease {
  command_id command;
  std::optional<cancel_reason> cancel; // somebody wishes it
};
class lease_store {
public:
  virtual ~lease_store() = default;
  // Makes or renews this node's row. False: it had expired, so others may have taken over what this node ran.
  virtual result<bool> beat(const node_info& self, std::chrono::milliseconds lease) = 0;
  // Leases of this very node and its runner scope, each with a new token: after a restart of the process or of the
  // runner actor. `only` these, or all when it is empty.
  virtual result<std::vector<lease>> reclaim(const node_info& self, std::span<const command_id> only) = 0;
  // Leases of nodes whose row has expired, at most `most`, each with a new token and this node as owner: at once those
  // of the own runner scope, those of another one when their node has been away for `foreign_after` and this one has
  // counted as alive all that time. A node that lives with another runner now is away for its former commands.
  virtual result<std::vector<lease>> adopt(const node_info& self, int most,
                                           std::chrono::milliseconds foreign_after) = 0;
  // What this node holds in its runner scope, by the store.
  virtual result<std::vector<held_lease>> held(const node_info& self) = 0;
  // Whether the token is still the one of the command's lease.
  virtual result<bool> holds(const command_id& id, std::int64_t token) = 0;
  // Which of these commands nobody will run any more: ended, or past the retention of records.
  virtual result<std::vector<command_id>> over(std::span<const command_id> ids) = 0;
  virtual result<done> leave(const node_id& self) = 0;
  // Makes partitions ahead of time, drops those past their retention, purges old idempotency records.
  virtual result<done> upkeep() = 0;
};

} // namespace rdev
