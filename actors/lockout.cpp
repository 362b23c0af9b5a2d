#include "actors/lockout.hpp"

#include <utility>

namespace rdev::lockout {

// Under attack many come at once: what is in the mailbox by then goes with one statement.
void state::on_impose(const impose& what) {
  if (unwritten.size() < settings.most_unwritten || unwritten.contains(what.what.network))
    unwritten.insert_or_assign(what.what.network, what.what);
  if (std::exchange(flush_is_due, true))
    return;
  self->send(self, flush{});
}

void state::on_flush() {
  flush_is_due = false;
  write_down();
}

// What cannot be written now is tried again at the next look.
void state::write_down() {
  if (unwritten.empty())
    return;
  std::vector<new_ban> batch;
  batch.reserve(unwritten.size());
  for (const auto& [network, one] : unwritten)
    batch.push_back(one);
  auto written = store->impose(batch);
  if (!written)
    return around.fault("lockout", written.error());
  unwritten.clear();
  const auto rows = static_cast<int>(written->size());
  self->send(around.peers->get<audit::actor>(), audit::committed{{}, rows});
  self->send(around.peers->get<webhooks::actor>(), webhooks::committed{{}, rows});
}

result<done> state::tell_auth() {
  auto now = store->version();
  auto all = now ? store->all(settings.memory) : result<std::vector<ban>>(now.error());
  if (!all) {
    around.fault("lockout", all.error());
    return std::move(all.error());
  }
  version = *now;
  self->send(around.peers->get<auth::actor>(), auth::banned{std::move(*all)});
  return done{};
}

caf::result<told> state::on_tell() {
  if (auto done = tell_auth(); !done)
    return to_error(done.error());
  return told{};
}

void state::on_look() {
  write_down();
  if (auto now = store->version(); !now)
    around.fault("lockout", now.error());
  else if (*now != version)
    (void)tell_auth();
  self->delayed_send(self, settings.look, look{});
}

caf::result<answer<outcome>> state::on_request(const request& asked) {
  auto answered = result<answer<outcome>>(failure{fault::internal, "an operation that is not about bans"});
  if (const auto* which = std::get_if<lift_ban>(&asked.what))
    answered = lift(asked, *which);
  else if (const auto* page = std::get_if<list_bans>(&asked.what)) {
    auto bans = store->list(page->at);
    answered = bans ? result<answer<outcome>>(answer<outcome>(outcome(std::move(*bans))))
                    : result<answer<outcome>>(bans.error());
  }
  if (!answered)
    return to_error(answered.error());
  return std::move(*answered);
}

result<answer<outcome>> state::lift(const request& asked, const lift_ban& what) {
  auto lifted =
      store->lift(what.id, {asked.who.key, asked.who.key_name, asked.from, asked.who.family, {}, asked.who.revision});
  if (!lifted)
    return std::move(lifted.error());
  if (!*lifted)
    return answer<outcome>(refusal{refusal_code::not_found, "there is no such ban, or it has ended", {}, {}});
  self->send(around.peers->get<audit::actor>(), audit::committed{asked.from, 1});
  (void)tell_auth();
  return answer<outcome>(outcome(**lifted));
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<ban_store> store) {
  self->state.around = around;
  self->state.settings = settings;
  self->state.store = std::move(store);
  self->set_exit_handler([=](const caf::exit_msg& why) {
    self->state.write_down(); // one try: who stops does not wait for a store that is away
    self->quit(why.reason);
  });
  self->send(self, look{});
  return {
      [=](const impose& what) { self->state.on_impose(what); },
      [=](tell) { return self->state.on_tell(); },
      [=](const request& what) { return self->state.on_request(what); },
      [=](look) { self->state.on_look(); },
      [=](flush) { self->state.on_flush(); },
  };
}

} // namespace rdev::lockout
