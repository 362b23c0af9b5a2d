#include "actors/ingress.hpp"

namespace rdev::ingress {

// Nobody would end the exchanges that wait for a peer that died with their request, and the system could not stop.
state::~state() {
  for (const auto& [id, one] : exchanges)
    caf::anon_send_exit(one.one, caf::exit_reason::user_shutdown);
  for (const auto& one : spare)
    caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
}

exchange::actor state::open_exchange() {
  exchange::actor one;
  if (spare.empty()) {
    one = self->spawn<caf::monitored>(exchange::behavior, around, exchange::parent(self));
  } else {
    one = std::move(spare.back());
    spare.pop_back();
  }
  exchanges.emplace(one.id(), under_way{one, self->clock().now()});
  return one;
}

void state::on_idle(const exchange::idle& what) {
  const auto found = exchanges.find(what.who);
  if (found == exchanges.end())
    return;
  if (spare.size() < settings.most_spare)
    spare.push_back(std::move(found->second.one));
  else
    caf::anon_send_exit(found->second.one, caf::exit_reason::user_shutdown);
  exchanges.erase(found);
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
  self->set_down_handler([=](const caf::down_msg& down) {
    self->state.exchanges.erase(down.source.id());
    std::erase_if(self->state.spare, [&](const exchange::actor& one) { return one.id() == down.source.id(); });
  });
  self->delayed_send(self, settings.sweep, sweep{});
  return {
      [=](perform& what) { return self->delegate(self->state.open_exchange(), std::move(what)); },
      [=](read_stream& what) { return self->delegate(around.peers->get<streams::actor>(), std::move(what)); },
      [=](const read_bytes& what) {
        return self->delegate(around.peers->get<queries::actor>(), queries::stored{what.what});
      },
      [=](sweep) { self->state.on_sweep(); },
      [=](const exchange::idle& what) { self->state.on_idle(what); },
  };
}

} // namespace rdev::ingress
