#include "actors/supervisor.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace rdev::supervisor {

namespace {

// In this order, after all others, so that what those say until their end is put on record.
constexpr std::array<std::string_view, 2> last_to_stop{"refusals", "audit"};

bool stops_late(std::string_view which) {
  return std::find(last_to_stop.begin(), last_to_stop.end(), which) != last_to_stop.end();
}

} // namespace

template <class Actor>
void state::add(const std::string& which, std::function<Actor()> spawn) {
  starters[which] = [this, spawn = std::move(spawn)] {
    auto handle = spawn();
    around.peers->set(handle);
    self->monitor(handle);
    return caf::actor_cast<caf::strong_actor_ptr>(handle);
  };
}

template <class Actor>
void state::add_recluse(const std::string& which, std::function<Actor()> spawn) {
  starters[which] = [this, spawn = std::move(spawn)] {
    auto handle = spawn();
    self->monitor(handle);
    return caf::actor_cast<caf::strong_actor_ptr>(handle);
  };
}

// Those that are asked come before those that ask.
void state::start_all() {
  auto& m = made_of;
  auto& sys = self->system();
  add<audit::actor>("audit",
                    [&] { return sys.spawn<caf::detached>(audit::behavior, around, m.audit, m.make_audit_log()); });
  add<refusals::actor>("refusals", [&] { return sys.spawn(refusals::behavior, around, m.refusals); });
  add_recluse<audit_sealer::actor>("audit_sealer", [&] {
    return sys.spawn<caf::detached>(audit_sealer::behavior, around, m.audit_sealer, m.make_audit_chain());
  });
  add<auditor::actor>("auditor", [&] {
    return sys.spawn<caf::detached>(auditor::behavior, around, m.auditor, m.make_audit_reader(), m.make_audit_log());
  });
  add<webhooks::actor>("webhooks", [&] {
    return sys.spawn<caf::detached>(webhooks::behavior, around, m.webhooks, m.make_webhook_outbox(), m.sender);
  });
  add<endpoints::actor>("endpoints", [&] {
    return sys.spawn<caf::detached>(endpoints::behavior, around, m.make_webhook_registry(), m.sender);
  });
  add<api_keys::actor>(
      "api_keys", [&] { return sys.spawn<caf::detached>(api_keys::behavior, around, m.api_keys, m.make_key_store()); });
  add<lockout::actor>(
      "lockout", [&] { return sys.spawn<caf::detached>(lockout::behavior, around, m.lockout, m.make_ban_store()); });
  add<auth::actor>("auth", [&] { return sys.spawn(auth::behavior, around, m.auth); });
  add<rate_limit::actor>("rate_limit", [&] { return sys.spawn(rate_limit::behavior, around, m.rate_limit); });
  add<queries::actor>("queries",
                      [&] { return sys.spawn<caf::detached>(queries::behavior, around, m.queries, m.make_queries()); });
  add<streams::actor>("streams", [&] { return sys.spawn(streams::behavior, around, m.streams); });
  add<output_log::actor>("output_log", [&] {
    return sys.spawn<caf::detached>(output_log::behavior, around, m.output_log, m.make_output_store());
  });
  add<runner::actor>("runner", [&] { return sys.spawn(runner::behavior, around, m.execution, m.processes); });
  add<command_queue::actor>("command_queue", [&] {
    auto settings = m.command_queue;
    for (int i = 0; i < m.submit_lanes; ++i)
      settings.lanes.push_back(sys.spawn<caf::detached>(
          submit_lane::behavior, around, submit_lane::config{settings.settle_attempts}, m.make_command_store()));
    return sys.spawn<caf::detached>(command_queue::behavior, around, std::move(settings), m.make_command_store());
  });
  add<pod_control::actor>("pod_control",
                          [&] { return sys.spawn<caf::detached>(pod_control::behavior, around, m.projects); });
  add<leases::actor>("leases", [&] {
    return sys.spawn<caf::detached>(leases::behavior, around, m.leases, m.make_lease_store(), m.processes);
  });
  add<ingress::actor>("ingress", [&] { return sys.spawn(ingress::behavior, around, m.ingress); });

  for (const auto* which : {"audit", "refusals", "audit_sealer", "auditor", "webhooks", "endpoints", "api_keys",
                            "lockout", "auth", "rate_limit", "queries", "streams", "output_log", "runner",
                            "command_queue", "pod_control", "leases", "ingress"})
    start(which);
}

void state::start(const std::string& which) {
  running[which] = starters.at(which)();
}

void state::on_down(const caf::down_msg& down) {
  const auto gone =
      std::find_if(running.begin(), running.end(), [&](const auto& e) { return e.second->address() == down.source; });
  if (gone == running.end())
    return;
  const auto which = gone->first;
  running.erase(gone);
  if (stopping)
    return stop_next();
  around.metrics->actor_restarted(which);
  around.log->error("an actor died and is started anew", {{"actor", which}, {"reason", caf::to_string(down.reason)}});
  self->delayed_send(self, made_of.restart_delay, restart{which});
}

void state::on_stop() {
  stopping = true;
  for (const auto& [which, handle] : running)
    if (!stops_late(which))
      self->send_exit(caf::actor_cast<caf::actor>(handle), caf::exit_reason::user_shutdown);
  stop_next();
}

void state::stop_next() {
  if (std::all_of(running.begin(), running.end(), [](const auto& one) { return stops_late(one.first); }))
    for (const auto which : last_to_stop)
      if (const auto next = running.find(std::string(which)); next != running.end()) {
        self->send_exit(caf::actor_cast<caf::actor>(next->second), caf::exit_reason::user_shutdown);
        break;
      }
  if (!running.empty())
    return;
  around.peers->clear();
  self->quit();
}

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, parts made_of) {
  self->state.around = around;
  self->state.made_of = std::move(made_of);
  self->set_down_handler([=](const caf::down_msg& down) { self->state.on_down(down); });
  self->state.start_all();
  return {
      [=](ready) { return started{}; },
      [=](stop) { self->state.on_stop(); },
      [=](const restart& what) {
        if (self->state.stopping)
          return;
        self->state.start(what.actor);
        // The new runner has nothing to run yet: its commands come back by their leases.
        if (what.actor == "runner")
          self->send(self->state.around.peers->get<leases::actor>(), leases::reclaim{});
      },
  };
}

} // namespace rdev::supervisor
