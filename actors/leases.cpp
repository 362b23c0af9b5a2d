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
  hand_over(std::move(mine));
}

void state::hand_over(result<std::vector<lease>> found) {
  if (!found)
    return around.fault("leases", found.error());
  if (found->empty())
    return;
  around.log->info("commands taken over", {{"count", static_cast<std::int64_t>(found->size())}});
  self->request(around.peers->get<runner::actor>(), caf::infinite, runner::run{std::move(*found)})
      .then(
          [this](const runner::running& now) {
            self->send(around.peers->get<command_queue::actor>(), command_queue::load{now.count});
          },
          [this](const caf::error&) { reclaimed = false; });
}

void state::on_scan() {
  if (leaving)
    return;
  if (registered) {
    hand_over(store->adopt(settings.self.id, settings.adopt_at_once));
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
