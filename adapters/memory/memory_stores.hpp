// A pretended database for tests: the ports of the durable store over one world in memory, with the semantics of
// adapters/postgres. Thread-safe, so that detached actors may share a world.
#pragma once

#include "adapters/audit_log.hpp"
#include "adapters/audit_store.hpp"
#include "adapters/ban_store.hpp"
#include "adapters/command_store.hpp"
#include "adapters/key_store.hpp"
#include "adapters/webhook_store.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::memory {

// What a test can see of a lease.
struct lease_seen {
  command_id command;
  std::string project;
  node_id node;
  std::int64_t token = 0;
  int attempt = 1;
  std::string start_intent;
  std::optional<cancel_reason> cancel;
};

struct audit_row {
  timestamp at{};
  audit_record what;
  audit_id id;
  std::uint64_t transaction = 0; // from 1; each record is of its own
};

struct event_row {
  timestamp at{};
  std::string event;
  std::optional<std::string> project;
  std::optional<command_id> command;
  std::optional<key_id> key;
  message_id id;
  std::string data = "{}";
};

// When a fault strikes: before anything was written, or after the commit, so that only the answer is lost.
enum class moment : std::uint8_t { before, after };

struct tables;

// The database and what a test may do to it. Calls are named `<lane>.<method>`: `commands.submit`, `commands.existing`,
// `commands.claim`, `output.append`, `reads.events`, `leases.beat`, `keys.find_by_prefix`, `audit.append`, …
class world {
public:
  world();
  ~world();
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  // ---- what it is like
  void set_clock(std::function<timestamp()> clock); // the database's; the system's time by default
  void set_idempotency_retention(std::chrono::seconds retention);
  void set_webhook_retention(std::chrono::seconds retention);

  // ---- what goes wrong
  // The next `times` calls of any name fail.
  void fail_next(fault what, int times = 1);
  // The next `times` calls of this name fail.
  void fail_next_of(std::string_view call, fault what, int times = 1, moment when = moment::before);
  // While it is so, every call fails with `unavailable`.
  void unreachable(bool yes);
  // The node's row expires at once.
  void expire(const node_id& node);
  // Runs once, within the next call of this name and before its work: what somebody else does at that moment.
  void meanwhile(std::string_view call, std::function<void()> what);

  // ---- what is in it
  [[nodiscard]] std::vector<command_id> commands() const; // by id
  [[nodiscard]] std::vector<command_id> queued() const;   // by age and priority
  [[nodiscard]] std::vector<lease_seen> leases() const;   // by token
  [[nodiscard]] std::optional<command_result> result_of(const command_id& id) const;
  [[nodiscard]] std::vector<chunk> chunks_of(const command_id& id) const; // by seq
  [[nodiscard]] std::string output_of(const command_id& id, stream which) const;
  [[nodiscard]] std::vector<audit_row> audit_rows() const;
  [[nodiscard]] std::vector<event_row> event_rows() const;
  [[nodiscard]] std::size_t idempotency_records() const;
  // Whether values of a command's env are still kept.
  [[nodiscard]] bool keeps_env_of(const command_id& id) const;
  // How big the batch of each call of this name was (1 where a call has none); failed calls count too.
  [[nodiscard]] std::vector<std::size_t> calls(std::string_view call) const;

  // ---- shortcuts
  // A key as it stands there, whatever its times.
  void put_key(const api_key& key);
  [[nodiscard]] std::optional<api_key> key(const key_id& id) const;
  // Changes the record in this place of the log, as somebody would who writes into the database.
  void rewrite_audit(std::size_t place, const std::function<void(audit_record&)>& change);
  // An event that is committed now.
  void put_event(const std::string& event, const std::optional<std::string>& project = std::nullopt,
                 const std::string& data = "{}");
  // A node that counts as alive for a day.
  void put_node(const node_id& id);
  // Takes the command away and its output with it, as retention does.
  void drop(const command_id& id);

  // For this folder.
  tables& inside() {
    return *tables_;
  }

private:
  std::unique_ptr<tables> tables_;
};

std::shared_ptr<world> make_world();
std::shared_ptr<command_store> make_command_store(std::shared_ptr<world> in);
std::shared_ptr<output_store> make_output_store(std::shared_ptr<world> in);
std::shared_ptr<command_queries> make_command_queries(std::shared_ptr<world> in);
std::shared_ptr<lease_store> make_lease_store(std::shared_ptr<world> in);
std::shared_ptr<key_store> make_key_store(std::shared_ptr<world> in);
std::shared_ptr<audit_log> make_audit_log(std::shared_ptr<world> in);
std::shared_ptr<audit_chain_store> make_audit_chain(std::shared_ptr<world> in);
std::shared_ptr<audit_reader> make_audit_reader(std::shared_ptr<world> in);
std::shared_ptr<ban_store> make_ban_store(std::shared_ptr<world> in);
std::shared_ptr<webhook_registry> make_webhook_registry(std::shared_ptr<world> in);
std::shared_ptr<webhook_outbox> make_webhook_outbox(std::shared_ptr<world> in);

} // namespace rdev::memory
