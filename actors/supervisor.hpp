// Starts every actor, watches it, and starts it anew when it dies (actors/README.md has the picture). Owns: how each is
// made. It is the only actor without a supervisor: its death ends the program. Runs: scheduled.
#pragma once

#include "actors/api_keys.hpp"
#include "actors/audit.hpp"
#include "actors/audit_sealer.hpp"
#include "actors/auditor.hpp"
#include "actors/auth.hpp"
#include "actors/command_queue.hpp"
#include "actors/endpoints.hpp"
#include "actors/ingress.hpp"
#include "actors/leases.hpp"
#include "actors/lockout.hpp"
#include "actors/output_log.hpp"
#include "actors/pod_control.hpp"
#include "actors/queries.hpp"
#include "actors/rate_limit.hpp"
#include "actors/refusals.hpp"
#include "actors/runner.hpp"
#include "actors/streams.hpp"
#include "actors/webhooks.hpp"

#include <functional>
#include <map>

namespace rdev::supervisor {

// All that the actors are made of. Stores are made anew for each life of their actor: a connection each.
struct parts {
  ingress::config ingress;
  auth::config auth;
  api_keys::config api_keys;
  rate_limit::config rate_limit;
  command_queue::config command_queue;
  execution::config execution;
  output_log::config output_log;
  queries::config queries;
  streams::config streams;
  audit::config audit;
  sampling_rules refusals;
  audit_sealer::config audit_sealer;
  auditor::config auditor;
  leases::config leases;
  lockout::config lockout;
  webhooks::config webhooks;

  std::function<std::shared_ptr<key_store>()> make_key_store;
  std::function<std::shared_ptr<command_store>()> make_command_store;
  std::function<std::shared_ptr<output_store>()> make_output_store;
  std::function<std::shared_ptr<command_queries>()> make_queries;
  std::function<std::shared_ptr<lease_store>()> make_lease_store;
  std::function<std::shared_ptr<audit_log>()> make_audit_log;
  std::function<std::shared_ptr<audit_chain_store>()> make_audit_chain;
  std::function<std::shared_ptr<audit_reader>()> make_audit_reader;
  std::function<std::shared_ptr<ban_store>()> make_ban_store;
  std::function<std::shared_ptr<webhook_registry>()> make_webhook_registry;
  std::function<std::shared_ptr<webhook_outbox>()> make_webhook_outbox;
  std::shared_ptr<webhook_sender> sender;
  std::shared_ptr<process_runner> processes;
  std::shared_ptr<project_host> projects;

  int submit_lanes = 2; // writers of submissions beside each other; 0 = COMMAND QUEUE writes them itself
  std::chrono::milliseconds restart_delay{100}; // before an actor that died is started anew
};

struct ready {};   // asks until all actors have been started
struct started {}; // they have
struct stop {};    // ends all actors; none is restarted
struct restart {
  std::string actor;
};

using actor = caf::typed_actor<caf::replies_to<ready>::with<started>, caf::reacts_to<stop>, caf::reacts_to<restart>>;

struct state {
  explicit state(actor::base* self_pointer) : self(self_pointer) {
  }
  void start_all();
  void start(const std::string& which);
  void on_down(const caf::down_msg& down);
  void on_stop();
  void stop_next();
  // Remembers how `which` is started, so that it can be started again.
  template <class Actor>
  void add(const std::string& which, std::function<Actor()> spawn);
  // The same for one that nobody sends anything.
  template <class Actor>
  void add_recluse(const std::string& which, std::function<Actor()> spawn);

  actor::base* self;
  surroundings around;
  parts made_of;
  std::map<std::string, std::function<caf::strong_actor_ptr()>> starters;
  std::map<std::string, caf::strong_actor_ptr> running;
  bool stopping = false;
  const char* name = "supervisor";
};

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, parts made_of);

} // namespace rdev::supervisor

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::supervisor::ready)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::supervisor::started)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::supervisor::stop)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::supervisor::restart)
