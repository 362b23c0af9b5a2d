#include "actors/runner.hpp"

#include <algorithm>
#include <iterator>
#include <unordered_set>

namespace rdev::runner {

running state::on_run(run& what) {
  // All of them, before the first one is spawned, which takes its time.
  std::vector<std::vector<redactor::registration>> hidden;
  for (const auto& lease : what.leases)
    hidden.push_back(hide_secrets_of(lease.what));
  for (std::size_t i = 0; i < what.leases.size(); ++i) {
    auto& lease = what.leases[i];
    const auto id = lease.what.id;
    const auto token = lease.token;
    if (const auto old = executions.find(id); old != executions.end()) {
      // COMMAND QUEUE and LEASES both hand leases over: the older one of two may arrive last, and is stale.
      if (token <= old->second.token)
        continue;
      // A newer lease of the same command: the old execution may not act any more.
      self->send_exit(old->second.one, caf::exit_reason::kill);
    }
    auto one =
        self->spawn<caf::monitored + caf::detached>(execution::behavior, around, settings, processes, std::move(lease),
                                                    caf::actor_cast<caf::strong_actor_ptr>(self));
    executions[id] = {std::move(one), token, std::move(hidden[i])};
  }
  report();
  return {static_cast<int>(executions.size())};
}

std::vector<redactor::registration> state::hide_secrets_of(const command& what) const {
  auto out = around.hide(what.what.env);
  if (settings.checks)
    out.push_back(around.hide(settings.checks->token_of(what.id)));
  return out;
}

checked state::on_check(const check& what) const {
  checked out;
  std::copy_if(what.held.begin(), what.held.end(), std::back_inserter(out.missing),
               [&](const auto& id) { return !executions.contains(id); });
  const std::unordered_set<command_id> held(what.held.begin(), what.held.end());
  for (const auto& [id, one] : executions)
    if (!held.contains(id))
      out.strays.push_back(id);
  return out;
}

void state::on_stop(const stop& what) {
  if (const auto one = executions.find(what.command); one != executions.end())
    self->send(one->second.one, execution::stop{what.reason});
}

void state::on_changed(const changed& what) {
  if (const auto one = executions.find(what.command); one != executions.end())
    self->send(one->second.one, execution::changed{});
}

void state::on_drop(const drop& what) {
  for (const auto& id : what.commands)
    if (const auto one = executions.find(id); one != executions.end())
      self->send_exit(one->second.one, caf::exit_reason::user_shutdown);
}

void state::on_abandon() {
  for (const auto& [id, one] : executions)
    self->send_exit(one.one, caf::exit_reason::user_shutdown);
}

void state::on_down(const caf::down_msg& down) {
  const auto gone = std::find_if(executions.begin(), executions.end(),
                                 [&](const auto& e) { return e.second.one.address() == down.source; });
  if (gone == executions.end())
    return;
  executions.erase(gone);
  report();
  if (!down.reason || down.reason == caf::exit_reason::user_shutdown || down.reason == caf::exit_reason::kill)
    return;
  around.metrics->actor_restarted("execution");
  around.log->error("an execution died; its commands are taken up again", {{"reason", caf::to_string(down.reason)}});
  self->send(around.peers->get<leases::actor>(), leases::reclaim{});
}

void state::report() const {
  around.metrics->commands_active(static_cast<std::int64_t>(executions.size()));
  self->send(around.peers->get<command_queue::actor>(), command_queue::load{static_cast<int>(executions.size())});
}

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, execution::config settings,
                              std::shared_ptr<process_runner> processes) {
  self->state.around = around;
  self->state.settings = std::move(settings);
  self->state.processes = std::move(processes);
  self->set_down_handler([=](const caf::down_msg& down) { self->state.on_down(down); });
  return {
      [=](run& what) { return self->state.on_run(what); },
      [=](const check& what) { return self->state.on_check(what); },
      [=](const stop& what) { self->state.on_stop(what); },
      [=](const changed& what) { self->state.on_changed(what); },
      [=](const drop& what) { self->state.on_drop(what); },
      [=](abandon) { self->state.on_abandon(); },
  };
}

} // namespace rdev::runner
