#include "actors/rate_limit.hpp"

namespace rdev::rate_limit {

namespace {

std::size_t size_of(int quota) {
  return static_cast<std::size_t>(quota);
}

} // namespace

metered state::on_meter(const meter& request) {
  const auto now = self->clock().now();
  const bool by_key = request.key.has_value();
  const auto& own = by_key ? settings.key : settings.address;
  const int quota = by_key ? request.quota.value_or(own.quota) : own.quota;
  auto* counted = quota <= 0 ? nullptr : by_key ? &keys[*request.key] : &window_of(request.from.client_ip);
  const bool fits = counted == nullptr || counted->fits(now, size_of(quota), settings.window);
  const bool all_fit = settings.all.quota <= 0 || all.fits(now, size_of(settings.all.quota), settings.window);
  metered out;
  if (!fits && refuses(own, by_key ? "key" : "address"))
    out.refused_by = by_key ? rule::key : rule::address;
  else if (!all_fit && refuses(settings.all, "global"))
    out.refused_by = rule::global;
  if (!out.refused_by) {
    if (counted != nullptr && fits)
      counted->count(now);
    if (settings.all.quota > 0 && all_fit)
      all.count(now);
  }
  if (out.refused_by == rule::global)
    out.state = state_of(all, settings.all.quota);
  else if (counted != nullptr)
    out.state = state_of(*counted, quota);
  return out;
}

sliding_window& state::window_of(const std::string& client_ip) {
  const auto address = ip_address::parse(client_ip);
  if (!address)
    return crowd;
  const auto client = client_network(*address);
  const auto found = addresses.find(client);
  if (found != addresses.end())
    return found->second;
  return addresses.size() < settings.most_addresses ? addresses[client] : crowd;
}

bool state::refuses(const limit& by, const char* field) {
  if (by.shadow)
    around.metrics->would_limit(field);
  else
    around.metrics->rate_limited(field);
  return !by.shadow;
}

rate_state state::state_of(sliding_window& counted, int quota) {
  const auto now = self->clock().now();
  rate_state out;
  out.quota = quota;
  out.remaining = static_cast<int>(counted.remaining(now, size_of(quota), settings.window));
  out.window = settings.window;
  out.resets_in = std::chrono::ceil<std::chrono::milliseconds>(counted.resets_in(now, settings.window));
  return out;
}

void state::on_sweep() {
  const auto now = self->clock().now();
  const auto throw_away_idle = [&](auto& windows) {
    for (auto it = windows.begin(); it != windows.end();)
      it = it->second.idle(now, settings.window) ? windows.erase(it) : std::next(it);
  };
  throw_away_idle(keys);
  throw_away_idle(addresses);
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
