#include "actors/leases.hpp"

namespace rdev::leases {

void state::on_beat() {
  if (leaving)
    return;
  auto alive = store->beat(settings.self, settings.lease);
  if (!alive) {
    around.fault("leases", alive.error());
  } else if (!*alive) {
    around.log->warn("this node was taken for dead: its commands belong to others now");
    self->send(around.peers->get<runner::actor>(), runner::abandon{});
    registered = reclaimed = false;
  } else {
    registered = true;
    if (!reclaimed)
      on_reclaim();
  }
  self->delayed_send(self, settings.renew, beat{});
}

void state::on_reclaim() {
  if (!registered)
    return;
  auto mine = store->reclaim(settings.self.id);
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
  auto orphans = store->adopt(settings.self.id, settings.adopt_at_once);
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
    if (auto wishes = store->cancels(settings.self.id))
      for (const auto& [command, reason] : *wishes)
        self->send(around.peers->get<runner::actor>(), runner::stop{command, reason});
    else
      around.fault("leases", wishes.error());
  }
  self->delayed_send(self, settings.scan, scan{});
}

void state::on_upkeep() {
  auto kept = store->upkeep();
  if (!kept)
    around.fault("leases", kept.error());
  const auto next = kept ? settings.upkeep : std::chrono::milliseconds(10000);
  self->delayed_send(self, next, upkeep{});
}

left state::on_leave() {
  leaving = true;
  if (auto gone = store->leave(settings.self.id); !gone)
    around.fault("leases", gone.error());
  return {};
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<lease_store> store) {
  self->state.around = around;
  self->state.settings = std::move(settings);
  self->state.store = std::move(store);
  self->send(self, beat{});
  self->send(self, scan{});
  self->send(self, upkeep{});
  return {
      [=](reclaim) { self->state.on_reclaim(); }, [=](leave) { return self->state.on_leave(); },
      [=](beat) { self->state.on_beat(); },       [=](scan) { self->state.on_scan(); },
      [=](upkeep) { self->state.on_upkeep(); },
  };
}

} // namespace rdev::leases
