// One command, from its start to its receipt; a child of RUNNER. Owns: the account of what is stored. Loses it on
// death: the next owner of the lease counts again what is in the store. Runs: detached, because starting and reading
// block.
//
// starting -> following (files -> OUTPUT LOG, one batch under way at a time) -> ending (COMMAND QUEUE writes the
// result)
#pragma once

#include "actors/output_account.hpp"
#include "actors/surroundings.hpp"
#include "adapters/crypto.hpp"
#include "adapters/process_runner.hpp"

#include <caf/stateful_actor.hpp>

#include <memory>
#include <optional>

namespace rdev::execution {

struct config {
  std::uint64_t max_output_bytes = std::uint64_t{2} << 30U; // stored of one command, both streams together
  std::chrono::milliseconds kill_grace{5000};               // between TERM and KILL
  std::chrono::milliseconds line_linger{200};               // how long an unfinished line waits for its end
  std::chrono::milliseconds retry{250};                     // after a fault of the store or the runner
  std::chrono::milliseconds longest_retry{4'000};           // of the runner: the pause doubles up to this
  std::chrono::milliseconds start_within{30'000};           // since the lease was taken; later it is confirmed first
  std::chrono::milliseconds gone_for{30'000};               // so long a container that ended may take to come back
  std::size_t read_bytes = 512 * 1024;                      // of each stream in one batch
  std::vector<std::string> agent_argv;                      // the `claude` command
  std::string agent_hint;                                   // what to install when it is missing
  std::shared_ptr<const credentials> checks;                // makes RDEV_TOKEN of a command; none: it gets none
};

struct changed {}; // the runner saw output or the end
struct stop {
  cancel_reason reason = cancel_reason::user;
};
struct start {};      // or start again, after a fault
struct line_due {};   // an unfinished line has waited long enough
struct time_is_up {}; // the command's time-out

using actor = caf::typed_actor<caf::reacts_to<changed>, caf::reacts_to<stop>, caf::reacts_to<start>,
                               caf::reacts_to<line_due>, caf::reacts_to<time_is_up>>;

struct state {
  explicit state(actor::base* self_pointer) : self(self_pointer), account(0) {
  }
  void on_start();
  void on_changed();
  void on_stop(cancel_reason reason);
  void on_line_due();
  void on_time_is_up();

  // Counts again what former owners stored, then starts or attaches.
  void recount(stream which);
  void attach();
  void send_order();
  void confirm(void (state::*then)());
  void end_leftovers();
  void give_up(std::string reason);
  // After a fault of the runner: tries again, or gives up when the place is gone for so long that it will not be read
  // any more.
  void try_again(const failure& why);
  void arm_timeout();
  [[nodiscard]] std::chrono::milliseconds running_for() const;
  [[nodiscard]] std::chrono::milliseconds time_left() const;
  void follow();
  void append(std::vector<chunk> chunks);
  void send_append();
  void finish();
  void complete(command_result result);
  [[nodiscard]] command_result result_of(const run_status& s) const;
  void later(std::chrono::milliseconds delay);

  actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<process_runner> processes;
  rdev::lease lease;
  output_account account;
  std::vector<chunk> unacknowledged; // sent to the store, and not yet known to be there
  run_status last;                   // as seen by the latest follow()
  std::string gone;                  // what of the place that it was started in is gone; empty = nothing
  std::optional<std::chrono::milliseconds> gone_since; // nothing could be read there since (boot clock)
  std::chrono::milliseconds pause{0};                  // before the latest attempt, since the runner had a fault
  bool attached = false;                               // the start protocol is through
  bool appending = false;                              // a batch is on its way to the store
  bool completing = false;                             // the result is on its way to the store
  bool line_timer = false;
  bool flush_lines = false;
  const char* name = "execution";
};

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, config settings,
                              std::shared_ptr<process_runner> processes, lease what,
                              const caf::strong_actor_ptr& parent);

} // namespace rdev::execution

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::execution::changed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::execution::stop)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::execution::start)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::execution::line_due)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::execution::time_is_up)
