#include "actors/auth.hpp"

#include <algorithm>
#include <utility>

namespace rdev::auth {

namespace {

// Fixed by the contract: the administrator's row, whose key text may have any form.
const std::string admin_prefix = "admin";
constexpr std::string_view command_head = "cmd_"; // no prefix of a key begins so
constexpr const char* unknown_key = "the key is unknown";

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
  waiting one{std::move(request), {}, promise, around.boot_clock()};
  if (settings.strict)
    if (const auto until = banned_until(one)) {
      refuse_banned(one, *until);
      return promise;
    }
  if (!one.request.credential) {
    refuse(one, std::move(one.request.credential.why()));
    return promise;
  }
  if (one.request.credential->empty()) {
    turn_away(one, "this route needs a key: send it as X-API-Key or as Authorization: Bearer", false);
    return promise;
  }
  if (one.request.fresh)
    for (const auto& prefix : {admin_prefix, key_prefix_of(one.request.credential->reveal())})
      if (const auto known = cache.find(prefix); known != cache.end())
        known->second.asked_at = -settings.cache_lease; // does not do
  one.digest = sha256(one.request.credential->reveal());
  advance(std::move(one));
  return promise;
}

void state::advance(waiting one) {
  if (!known_not_admin(one)) {
    const auto* admin = lookup(admin_prefix, one);
    if (admin == nullptr)
      return;
    if (admin->key && fits(*admin->key, one))
      return decide(one, *admin);
  }
  if (const auto command = settings.checks->command_of(one.request.credential->reveal()))
    return wait_for(command->text(), std::move(one));
  const auto prefix = key_prefix_of(one.request.credential->reveal());
  if (prefix.empty())
    return turn_away(one, "the key is malformed or mistyped: check that it was copied whole", true);
  const auto* found = lookup(prefix, one);
  if (found == nullptr)
    return;
  if (found->key && fits(*found->key, one))
    return decide(one, *found);
  if (found->key && habits.wrong_secret(found->key->id, one.arrived))
    notice(anomaly_kind::wrong_secrets, *found->key, one.request.from.client_ip, "many wrong secrets within a minute");
  turn_away(one, unknown_key, true);
}

// Of whatever age the row is: `forget` says when it was changed. So a mistyped key is refused also while the store is
// away; so is an administrator's key that another node was given meanwhile.
bool state::known_not_admin(const waiting& one) const {
  const auto admin = cache.find(admin_prefix);
  return admin != cache.end() && admin->second.key && !fits(*admin->second.key, one);
}

bool state::fits(const api_key& key, const waiting& one) const {
  const auto digest = key.hash_scheme == 1 ? std::optional(one.digest)
                                           : settings.checks->digest(key.hash_scheme, one.request.credential->reveal());
  return digest && equal_in_constant_time(key.hash, *digest);
}

void state::decide(waiting& one, const entry& found) {
  const auto& key = *found.key;
  if (key.revoked_at)
    return refuse(one, {refusal_code::key_revoked, "the key was revoked: ask for a new one", {}, {}, key.prefix});
  if (key.expires_at && *key.expires_at <= settings.wall_clock())
    return refuse(one, {refusal_code::key_expired, "the key has expired: ask for a new one", {}, {}, key.prefix});
  if (key.allowed_ips) {
    const auto address = ip_address::parse(one.request.from.client_ip);
    const bool inside = address && std::any_of(found.allowed.begin(), found.allowed.end(),
                                               [&](const auto& n) { return n.contains(*address); });
    if (!inside)
      return refuse(one,
                    {refusal_code::ip_not_allowed, "the key may not be used from this address", {}, {}, key.prefix});
  }
  around.metrics->auth_accepted();
  note_use(key, one.request.from.client_ip);
  one.promise.deliver(answer<principal>(principal_of(key, found.asked_at)));
}

principal state::principal_of(const api_key& key, boot_time asked_at) const {
  principal who;
  who.key = key.id;
  who.family = key.family;
  who.key_prefix = key.prefix;
  who.key_name = key.name;
  who.granted = key.granted;
  who.project_ids = key.project_ids;
  who.rate_limit = key.rate_limit;
  who.concurrency_limit = key.concurrency_limit;
  who.revision = key.revision;
  who.expires_at = key.expires_at;
  who.good_until = asked_at + settings.cache_lease;
  return who;
}

void state::note_use(const api_key& key, const std::string& client_ip) {
  const auto now = around.boot_clock();
  const auto at = settings.wall_clock();
  if (habits.used(key.id, now))
    notice(anomaly_kind::unusual_rate, key, client_ip, "far more requests in a minute than it usually makes");
  auto& seen = uses[key.id];
  const auto known = std::find_if(seen.begin(), seen.end(), [&](const key_use& u) { return u.client_ip == client_ip; });
  if (known != seen.end()) {
    known->at = at;
    return;
  }
  const auto address = ip_address::parse(client_ip);
  if (!address)
    return;
  if (habits.used_from(key.id, *address, now))
    notice(anomaly_kind::many_addresses, key, client_ip,
           "more than " + std::to_string(settings.habits.many_addresses) + " addresses within a minute");
  if (seen.size() < settings.most_noted)
    seen.push_back({key.id, at, client_ip, client_site(*address).text()});
}

void state::notice(anomaly_kind kind, const api_key& key, const std::string& client_ip, std::string detail) {
  around.metrics->anomaly_seen(kind);
  odd.push_back({kind, key.id, key.prefix, client_ip, std::move(detail)});
}

// ---- refusals and bans

void state::refuse(waiting& one, refusal why) {
  if (const auto until = banned_until(one))
    return refuse_banned(one, *until);
  if (why.code != refusal_code::bad_request) // no key was tried
    around.metrics->auth_refused(why.code);
  one.promise.deliver(answer<principal>(std::move(why)));
}

void state::turn_away(waiting& one, std::string message, bool guessed) {
  const bool counts = guessed && !banned_until(one);
  refuse(one, {refusal_code::unauthorized, std::move(message), {}, {}});
  if (counts)
    count_failure(one);
}

// Everybody comes from there whose own address is not told; it may lie in a network that is locked out.
bool state::is_trusted(const ip_address& address) const {
  return std::any_of(settings.trusted_proxies.begin(), settings.trusted_proxies.end(),
                     [&](const auto& proxy) { return proxy.contains(address); });
}

std::optional<boot_time> state::banned_until(const waiting& one) const {
  const auto address = ip_address::parse(one.request.from.client_ip);
  if (!address || settings.ban_shadow || is_trusted(*address))
    return std::nullopt;
  return bans.banned_until(client_network(*address), one.arrived);
}

void state::refuse_banned(waiting& one, boot_time until) {
  around.metrics->rate_limited("ban");
  one.promise.deliver(answer<principal>(refusal{refusal_code::too_many_requests,
                                                "this address is locked out: it tried too many keys that are not good",
                                                {{"ban", "no request without a good key until the ban ends"}},
                                                until - one.arrived}));
}

void state::count_failure(const waiting& one) {
  const auto address = ip_address::parse(one.request.from.client_ip);
  if (!address || settings.bans.failures == 0 || is_trusted(*address))
    return;
  const auto ban = bans.failed(client_network(*address), one.arrived);
  if (!ban)
    return;
  around.metrics->locked_out(settings.ban_shadow);
  const auto length = ban->until - one.arrived;
  around.log->warn(settings.ban_shadow ? log_message("an address would be locked out")
                                       : log_message("an address is locked out"),
                   {{"network", ban->network.text()},
                    {"seconds", std::int64_t{length.count() / 1000}},
                    {"strikes", std::int64_t{ban->strikes}}});
  if (!settings.ban_shadow)
    self->send(around.peers->get<lockout::actor>(),
               lockout::impose{{ban->network, length, ban->strikes, settings.bans.failures}});
}

void state::on_banned(const banned& now) {
  const auto at = around.boot_clock();
  std::vector<ban_policy::known_ban> known;
  known.reserve(now.all.size());
  for (const auto& one : now.all)
    known.push_back({one.network, at + one.left, one.strikes});
  bans.replace(known, at);
}

// ---- look-ups

const state::entry* state::lookup(const std::string& prefix, waiting& one) {
  const auto hit = cache.find(prefix);
  if (hit != cache.end()) {
    // What was asked for after a request had come is fresh enough for it, however long the store took to answer.
    const auto asked_at = hit->second.asked_at;
    if (around.boot_clock() - asked_at < settings.cache_lease || asked_at >= one.arrived)
      return &hit->second;
  }
  wait_for(prefix, std::move(one));
  return nullptr;
}

void state::wait_for(const std::string& whom, waiting one) {
  auto& queue = pending[whom];
  queue.push_back(std::move(one));
  if (queue.size() > 1)
    return;
  wanted.push_back(whom);
  ask();
}

// One query at a time: what is asked for meanwhile goes with the next, so that a flood of keys nobody has seen costs
// the store no more queries than a few do.
void state::ask() {
  if (asking || wanted.empty())
    return;
  asking = true;
  const auto n = std::min(wanted.size(), settings.most_asked);
  const std::vector<std::string> names(wanted.begin(), wanted.begin() + static_cast<std::ptrdiff_t>(n));
  wanted.erase(wanted.begin(), wanted.begin() + static_cast<std::ptrdiff_t>(n));
  api_keys::find query;
  for (const auto& one : names)
    if (const auto command = one.starts_with(command_head) ? command_id::parse(one) : std::nullopt)
      query.executions.push_back(*command);
    else
      query.prefixes.push_back(one);
  const auto asked_at = around.boot_clock();
  forgotten_meanwhile.clear();
  if (const auto first = pending.find(names.front()); first != pending.end())
    around.trace(first->second.front().request.from, "auth", "api_keys", "find");
  self->request(around.peers->get<api_keys::actor>(), caf::infinite, std::move(query))
      .then(
          [this, names, asked_at](api_keys::found& found) {
            asking = false;
            on_found(names, asked_at, found);
            ask();
          },
          [this, names](caf::error& e) {
            asking = false;
            failed(names, to_failure(e));
            ask();
          });
}

void state::on_found(const std::vector<std::string>& names, boot_time asked_at, api_keys::found& found) {
  for (const auto& one : names) {
    if (one.starts_with(command_head)) {
      const auto running = std::find_if(found.executions.begin(), found.executions.end(),
                                        [&](const auto& e) { return e.command.text() == one; });
      seen_running(one, asked_at, running == found.executions.end() ? nullptr : &*running);
      continue;
    }
    const auto key = std::find_if(found.keys.begin(), found.keys.end(), [&](const auto& k) { return k.prefix == one; });
    if (key != found.keys.end() && was_forgotten(key->id)) {
      wanted.push_back(one); // what was read may be older than what is to be forgotten
      continue;
    }
    fetched(one, asked_at, key == found.keys.end() ? std::nullopt : std::optional(std::move(*key)));
  }
}

void state::fetched(const std::string& prefix, boot_time asked_at, std::optional<api_key> key) {
  auto queue = those_waiting_for(prefix);
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
      turn_away(one, unknown_key, true);
    return;
  }
  for (auto& one : queue)
    advance(std::move(one));
}

bool state::was_forgotten(const key_id& key) const {
  return std::any_of(forgotten_meanwhile.begin(), forgotten_meanwhile.end(),
                     [&](const auto& one) { return !one || *one == key; });
}

// The credential of a command is not cached: it counts exactly as long as its command runs.
void state::seen_running(const std::string& command, boot_time asked_at, const api_keys::execution* running) {
  for (auto& one : those_waiting_for(command)) {
    if (running == nullptr) {
      turn_away(one, "the command of this credential does not run any more", false);
      continue;
    }
    const auto& submitter = running->submitter;
    auto who = principal_of(submitter, asked_at);
    if (submitter.revoked_at)
      who.may_not_submit = refusal_code::key_revoked;
    else if (!submitter.active(settings.wall_clock()))
      who.may_not_submit = refusal_code::key_expired;
    else if (!submitter.granted.allow(scope::projects_execute) || !who.sees_project(running->project))
      who.may_not_submit = refusal_code::forbidden;
    who.expires_at.reset();
    who.key_prefix = command;
    who.key_name = command;
    who.granted = {scope::projects_read};
    who.project_ids = {running->project};
    who.command = running->command;
    around.metrics->auth_accepted();
    one.promise.deliver(answer<principal>(std::move(who)));
  }
}

void state::failed(const std::vector<std::string>& names, const failure& why) {
  for (const auto& whom : names)
    for (auto& one : those_waiting_for(whom))
      one.promise.deliver(to_error(why));
}

std::vector<state::waiting> state::those_waiting_for(const std::string& whom) {
  auto queue = std::move(pending[whom]);
  pending.erase(whom);
  return queue;
}

forgotten state::on_forget(const forget& what) {
  forgotten_meanwhile.push_back(what.key);
  if (what.key)
    std::erase_if(cache, [&](const auto& e) { return e.second.key && e.second.key->id == *what.key; });
  else
    cache.clear();
  return {};
}

// So that a mistyped key is known for one also if nobody has asked before the store is away.
void state::learn_admin() {
  if (cache.contains(admin_prefix) || pending.contains(admin_prefix))
    return;
  wanted.push_back(admin_prefix);
  ask();
}

void state::on_note_uses() {
  learn_admin();
  const auto owner = around.peers->get<api_keys::actor>();
  if (!uses.empty()) {
    api_keys::used batch;
    for (auto& [key, of_key] : uses)
      std::move(of_key.begin(), of_key.end(), std::back_inserter(batch.uses));
    uses.clear();
    self->send(owner, std::move(batch));
  }
  if (!odd.empty())
    self->send(owner, api_keys::noticed{std::exchange(odd, {})});
  self->delayed_send(self, settings.note_uses, note_uses{});
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings) {
  self->state.around = around;
  self->state.bans = ban_policy(settings.bans);
  self->state.habits = key_habits(settings.habits);
  self->state.settings = std::move(settings);
  self->request(around.peers->get<lockout::actor>(), caf::infinite, lockout::tell{})
      .then([](lockout::told) {}, [](const caf::error&) {}); // it tells by itself as soon as it can
  self->delayed_send(self, self->state.settings.note_uses, note_uses{});
  return {
      [=](identify& request) { return self->state.on_identify(request); },
      [=](const forget& what) { return self->state.on_forget(what); },
      [=](const banned& now) { self->state.on_banned(now); },
      [=](note_uses) { self->state.on_note_uses(); },
  };
}

} // namespace rdev::auth
