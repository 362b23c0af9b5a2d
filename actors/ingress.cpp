#include "actors/ingress.hpp"

namespace rdev::ingress {

// Nobody would end the exchanges that wait for a peer that died with their request, and the system could not stop.
state::~state() {
  for (const auto& [id, one] : exchanges)
    caf::anon_send_exit(one.one, caf::exit_reason::user_shutdown);
}

exchange::actor state::open_exchange() {
  auto one = self->spawn<caf::monitored>(exchange::behavior, around);
  exchanges.emplace(one.id(), under_way{one, self->clock().now()});
  return one;
}

void state::on_sweep() {
  const auto now = self->clock().now();
  for (const auto& [id, one] : exchanges)
    if (now - one.since >= settings.deadline)
      self->send(one.one, exchange::expired{});
  self->delayed_send(self, settings.sweep, sweep{});
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings) {
  self->state.around = around;
  self->state.settings = settings;
  self->set_down_handler([=](const caf::down_msg& down) { self->state.exchanges.erase(down.source.id()); });
  self->delayed_send(self, settings.sweep, sweep{});
  return {
      [=](perform& what) { return self->delegate(self->state.open_exchange(), std::move(what)); },
      [=](read_stream& what) { return self->delegate(around.peers->get<streams::actor>(), std::move(what)); },
      [=](const read_bytes& what) {
        return self->delegate(around.peers->get<queries::actor>(), queries::stored{what.what});
      },
      [=](sweep) { self->state.on_sweep(); },
  };
}

} // namespace rdev::ingress
