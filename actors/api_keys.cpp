#include "actors/api_keys.hpp"

#include "adapters/crypto.hpp"

#include <algorithm>

namespace rdev::api_keys {

namespace {

refusal not_found() {
  return {refusal_code::not_found, "there is no such key", {}, {}};
}

refusal too_weak() {
  return {refusal_code::forbidden,
          "a key can only make or change keys whose scopes, projects, addresses, expiry and rate lie within its own",
          {},
          {}};
}

failure writer_changed() {
  return {fault::key_changed, "the writer's key was revoked or changed meanwhile"};
}

refusal bad(std::string field, std::string problem) {
  return {refusal_code::bad_request, "the key cannot be made like this", {{std::move(field), std::move(problem)}}, {}};
}

void refuse(reply& promise, refusal why) {
  promise.deliver(answer<outcome>(std::move(why)));
}

key_writer writer_of(const request& asked) {
  return {asked.who.key, asked.who.key_name, asked.from, asked.who.family, asked.idempotency, asked.who.revision};
}

bool touches_projects_of(const api_key& key, const principal& who) {
  if (!who.project_ids)
    return true;
  if (!key.project_ids)
    return false;
  return std::all_of(key.project_ids->begin(), key.project_ids->end(),
                     [&](const auto& p) { return who.sees_project(p); });
}

} // namespace

caf::result<found> state::on_find(const find& what) {
  found out;
  if (!what.prefixes.empty()) {
    auto keys = store->find_by_prefix(what.prefixes);
    if (!keys) {
      around.fault("api_keys", keys.error());
      return to_error(keys.error());
    }
    out.keys = std::move(*keys);
  }
  if (!what.executions.empty()) {
    auto running = store->find_running(what.executions);
    if (!running) {
      around.fault("api_keys", running.error());
      return to_error(running.error());
    }
    for (auto& one : *running)
      out.executions.push_back({one.command, std::move(one.project), std::move(one.submitter)});
  }
  return out;
}

reply state::on_request(request& what) {
  auto promise = self->make_response_promise<answer<outcome>>();
  carry_out(what, promise);
  return promise;
}

// Somebody else has changed the key that this was about, after it was read: from the beginning, with what it is now.
void state::again(const request& asked, reply promise) {
  carry_out(asked, std::move(promise));
}

void state::carry_out(const request& what, reply promise) {
  const auto by_kind = [&](const auto& op) {
    using kind = std::decay_t<decltype(op)>;
    if constexpr (std::is_same_v<kind, list_keys>)
      list(what, op, promise);
    else if constexpr (std::is_same_v<kind, get_key>)
      show(what, op, promise);
    else if constexpr (std::is_same_v<kind, create_key>)
      create(what, op, promise);
    else if constexpr (std::is_same_v<kind, change_key>)
      change(what, op, promise);
    else if constexpr (std::is_same_v<kind, revoke_key>)
      revoke(what, op, promise);
    else if constexpr (std::is_same_v<kind, rotate_key>)
      rotate(what, op, promise);
    else
      promise.deliver(to_error({fault::internal, "an operation that is not about keys"}));
  };
  std::visit(by_kind, what.what);
}

void state::on_used(const used& what) {
  auto odd = store->note_uses(what.uses);
  if (!odd)
    return around.fault("api_keys", odd.error());
  for (const auto& one : *odd)
    around.metrics->anomaly_seen(one.kind);
  if (!odd->empty())
    self->send(around.peers->get<webhooks::actor>(), webhooks::committed{{}, static_cast<int>(odd->size())});
}

void state::on_noticed(const noticed& what) {
  if (auto noted = store->note_anomalies(what.all); !noted)
    return around.fault("api_keys", noted.error());
  self->send(around.peers->get<webhooks::actor>(), webhooks::committed{{}, static_cast<int>(what.all.size())});
}

void state::on_announce() {
  auto told = store->announce_expiries();
  if (!told)
    around.fault("api_keys", told.error());
  else if (*told > 0)
    self->send(around.peers->get<webhooks::actor>(), webhooks::committed{{}, *told});
  self->delayed_send(self, told ? settings.announce : settings.look, announce{});
}

// ---- the barrier

void state::on_changed(const changed& what) {
  if (what.revoked && what.key)
    self->send(around.peers->get<streams::actor>(), streams::revoke{*what.key});
  else if (what.epoch)
    self->send(around.peers->get<streams::actor>(), streams::recheck{what.key});
  // Only the next epoch in order may be passed on like this: behind a gap there is something that nobody told.
  const bool next = what.epoch && *what.epoch == heard + 1;
  if (next)
    heard = *what.epoch;
  self->request(around.peers->get<auth::actor>(), caf::infinite, auth::forget{what.key})
      .then(
          [this, next, what](auth::forgotten) {
            if (next && *what.epoch > seen)
              saw(*what.epoch);
          },
          [](const caf::error&) {}); // its successor begins with nothing
}

void state::on_look() {
  auto news = store->news_since(seen);
  if (!news)
    around.fault("api_keys", news.error());
  else if (news->epoch == seen)
    saw(seen); // this node's row may be new
  else {
    for (const auto& key : news->revoked)
      self->send(around.peers->get<streams::actor>(), streams::revoke{key});
    self->send(around.peers->get<streams::actor>(), streams::recheck{});
    self->request(around.peers->get<auth::actor>(), caf::infinite, auth::forget{})
        .then([this, epoch = news->epoch](auth::forgotten) { saw(std::max(seen, epoch)); }, [](const caf::error&) {});
  }
  self->delayed_send(self, settings.look, look{});
}

void state::saw(std::int64_t epoch) {
  seen = epoch;
  heard = std::max(heard, epoch);
  if (auto written = store->saw(settings.node, epoch); !written)
    around.fault("api_keys", written.error());
}

void state::answer_behind_barrier(const key_id& forgotten, std::int64_t epoch, outcome what, reply promise,
                                  std::shared_ptr<const bool> cleared) {
  // Whoever has read the key as it was has done so by now, and serves it for one lease from then on.
  const auto ends_at = around.boot_clock() + settings.cache_lease + settings.barrier_grace;
  // An AUTH that is away has lost its cache with its life: nothing is left to forget.
  const auto wait = [this, epoch, ends_at, what = std::move(what), promise = std::move(promise),
                     cleared = std::move(cleared)] {
    barriers.push_back({epoch, ends_at, what, promise, cleared});
    if (!look_is_due)
      on_look_at_barriers();
  };
  self->request(around.peers->get<auth::actor>(), caf::infinite, auth::forget{forgotten})
      .then([wait](auth::forgotten) { wait(); }, [wait](const caf::error&) { wait(); });
}

// One look for all that wait. A store that is away changes nothing: the lease ends all the same.
void state::on_look_at_barriers() {
  look_is_due = false;
  if (barriers.empty())
    return;
  const auto least = store->least_seen(settings.node, settings.cache_lease);
  const auto now = around.boot_clock();
  const auto over = [&](const barrier& one) {
    const bool counts_everywhere = now >= one.ends_at || (least && (!*least || **least >= one.epoch));
    return counts_everywhere && (!one.cleared || *one.cleared);
  };
  for (auto& one : barriers)
    if (over(one))
      one.promise.deliver(answer<outcome>(std::move(one.what)));
  std::erase_if(barriers, [](const barrier& one) { return !one.promise.pending(); });
  if (barriers.empty())
    return;
  look_is_due = true;
  self->delayed_send(self, settings.barrier_look, look_at_barriers{});
}

// ---- operations

result<std::optional<api_key>> state::asker(const request& asked) {
  return store->find(asked.who.key);
}

result<std::optional<api_key>> state::visible(const request& asked, const key_id& id) {
  auto key = store->find(id);
  if (key && *key && !touches_projects_of(**key, asked.who))
    return std::optional<api_key>{};
  return key;
}

void state::list(const request& asked, const list_keys& what, reply promise) {
  auto keys = store->list(what.at, asked.who.project_ids, what.unused_for);
  if (!keys)
    return void(promise.deliver(to_error(keys.error())));
  promise.deliver(answer<outcome>(outcome(std::move(*keys))));
}

void state::show(const request& asked, const get_key& what, reply promise) {
  auto key = visible(asked, what.id);
  if (!key)
    return void(promise.deliver(to_error(key.error())));
  if (!*key)
    return refuse(promise, not_found());
  promise.deliver(answer<outcome>(outcome(std::move(**key))));
}

void state::create(const request& asked, const create_key& what, reply promise) {
  const auto now = settings.wall_clock();
  auto [key, problems] = settings.policy.drafted(what.what, now);
  if (!problems.empty())
    return refuse(promise, {refusal_code::bad_request, "the key cannot be made like this", std::move(problems), {}});
  auto mine = asker(asked);
  if (!mine)
    return void(promise.deliver(to_error(mine.error())));
  // Without a wish of its own a key gets the default lifetime, but never one beyond its maker's.
  if (*mine && !what.what.expires_in && !what.what.expires_at && (*mine)->expires_at)
    key.expires_at = std::min(*key.expires_at, *(*mine)->expires_at);
  if (!*mine || !dominates(**mine, key))
    return refuse(promise, too_weak());
  key.created_by = asked.who.key;
  mint(asked, std::move(key), {}, promise);
}

void state::mint(const request& asked, api_key key, std::chrono::seconds overlap, reply promise) {
  auto fresh = make_key_text();
  key.id = key_id::make();
  if (key.family.empty())
    key.family = key.id;
  key.prefix = fresh.prefix;
  key.hash_scheme = settings.checks->scheme_of_new_keys();
  key.hash = *settings.checks->digest(key.hash_scheme, fresh.text.reveal());
  const auto replaced = key.rotated_from;
  auto receipt = store->create(key, overlap, writer_of(asked));
  if (!receipt)
    return void(promise.deliver(to_error(receipt.error())));
  switch (receipt->verdict) {
  case mint_verdict::conflict:
    return refuse(promise, {refusal_code::conflict, "this Idempotency-Key was used with another body", {}, {}});
  case mint_verdict::writer_changed:
    return void(promise.deliver(to_error(writer_changed())));
  case mint_verdict::stale:
    return again(asked, promise);
  case mint_verdict::replayed:
    return void(promise.deliver(answer<outcome>(outcome(minted_key{std::move(receipt->key), std::nullopt, true}))));
  case mint_verdict::created:
    break;
  }
  told_of(asked);
  outcome made = minted_key{std::move(receipt->key), std::move(fresh.text), false};
  if (!replaced)
    return void(promise.deliver(answer<outcome>(std::move(made))));
  answer_behind_barrier(*replaced, receipt->epoch, std::move(made), promise);
}

void state::told_of(const request& asked) {
  around.trace(asked.from, "api_keys", "audit", "committed");
  self->send(around.peers->get<audit::actor>(), audit::committed{asked.from, 1});
  self->send(around.peers->get<webhooks::actor>(), webhooks::committed{asked.from, 1});
}

bool state::refused(const request& asked, const change_receipt& receipt, reply& promise) {
  switch (receipt.verdict) {
  case change_verdict::changed:
    return false;
  case change_verdict::not_found:
    refuse(promise, not_found());
    return true;
  case change_verdict::writer_changed:
    promise.deliver(to_error(writer_changed()));
    return true;
  case change_verdict::stale:
    again(asked, promise);
    return true;
  }
  return false;
}

void state::change(const request& asked, const change_key& what, reply promise) {
  if (auto problems = settings.policy.problems_of(what.what, settings.wall_clock()); !problems.empty())
    return refuse(promise, {refusal_code::bad_request, "the key cannot be changed like this", std::move(problems), {}});
  auto key = visible(asked, what.id);
  auto mine = asker(asked);
  if (!key || !mine)
    return void(promise.deliver(to_error(key ? mine.error() : key.error())));
  if (!*key)
    return refuse(promise, not_found());
  const auto fresh = key_policy::changed(**key, what.what);
  if (auto problems = key_policy::problems_of(fresh); !problems.empty())
    return refuse(promise, {refusal_code::bad_request, "the key cannot be changed like this", std::move(problems), {}});
  if (!*mine || !dominates(**mine, **key) || !dominates(**mine, fresh))
    return refuse(promise, too_weak());
  if (fresh.prefix == "admin")
    return refuse(promise, {refusal_code::conflict, "the administrator's key is changed with RDEV_ADMIN_KEY", {}, {}});
  if (!(*key)->active(settings.wall_clock()))
    return refuse_ended(asked, what.id, promise);
  auto receipt = store->change(fresh, writer_of(asked));
  if (!receipt)
    return void(promise.deliver(to_error(receipt.error())));
  if (refused(asked, *receipt, promise))
    return;
  told_of(asked);
  answer_behind_barrier(what.id, receipt->epoch, std::move(receipt->key), promise);
}

void state::revoke(const request& asked, const revoke_key& what, reply promise) {
  auto key = visible(asked, what.id);
  auto mine = asker(asked);
  if (!key || !mine)
    return void(promise.deliver(to_error(key ? mine.error() : key.error())));
  if (!*key)
    return refuse(promise, not_found());
  if (!*mine || !dominates(**mine, **key))
    return refuse(promise, too_weak());
  if ((*key)->prefix == "admin")
    return refuse(promise, {refusal_code::conflict, "the administrator's key is changed with RDEV_ADMIN_KEY", {}, {}});
  auto receipt = store->revoke(what.id, writer_of(asked));
  if (!receipt)
    return void(promise.deliver(to_error(receipt.error())));
  if (refused(asked, *receipt, promise))
    return;
  told_of(asked);
  self->send(around.peers->get<streams::actor>(), streams::revoke{what.id});
  around.trace(asked.from, "api_keys", "auth", "forget");
  std::shared_ptr<bool> cleared;
  if (what.cancel_queued) {
    cleared = std::make_shared<bool>(false);
    around.trace(asked.from, "api_keys", "command_queue", "cancel_queued");
    clear_queue({what.id, asked.who.key, asked.who.key_name, asked.from}, cleared, promise);
  }
  answer_behind_barrier(what.id, receipt->epoch, std::move(receipt->key), promise, cleared);
}

// What cannot be cancelled stays queued, and the key stays revoked: who repeats the request goes on from there.
void state::clear_queue(const queue_order& order, const std::shared_ptr<bool>& cleared, reply promise) {
  self->request(around.peers->get<command_queue::actor>(), caf::infinite, command_queue::cancel_queued{order})
      .then(
          [this, order, cleared, promise](const command_queue::queued_cancelled& done) {
            *cleared = !done.more;
            if (done.more)
              clear_queue(order, cleared, promise);
          },
          [promise](caf::error& e) mutable { promise.deliver(std::move(e)); });
}

// Whose own key has ended under way is told that first.
void state::refuse_ended(const request& asked, const key_id& which, reply promise) {
  if (which == asked.who.key)
    promise.deliver(to_error(writer_changed()));
  else
    refuse(promise, {refusal_code::conflict, "the key has ended already: make a new one", {}, {}});
}

// A rotation that was made once is answered like the first time, although it has ended the key since.
void state::replay_or_refuse(const request& asked, const key_id& ended, reply promise) {
  if (!asked.idempotency)
    return refuse_ended(asked, ended, promise);
  self->request(around.peers->get<command_queue::actor>(), caf::infinite,
                command_queue::look_up{asked.who.family, asked.from, *asked.idempotency})
      .then(
          [this, asked, ended, promise](const command_queue::looked_up& before) mutable {
            const auto id =
                before.hit && before.hit->same_body ? key_id::from_uuid(before.hit->resource) : std::nullopt;
            if (!id)
              return refuse_ended(asked, ended, promise);
            auto key = store->find(*id);
            if (!key)
              return void(promise.deliver(to_error(key.error())));
            if (!*key)
              return refuse_ended(asked, ended, promise);
            promise.deliver(answer<outcome>(outcome(minted_key{std::move(**key), std::nullopt, true})));
          },
          [promise](caf::error& e) mutable { promise.deliver(std::move(e)); });
}

void state::rotate(const request& asked, const rotate_key& what, reply promise) {
  auto old = visible(asked, what.id);
  auto mine = asker(asked);
  if (!old || !mine)
    return void(promise.deliver(to_error(old ? mine.error() : old.error())));
  if (!*old)
    return refuse(promise, not_found());
  const auto now = settings.wall_clock();
  api_key fresh = **old;
  if (fresh.expires_at)
    fresh.expires_at = now + (*fresh.expires_at - fresh.created_at);
  fresh.expires_at = settings.policy.within_lifetime(fresh.expires_at, now);
  if (*mine && (*mine)->expires_at) // the same lifetime again, but never beyond the rotator's own
    fresh.expires_at = std::min(fresh.expires_at.value_or(*(*mine)->expires_at), *(*mine)->expires_at);
  if (!*mine || !dominates(**mine, **old) || !dominates(**mine, fresh))
    return refuse(promise, too_weak());
  if (fresh.prefix == "admin")
    return refuse(promise, {refusal_code::conflict, "the administrator's key is changed with RDEV_ADMIN_KEY", {}, {}});
  if (!(*old)->active(now))
    return replay_or_refuse(asked, what.id, promise);
  if (what.overlap < std::chrono::seconds::zero())
    return refuse(promise, bad("overlap", "must not be negative"));
  fresh.rotated_from = what.id;
  fresh.created_by = asked.who.key;
  fresh.last_used_at.reset();
  fresh.last_used_ip.clear();
  mint(asked, std::move(fresh), what.overlap, promise);
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<key_store> store) {
  self->state.around = around;
  self->state.settings = std::move(settings);
  self->state.store = std::move(store);
  self->send(self, look{});
  self->send(self, announce{});
  return {
      [=](const find& what) { return self->state.on_find(what); },
      [=](request& what) { return self->state.on_request(what); },
      [=](const used& what) { self->state.on_used(what); },
      [=](const noticed& what) { self->state.on_noticed(what); },
      [=](const changed& what) { self->state.on_changed(what); },
      [=](look) { self->state.on_look(); },
      [=](look_at_barriers) { self->state.on_look_at_barriers(); },
      [=](announce) { self->state.on_announce(); },
  };
}

} // namespace rdev::api_keys
