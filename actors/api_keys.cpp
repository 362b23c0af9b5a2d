#include "actors/api_keys.hpp"

#include "adapters/crypto.hpp"
#include "messages/values/addresses.hpp"

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

refusal bad(std::string field, std::string problem) {
  return {refusal_code::bad_request, "the key cannot be made like this", {{std::move(field), std::move(problem)}}, {}};
}

void refuse(reply& promise, refusal why) {
  promise.deliver(answer<outcome>(std::move(why)));
}

key_writer writer_of(const request& asked) {
  return {asked.who.key, asked.who.key_name, asked.from, asked.who.family, asked.idempotency};
}

bool touches_projects_of(const api_key& key, const principal& who) {
  if (!who.project_ids)
    return true;
  if (!key.project_ids)
    return false;
  return std::all_of(key.project_ids->begin(), key.project_ids->end(),
                     [&](const auto& p) { return who.sees_project(p); });
}

// What the schema cannot say; empty when all is well.
std::vector<field_problem> problems_of(const key_request& what, timestamp now) {
  std::vector<field_problem> out;
  if (what.expires_in && what.expires_at)
    out.push_back({"expires_at", "give either expires_in or expires_at, not both"});
  if (what.expires_at && *what.expires_at <= now)
    out.push_back({"expires_at", "lies in the past"});
  if (what.granted.has(scope::admin) && what.project_ids)
    out.push_back({"project_ids", "a key with scope admin cannot be bound to projects"});
  for (std::size_t i = 0; what.allowed_ips && i < what.allowed_ips->size(); ++i)
    if (!ip_network::parse((*what.allowed_ips)[i]))
      out.push_back({"allowed_ips[" + std::to_string(i) + "]", "is not an address or a network such as 10.0.0.0/8"});
  return out;
}

api_key key_of(const key_request& what, timestamp now, std::chrono::seconds default_lifetime) {
  api_key key;
  key.name = what.name;
  key.granted = what.granted;
  key.project_ids = what.project_ids;
  key.allowed_ips = what.allowed_ips;
  key.rate_limit = what.rate_limit;
  if (what.expires_at)
    key.expires_at = what.expires_at;
  else if (!what.expires_in)
    key.expires_at = now + default_lifetime;
  else if (*what.expires_in > std::chrono::seconds::zero())
    key.expires_at = now + *what.expires_in;
  return key;
}

} // namespace

caf::result<found> state::on_find(const find& what) {
  auto key = store->find_by_prefix(what.prefix);
  if (!key) {
    around.fault("api_keys", key.error());
    return to_error(key.error());
  }
  return found{std::move(*key)};
}

reply state::on_request(request& what) {
  auto promise = self->make_response_promise<answer<outcome>>();
  const auto carry_out = [&](const auto& op) {
    using kind = std::decay_t<decltype(op)>;
    if constexpr (std::is_same_v<kind, list_keys>)
      list(what, op, promise);
    else if constexpr (std::is_same_v<kind, get_key>)
      show(what, op, promise);
    else if constexpr (std::is_same_v<kind, create_key>)
      create(what, op, promise);
    else if constexpr (std::is_same_v<kind, revoke_key>)
      revoke(what, op, promise);
    else if constexpr (std::is_same_v<kind, rotate_key>)
      rotate(what, op, promise);
    else
      promise.deliver(to_error({fault::internal, "an operation that is not about keys"}));
  };
  std::visit(carry_out, what.what);
  return promise;
}

void state::on_used(const used& what) {
  if (auto noted = store->note_uses(what.uses); !noted)
    around.fault("api_keys", noted.error());
}

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
  auto keys = store->list(what.at, asked.who.project_ids);
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
  if (auto problems = problems_of(what.what, now); !problems.empty())
    return refuse(promise, {refusal_code::bad_request, "the key cannot be made like this", std::move(problems), {}});
  auto mine = asker(asked);
  if (!mine)
    return void(promise.deliver(to_error(mine.error())));
  auto key = key_of(what.what, now, settings.default_lifetime);
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
  key.hash = sha256(fresh.text.reveal());
  const auto replaced = key.rotated_from;
  auto receipt = store->create(key, overlap, writer_of(asked));
  if (!receipt)
    return void(promise.deliver(to_error(receipt.error())));
  switch (receipt->verdict) {
  case mint_verdict::conflict:
    return refuse(promise, {refusal_code::conflict, "this Idempotency-Key was used with another body", {}, {}});
  case mint_verdict::writer_revoked:
    return refuse(promise, {refusal_code::key_revoked, "the key was revoked: ask for a new one", {}, {}});
  case mint_verdict::replayed:
    return void(promise.deliver(answer<outcome>(outcome(minted_key{std::move(receipt->key), std::nullopt, true}))));
  case mint_verdict::created:
    break;
  }
  around.trace(asked.from, "api_keys", "audit", "committed");
  self->send(around.peers->get<audit::actor>(), audit::committed{asked.from, 1});
  self->send(around.peers->get<webhooks::actor>(), webhooks::committed{asked.from, 1});
  outcome made = minted_key{std::move(receipt->key), std::move(fresh.text), false};
  if (!replaced)
    return void(promise.deliver(answer<outcome>(std::move(made))));
  self->request(around.peers->get<auth::actor>(), caf::infinite, auth::forget{*replaced})
      .then([promise, made](auth::forgotten) mutable { promise.deliver(answer<outcome>(std::move(made))); },
            [promise, made](caf::error&) mutable { promise.deliver(answer<outcome>(std::move(made))); });
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
  auto revoked = store->revoke(what.id, writer_of(asked));
  if (!revoked)
    return void(promise.deliver(to_error(revoked.error())));
  if (!*revoked)
    return refuse(promise, not_found());
  answer_after_forgetting(asked, std::move(**revoked), promise);
}

void state::answer_after_forgetting(const request& asked, api_key key, reply promise) {
  around.trace(asked.from, "api_keys", "auth", "forget");
  self->send(around.peers->get<audit::actor>(), audit::committed{asked.from, 1});
  self->send(around.peers->get<webhooks::actor>(), webhooks::committed{asked.from, 1});
  self->send(around.peers->get<streams::actor>(), streams::revoke{key.id});
  // An AUTH that is away has lost its cache with its life: nothing is left to forget.
  self->request(around.peers->get<auth::actor>(), caf::infinite, auth::forget{key.id})
      .then([promise, key](auth::forgotten) mutable { promise.deliver(answer<outcome>(outcome(std::move(key)))); },
            [promise, key](caf::error&) mutable { promise.deliver(answer<outcome>(outcome(std::move(key)))); });
}

// A rotation that was made once is answered like the first time, although it has ended the key since.
void state::replay_or_refuse(const request& asked, const refusal& why, reply promise) {
  if (!asked.idempotency)
    return refuse(promise, why);
  self->request(around.peers->get<command_queue::actor>(), caf::infinite,
                command_queue::look_up{asked.who.family, asked.from, *asked.idempotency})
      .then(
          [this, why, promise](const command_queue::looked_up& before) mutable {
            const auto id =
                before.hit && before.hit->same_body ? key_id::from_uuid(before.hit->resource) : std::nullopt;
            if (!id)
              return refuse(promise, why);
            auto key = store->find(*id);
            if (!key)
              return void(promise.deliver(to_error(key.error())));
            if (!*key)
              return refuse(promise, why);
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
  if (*mine && (*mine)->expires_at) // the same lifetime again, but never beyond the rotator's own
    fresh.expires_at = std::min(fresh.expires_at.value_or(*(*mine)->expires_at), *(*mine)->expires_at);
  if (!*mine || !dominates(**mine, **old) || !dominates(**mine, fresh))
    return refuse(promise, too_weak());
  if (fresh.prefix == "admin")
    return refuse(promise, {refusal_code::conflict, "the administrator's key is changed with RDEV_ADMIN_KEY", {}, {}});
  if (!(*old)->active(now))
    return replay_or_refuse(asked, {refusal_code::conflict, "the key has ended already: make a new one", {}, {}},
                            promise);
  if (what.overlap < std::chrono::seconds::zero())
    return refuse(promise, bad("overlap", "must not be negative"));
  fresh.rotated_from = what.id;
  fresh.created_by = asked.who.key;
  fresh.last_used_at.reset();
  mint(asked, std::move(fresh), what.overlap, promise);
}

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, config settings,
                              std::shared_ptr<key_store> store) {
  self->state.around = around;
  self->state.settings = std::move(settings);
  self->state.store = std::move(store);
  return {
      [=](const find& what) { return self->state.on_find(what); },
      [=](request& what) { return self->state.on_request(what); },
      [=](const used& what) { self->state.on_used(what); },
  };
}

} // namespace rdev::api_keys
