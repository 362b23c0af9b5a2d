#include "actors/rate_limit.hpp"

namespace rdev::rate_limit {

metered state::on_meter(const meter& request) {
  const int quota = request.quota.value_or(settings.default_quota);
  if (quota <= 0)
    return {};
  const auto now = self->clock().now();
  const auto limit = static_cast<std::size_t>(quota);
  auto& window = windows[request.key];
  metered out;
  out.admitted = window.admit(now, limit, settings.window);
  out.state.quota = quota;
  out.state.remaining = static_cast<int>(window.remaining(now, limit, settings.window));
  out.state.window = settings.window;
  out.state.resets_in = std::chrono::ceil<std::chrono::milliseconds>(window.resets_in(now, settings.window));
  if (!out.admitted)
    around.metrics->rate_limited("key");
  return out;
}

void state::on_sweep() {
  const auto now = self->clock().now();
  for (auto it = windows.begin(); it != windows.end();)
    it = it->second.idle(now, settings.window) ? windows.erase(it) : std::next(it);
  self->delayed_send(self, settings.sweep_interval, sweep{});
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings) {
  self->state.around = around;
  self->state.settings = settings;
  self->delayed_send(self, settings.sweep_interval, sweep{});
  return {
      [=](const meter& request) { return self->state.on_meter(request); },
      [=](sweep) { self->state.on_sweep(); },
  };
}

} // namespace rdev::rate_limit
