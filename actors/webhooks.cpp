#include "actors/webhooks.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace rdev::webhooks {

namespace {

std::string_view name_of(attempt_outcome outcome) {
  switch (outcome) {
  case attempt_outcome::delivered:
    return "delivered";
  case attempt_outcome::retry:
    return "retry";
  case attempt_outcome::failed:
    return "failed";
  case attempt_outcome::disable:
    return "disabled";
  }
  return "failed";
}

} // namespace

// Nobody would end them, and the system could not stop.
state::~state() {
  for (const auto& [id, one] : couriers)
    caf::anon_send_exit(one.one, caf::exit_reason::user_shutdown);
}

// ---- facts become deliveries

// Without an endpoint there is nobody to tell: the next look moves on in the outbox.
void state::on_committed() {
  if (!anyone_listens)
    return;
  looks_left = settings.second_looks;
  spread_now();
}

void state::spread_now() {
  if (!std::exchange(spread_is_due, true))
    self->send(self, spread{});
}

void state::on_spread() {
  spread_is_due = false;
  auto made = store->spread(settings.spread_at_once);
  if (!made)
    return around.fault("webhooks", made.error()); // at the next look
  for (const auto& id : made->webhooks)
    if (const auto one = couriers.find(id); one != couriers.end())
      self->send(one->second.one, courier::wake{});
  if (made->more)
    return spread_now();
  if (!made->held)
    looks_left = 0;
  if (looks_left > 0 && !std::exchange(second_look_is_set, true)) {
    const auto turn = settings.second_looks - looks_left--;
    self->delayed_send(self, settings.first_second_look * (1 << turn), second_look{});
  }
}

void state::on_second_look() {
  second_look_is_set = false;
  spread_now();
}

// ---- endpoints and their couriers

void state::on_changed() {
  const auto asked_at = around.boot_clock();
  auto now = leaving ? result<ownership>(ownership{}) : store->own(settings.node);
  if (!now)
    return around.fault("webhooks", now.error());
  if (!leaving)
    serve(*now, asked_at);
}

void state::on_look() {
  on_changed();
  if (!unwritten.empty())
    (void)write_down();
  spread_now();
  self->delayed_send(self, settings.look, look{});
}

void state::serve(ownership& now, std::chrono::milliseconds asked_at) {
  anyone_listens = now.share > 0;
  std::map<webhook_id, on_duty> former;
  former.swap(couriers);
  const auto kept = static_cast<std::size_t>(std::max(0, now.share));
  std::size_t n = 0;
  for (auto& mine : now.mine) {
    const auto id = mine.webhook.id;
    auto& duty = couriers[id];
    const auto old = former.find(id);
    if (old != former.end() && old->second.token == mine.token) {
      duty = std::move(old->second);
      former.erase(old);
    } else {
      duty = {self->spawn<caf::monitored>(courier::behavior, around, settings.courier, courier::parent(self), sender),
              mine.token, false};
    }
    if (mine.webhook.enabled && !duty.stopping && ++n > kept) { // others have come that are to have their share
      duty.stopping = true;
      self->send(duty.one, courier::stop{});
    }
    self->send(duty.one, courier::serve{std::move(mine), asked_at + now.left});
  }
  for (const auto& [id, one] : former)
    self->send_exit(one.one, caf::exit_reason::user_shutdown);
}

void state::on_stopped(const courier::stopped& what) {
  (void)write_down();
  if (const auto one = couriers.find(what.webhook); one != couriers.end() && one->second.token == what.token)
    give_up(what.webhook); // else it has been replaced meanwhile
  all_may_have_stopped();
}

void state::give_up(const webhook_id& id) {
  const auto found = couriers.find(id);
  if (found == couriers.end())
    return;
  self->send_exit(found->second.one, caf::exit_reason::user_shutdown);
  couriers.erase(found);
  if (auto released = store->release(settings.node, std::array{id}); !released)
    around.fault("webhooks", released.error()); // it is free when this node's row expires
}

// A courier that died has lost what it fetched; the next look makes another.
void state::on_down(const caf::down_msg& down) {
  const auto gone = std::find_if(couriers.begin(), couriers.end(),
                                 [&](const auto& e) { return e.second.one.address() == down.source; });
  if (gone == couriers.end())
    return;
  around.metrics->actor_restarted("courier");
  around.log->error("a courier died; its deliveries are taken up again", {{"reason", caf::to_string(down.reason)}});
  couriers.erase(gone);
  all_may_have_stopped();
}

caf::result<rested> state::on_rest() {
  leaving = true;
  resting = self->make_response_promise<rested>();
  for (auto& [id, one] : couriers)
    if (!std::exchange(one.stopping, true))
      self->send(one.one, courier::stop{});
  auto out = resting;
  all_may_have_stopped();
  return out;
}

void state::all_may_have_stopped() {
  if (leaving && couriers.empty() && resting.pending())
    resting.deliver(rested{});
}

// ---- what was attempted

caf::result<courier::fetched> state::on_fetch(const courier::fetch& what) {
  if (auto written = write_down(); !written)
    return to_error(written.error());
  auto due = store->due(what.webhook, what.token, what.most);
  if (!due) {
    around.fault("webhooks", due.error());
    return to_error(due.error());
  }
  return courier::fetched{std::move(*due)};
}

void state::on_attempted(courier::attempted& what) {
  around.metrics->webhook_attempted(name_of(what.what.outcome));
  unwritten.push_back(std::move(what.what));
  if (!std::exchange(flush_is_due, true))
    self->send(self, flush{});
}

void state::on_flush() {
  flush_is_due = false;
  (void)write_down();
}

// What cannot be written now is written at the next look; nothing is fetched before.
result<done> state::write_down() {
  while (!unwritten.empty()) {
    const auto n = std::min(unwritten.size(), static_cast<std::size_t>(settings.record_at_once));
    auto written = store->record(std::span(unwritten).first(n));
    if (!written) {
      around.fault("webhooks", written.error());
      return std::move(written.error());
    }
    const bool disabled = std::any_of(unwritten.begin(), unwritten.begin() + static_cast<std::ptrdiff_t>(n),
                                      [](const auto& one) { return one.outcome == attempt_outcome::disable; });
    unwritten.erase(unwritten.begin(), unwritten.begin() + static_cast<std::ptrdiff_t>(n));
    if (disabled) // the other endpoints are told
      on_committed();
  }
  return done{};
}

void state::on_upkeep() {
  auto disabled = store->disable_failing(settings.disable_after);
  if (!disabled)
    around.fault("webhooks", disabled.error());
  else if (*disabled > 0) {
    on_changed();
    on_committed(); // the other endpoints are told
  }
  if (auto waiting = store->pending(); !waiting)
    around.fault("webhooks", waiting.error());
  else
    around.metrics->webhooks_pending(*waiting);
  self->delayed_send(self, settings.upkeep, upkeep{});
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<webhook_outbox> store, std::shared_ptr<webhook_sender> sender) {
  self->state.around = around;
  self->state.settings = std::move(settings);
  self->state.store = std::move(store);
  self->state.sender = std::move(sender);
  self->set_down_handler([=](const caf::down_msg& down) { self->state.on_down(down); });
  self->send(self, look{});
  self->send(self, upkeep{});
  return {
      [=](const committed&) { self->state.on_committed(); },
      [=](changed) { self->state.on_changed(); },
      [=](rest) { return self->state.on_rest(); },
      [=](look) { self->state.on_look(); },
      [=](spread) { self->state.on_spread(); },
      [=](second_look) { self->state.on_second_look(); },
      [=](flush) { self->state.on_flush(); },
      [=](upkeep) { self->state.on_upkeep(); },
      [=](const courier::fetch& what) { return self->state.on_fetch(what); },
      [=](courier::attempted& what) { self->state.on_attempted(what); },
      [=](const courier::stopped& what) { self->state.on_stopped(what); },
  };
}

} // namespace rdev::webhooks
