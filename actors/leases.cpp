#include "actors/leases.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace rdev::leases {

namespace {

std::vector<command_id> in_both(const std::vector<command_id>& a, const std::vector<command_id>& b) {
  std::vector<command_id> out;
  std::copy_if(b.begin(), b.end(), std::back_inserter(out),
               [&](const auto& id) { return std::find(a.begin(), a.end(), id) != a.end(); });
  return out;
}

} // namespace

void state::on_beat() {
  if (leaving)
    return;
  auto kept = store->beat(settings.self, settings.lease);
  if (!kept) {
    around.fault("leases", kept.error());
  } else {
    if (registered && !*kept)
      around.log->warn("this node was taken for dead: others may have some of its commands now");
    in_time = *kept ? in_time + 1 : 0;
    registered = true;
    if (!reclaimed)
      on_reclaim();
  }
  self->delayed_send(self, settings.renew, beat{});
}

void state::on_reclaim() {
  if (!registered)
    return;
  auto mine = store->reclaim(settings.self, {});
  reclaimed = static_cast<bool>(mine);
  if (!mine)
    return around.fault("leases", mine.error());
  // Also when there are none: COMMAND QUEUE learns from the runner how little it has to do now.
  hand_over(std::move(*mine));
}

// A runner that is away gets them at the next beat, under new tokens.
void state::hand_over(std::vector<lease> found) {
  if (!found.empty())
    around.log->info("commands taken over", {{"count", static_cast<std::int64_t>(found.size())}});
  self->request(around.peers->get<runner::actor>(), caf::infinite, runner::run{std::move(found)})
      .then([this](const runner::running&) { tell_settled(); }, [this](const caf::error&) { reclaimed = false; });
}

void state::tell_settled() {
  has_settled = true;
  for (auto& one : std::exchange(settling, {}))
    one.deliver(settled{});
}

settle_reply state::on_settle() {
  auto promise = self->make_response_promise<settled>();
  if (has_settled)
    promise.deliver(settled{});
  else
    settling.push_back(promise);
  return promise;
}

// Who was late judges nobody: after an outage of the store all have been, and the others' heartbeats are on their way.
void state::adopt() {
  if (in_time < 2)
    return;
  auto orphans = store->adopt(settings.self, settings.adopt_at_once, settings.foreign_after);
  if (!orphans)
    around.fault("leases", orphans.error());
  else if (!orphans->empty())
    hand_over(std::move(*orphans));
}

void state::on_scan() {
  if (leaving)
    return;
  if (registered) {
    adopt();
    look_at_own();
  }
  self->delayed_send(self, settings.scan, scan{});
}

// Cancel wishes; leases that nobody here knows of, those of a claim or a take-over whose answer was lost; and commands
// that others have taken over while this node was late.
void state::look_at_own() {
  auto held = store->held(settings.self);
  if (!held)
    return around.fault("leases", held.error());
  runner::check all;
  for (const auto& one : *held) {
    all.held.push_back(one.command);
    if (one.cancel)
      self->send(around.peers->get<runner::actor>(), runner::stop{one.command, *one.cancel});
  }
  self->request(around.peers->get<runner::actor>(), caf::infinite, std::move(all))
      .then([this](runner::checked& now) { on_checked(std::move(now)); }, [](const caf::error&) {});
}

// What is amiss once is on its way to the runner, or has just begun or ended; at two looks it is wrong.
void state::on_checked(runner::checked now) {
  const auto missing = in_both(amiss.missing, now.missing);
  const auto strays = in_both(amiss.strays, now.strays);
  amiss = std::move(now);
  if (leaving)
    return;
  if (!strays.empty())
    self->send(around.peers->get<runner::actor>(), runner::drop{strays});
  if (missing.empty())
    return;
  amiss.missing.clear();
  auto again = store->reclaim(settings.self, missing);
  if (!again)
    return around.fault("leases", again.error());
  hand_over(std::move(*again));
}

// Of a command that is over nothing is kept but a mark, and nothing may run: others have given it up, or this node died
// between its receipt and the removal of its run folder.
void state::on_sweep() {
  if (leaving)
    return;
  const auto kept = processes->kept();
  auto over = kept && !kept->empty() ? store->over(*kept) : result<std::vector<command_id>>(std::vector<command_id>{});
  if (!kept)
    around.fault("leases", kept.error());
  if (!over)
    around.fault("leases", over.error());
  for (const auto& id : over ? *over : std::vector<command_id>{}) {
    const auto now = processes->status(id);
    if (!now)
      around.fault("leases", now.error());
    else if (now->state == run_state::running)
      (void)processes->cancel(id, settings.kill_grace); // it is gone by the next sweep
    else
      clear_away(id, *now);
  }
  if (auto dropped = processes->drop_marks(settings.keep_marks); !dropped)
    around.fault("leases", dropped.error());
  self->delayed_send(self, settings.sweep, sweep{});
}

void state::clear_away(const command_id& id, const run_status& now) {
  if (now.state == run_state::lost)
    if (const auto left = processes->end_leftovers(id); !left)
      return around.fault("leases", left.error()); // at the next sweep
  if (auto gone = processes->forget(id); !gone)
    around.fault("leases", gone.error());
}

void state::on_upkeep() {
  auto kept = store->upkeep();
  if (!kept)
    around.fault("leases", kept.error());
  const auto next = kept ? settings.upkeep : std::chrono::milliseconds(10000);
  self->delayed_send(self, next, upkeep{});
}

caf::result<confirmed> state::on_confirm(const confirm& what) {
  auto stands = store->holds(what.command, what.token);
  if (!stands)
    return to_error(stands.error());
  return confirmed{*stands};
}

left state::on_leave() {
  leaving = true;
  if (auto gone = store->leave(settings.self.id); !gone)
    around.fault("leases", gone.error());
  return {};
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<lease_store> store, std::shared_ptr<process_runner> processes) {
  self->state.around = around;
  self->state.settings = std::move(settings);
  self->state.store = std::move(store);
  self->state.processes = std::move(processes);
  self->send(self, beat{});
  self->send(self, scan{});
  self->send(self, sweep{});
  self->send(self, upkeep{});
  return {
      [=](reclaim) { self->state.on_reclaim(); },
      [=](leave) { return self->state.on_leave(); },
      [=](settle) { return self->state.on_settle(); },
      [=](const confirm& what) { return self->state.on_confirm(what); },
      [=](beat) { self->state.on_beat(); },
      [=](scan) { self->state.on_scan(); },
      [=](sweep) { self->state.on_sweep(); },
      [=](upkeep) { self->state.on_upkeep(); },
  };
}

} // namespace rdev::leases
