#include "actors/auth.hpp"

#include <algorithm>

namespace rdev::auth {

namespace {

// Fixed by the contract: the administrator's row, whose key text may have any form.
const std::string admin_prefix = "admin";

principal principal_of(const api_key& key) {
  return {key.id, key.family, key.prefix, key.name, key.granted, key.project_ids, key.rate_limit};
}

std::vector<ip_network> networks_of(const std::optional<api_key>& key) {
  std::vector<ip_network> out;
  if (key && key->allowed_ips)
    for (const auto& text : *key->allowed_ips)
      if (auto network = ip_network::parse(text))
        out.push_back(*network);
  return out;
}

} // namespace

reply state::on_identify(identify& request) {
  auto promise = self->make_response_promise<answer<principal>>();
  waiting one{std::move(request), {}, promise, self->clock().now()};
  if (one.request.credential.empty()) {
    refuse(one, refusal_code::unauthorized, "this route needs a key: send it as X-API-Key or as Authorization: Bearer");
    return promise;
  }
  one.digest = sha256(one.request.credential.reveal());
  advance(std::move(one));
  return promise;
}

void state::advance(waiting one) {
  const auto* admin = lookup(admin_prefix, one);
  if (admin == nullptr)
    return;
  if (admin->key && equal_in_constant_time(admin->key->hash, one.digest))
    return decide(one, *admin);
  const auto prefix = key_prefix_of(one.request.credential.reveal());
  if (prefix.empty())
    return refuse(one, refusal_code::unauthorized, "the key is malformed or mistyped: check that it was copied whole");
  const auto* found = lookup(prefix, one);
  if (found == nullptr)
    return;
  if (!found->key || !equal_in_constant_time(found->key->hash, one.digest))
    return refuse(one, refusal_code::unauthorized, "the key is unknown");
  decide(one, *found);
}

void state::decide(waiting& one, const entry& found) {
  const auto& key = *found.key;
  if (key.revoked_at)
    return refuse(one, refusal_code::key_revoked, "the key was revoked: ask for a new one");
  if (key.expires_at && *key.expires_at <= settings.wall_clock())
    return refuse(one, refusal_code::key_expired, "the key has expired: ask for a new one");
  if (key.allowed_ips) {
    const auto address = ip_address::parse(one.request.from.client_ip);
    const bool inside = address && std::any_of(found.allowed.begin(), found.allowed.end(),
                                               [&](const auto& n) { return n.contains(*address); });
    if (!inside)
      return refuse(one, refusal_code::ip_not_allowed, "the key may not be used from this address");
  }
  around.metrics->auth_accepted();
  uses.insert_or_assign(key.id, key_use{key.id, settings.wall_clock(), one.request.from.client_ip});
  one.promise.deliver(answer<principal>(principal_of(key)));
}

void state::refuse(waiting& one, refusal_code code, std::string message) {
  around.metrics->auth_refused(code);
  one.promise.deliver(answer<principal>(refusal{code, std::move(message), {}, {}}));
}

const state::entry* state::lookup(const std::string& prefix, waiting& one) {
  const auto hit = cache.find(prefix);
  if (hit != cache.end()) {
    // What was asked for after a request had come is fresh enough for it, however long the store took to answer.
    const auto asked_at = hit->second.asked_at;
    if (self->clock().now() - asked_at < settings.cache_lease || asked_at >= one.arrived)
      return &hit->second;
  }
  auto& queue = pending[prefix];
  queue.push_back(std::move(one));
  if (queue.size() == 1)
    fetch(prefix);
  return nullptr;
}

void state::fetch(const std::string& prefix) {
  const auto asked_at = self->clock().now();
  const auto generation = forgets;
  around.trace(pending[prefix].front().request.from, "auth", "api_keys", "find");
  self->request(around.peers->get<api_keys::actor>(), caf::infinite, api_keys::find{prefix})
      .then(
          [this, prefix, asked_at, generation](api_keys::found& found) {
            if (generation != forgets)
              return fetch(prefix);
            fetched(prefix, asked_at, std::move(found.key));
          },
          [this, prefix](caf::error& e) { failed(prefix, to_failure(e)); });
}

void state::fetched(const std::string& prefix, caf::actor_clock::time_point asked_at, std::optional<api_key> key) {
  auto queue = std::move(pending[prefix]);
  pending.erase(prefix);
  if (cache.size() >= settings.most_cached)
    cache.clear();
  // What is not there is not remembered: unknown prefixes must not fill the memory. The administrator's row is one.
  const bool keep = key.has_value() || prefix == admin_prefix;
  auto allowed = networks_of(key);
  if (keep) {
    cache[prefix] = entry{std::move(key), std::move(allowed), asked_at};
  } else {
    cache.erase(prefix);
    for (auto& one : queue)
      refuse(one, refusal_code::unauthorized, "the key is unknown");
    return;
  }
  for (auto& one : queue)
    advance(std::move(one));
}

void state::failed(const std::string& prefix, const failure& why) {
  auto queue = std::move(pending[prefix]);
  pending.erase(prefix);
  for (auto& one : queue)
    one.promise.deliver(to_error(why));
}

forgotten state::on_forget(const forget& what) {
  ++forgets;
  if (!what.key)
    cache.clear();
  std::erase_if(cache, [&](const auto& e) { return e.second.key && e.second.key->id == *what.key; });
  return {};
}

void state::on_note_uses() {
  if (!uses.empty()) {
    api_keys::used batch;
    for (auto& [key, use] : uses)
      batch.uses.push_back(std::move(use));
    uses.clear();
    self->send(around.peers->get<api_keys::actor>(), std::move(batch));
  }
  self->delayed_send(self, settings.note_uses, note_uses{});
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings) {
  self->state.around = around;
  self->state.settings = std::move(settings);
  self->delayed_send(self, self->state.settings.note_uses, note_uses{});
  return {
      [=](identify& request) { return self->state.on_identify(request); },
      [=](const forget& what) { return self->state.on_forget(what); },
      [=](note_uses) { self->state.on_note_uses(); },
  };
}

} // namespace rdev::auth
