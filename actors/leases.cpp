#include "actors/leases.hpp"

#include <algorithm>
#include <iterator>

namespace rdev::leases {

void state::on_beat() {
  if (leaving)
    return;
  auto in_time = store->beat(settings.self, settings.lease);
  if (!in_time) {
    around.fault("leases", in_time.error());
  } else {
    if (registered && !*in_time) {
      around.log->warn("this node was taken for dead: others may have its commands now");
      self->send(around.peers->get<runner::actor>(), runner::abandon{});
      reclaimed = false;
    }
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
      .then([](const runner::running&) {}, [this](const caf::error&) { reclaimed = false; });
}

void state::adopt() {
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

// Cancel wishes, and leases that nobody here knows of: those of a claim or a take-over whose answer was lost.
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
  if (all.held.empty())
    return missing.clear();
  self->request(around.peers->get<runner::actor>(), caf::infinite, std::move(all))
      .then([this](const runner::missing& now) { on_missing(now); }, [](const caf::error&) {});
}

// Missing once is on its way to the runner, or has just ended; missing at two looks is lost.
void state::on_missing(const runner::missing& now) {
  std::vector<command_id> twice;
  std::copy_if(now.commands.begin(), now.commands.end(), std::back_inserter(twice),
               [&](const auto& id) { return std::find(missing.begin(), missing.end(), id) != missing.end(); });
  missing = now.commands;
  if (twice.empty() || leaving)
    return;
  missing.clear();
  auto again = store->reclaim(settings.self, twice);
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
      [=](const confirm& what) { return self->state.on_confirm(what); },
      [=](beat) { self->state.on_beat(); },
      [=](scan) { self->state.on_scan(); },
      [=](sweep) { self->state.on_sweep(); },
      [=](upkeep) { self->state.on_upkeep(); },
  };
}

} // namespace rdev::leases
