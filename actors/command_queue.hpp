// Owns: the connection of the commands lane and the batch not yet written. Loses that batch on death: its askers get a
// fault and repeat. Runs: detached, because the store blocks.
#pragma once

#include "actors/submit_lane.hpp"
#include "actors/surroundings.hpp"
#include "adapters/command_store.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace rdev::command_queue {

struct config {
  node_id node;
  std::string scope;        // of this node's runner: what it accepts is for it
  std::string start_intent; // boot tag of this machine, committed with each claim
  // Where commands can be started now, when that differs from project to project (process_runner::places).
  std::function<std::optional<std::map<std::string, std::string>>()> places;
  int max_running = 64;                          // commands that run here at once
  int max_running_per_project = 64;              // over all nodes
  std::size_t batch = 100;                       // submissions in one transaction
  std::vector<submit_lane::actor> lanes;         // writers of submissions; none = the queue writes them itself
  int settle_attempts = 5;                       // of a commit whose outcome is unknown
  std::chrono::milliseconds poll_interval{1000}; // for work that no message told of
  std::chrono::seconds default_timeout{30 * 60}; // of a command that asks for none
  int cancelled_at_once = 500;                   // of a revoked key's queued commands
};

struct flush {};
struct poll {};

using self_actor = actor::extend<caf::reacts_to<flush>, caf::reacts_to<poll>>;
using submit_reply = caf::typed_response_promise<answer<submitted>>;
using complete_reply = caf::typed_response_promise<completed>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  ~state();
  submit_reply on_submit(submit& what);
  caf::result<cancelled> on_cancel(const cancel& what);
  caf::result<queued_cancelled> on_cancel_queued(const cancel_queued& what);
  complete_reply on_complete(complete& what);
  caf::result<recorded> on_record(const record& what);
  void on_observe(const observe& what);
  caf::result<looked_up> on_look_up(const look_up& what);
  caf::result<vouched> on_vouch(const vouch& what);
  void on_load(const load& what);
  void on_flush();
  void on_poll();

  struct submission_waiting {
    new_command what;
    submit_reply promise;
    std::vector<redactor::registration> hidden; // of its environment
  };
  struct completion_waiting {
    completion what;
    complete_reply promise;
  };

  void flush_soon();
  void write_completions();
  void write_submissions();
  void write_here();
  void write_on(std::size_t lane, std::vector<submission_waiting> batch);
  std::vector<submission_waiting> take_batch();
  static std::vector<new_command> commands_of(const std::vector<submission_waiting>& batch);
  void answer_submission(const submission_waiting& one, const submit_receipt& receipt);
  void claim();
  void hand_over(std::vector<lease> leases);
  void tell_committed(const request_context& from, int rows);

  self_actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<command_store> store;
  std::vector<submission_waiting> submissions;
  std::vector<completion_waiting> completions;
  std::vector<std::vector<submission_waiting>> in_flight; // by lane
  bool flush_is_due = false;
  bool resting = false;      // the server goes away
  bool handing_over = false; // leases are on their way to the runner: its load is not known
  int running = 0;
  const char* name = "command_queue";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<command_store> store);

} // namespace rdev::command_queue

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::flush)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::poll)
