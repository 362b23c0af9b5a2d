#include "actors/ingress.hpp"

#include "actors/refusal_record.hpp"

#include <algorithm>
#include <utility>

namespace rdev::ingress {

using namespace std::chrono_literals;

// Nobody would end the exchanges that wait for a peer that died with their request, and the system could not stop.
state::~state() {
  for (const auto& [id, one] : exchanges)
    caf::anon_send_exit(one.one, caf::exit_reason::user_shutdown);
  for (const auto& one : spare)
    caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
  for (auto& [network, line] : waiting)
    for (auto& one : line)
      one.promise.deliver(to_error({fault::unavailable, "ingress ended before the request was let in"}));
}

caf::result<api_reply> state::on_perform(perform& what) {
  const auto network = locked_out_network(what.request.from.client_ip);
  const auto now = self->clock().now();
  if (!network)
    return self->delegate(open_exchange(now, false), std::move(what));
  auto& line = waiting[*network];
  // A line may be as long as there is room yet: many long ones leave some for who comes next.
  if (line.size() + held >= settings.most_waiting) {
    if (line.empty())
      waiting.erase(*network);
    around.metrics->rate_limited("ban");
    return refused(what, {refusal_code::too_many_requests,
                          "this address is locked out, and too many requests of such addresses wait already",
                          {{"ban", "no further request for now"}},
                          1s});
  }
  if (line.empty())
    turns.push_back(*network);
  auto promise = self->make_response_promise<api_reply>();
  line.push_back({std::move(what), promise, now});
  ++held;
  let_in();
  return promise;
}

// Whoever has many of them does not stand before whoever has one.
void state::let_in() {
  while (inside < settings.most_locked_out && !turns.empty()) {
    const auto network = turns.front();
    turns.pop_front();
    auto& line = waiting.at(network);
    auto next = std::move(line.front());
    line.pop_front();
    --held;
    if (line.empty())
      waiting.erase(network);
    else
      turns.push_back(network);
    next.promise.delegate(open_exchange(next.since, true), std::move(next.what));
  }
}

// Without an exchange; on record like its refusals.
api_reply state::refused(const perform& what, refusal why) const {
  around.trace(what.request.from, "ingress", "refusals", "refused");
  self->send(around.peers->get<refusals::actor>(),
             refusals::refused{refusal_record(around, what.request.from, why, {}, what.request.project)});
  return {std::move(why), {}, {}};
}

std::optional<ip_network> state::locked_out_network(const std::string& client_ip) const {
  if (locked_out.empty())
    return std::nullopt;
  const auto address = ip_address::parse(client_ip);
  if (!address)
    return std::nullopt;
  const auto found = locked_out.find(client_network(*address));
  if (found == locked_out.end() || found->second <= self->clock().now())
    return std::nullopt;
  return found->first;
}

void state::learn(const exchange::idle::stranger& asker) {
  const auto address = ip_address::parse(asker.client_ip);
  if (!address)
    return;
  const auto network = client_network(*address);
  if (asker.locked_out.count() == 0)
    locked_out.erase(network);
  else if (locked_out.size() < settings.most_remembered || locked_out.contains(network))
    locked_out[network] = self->clock().now() + std::min(asker.locked_out, settings.remembered);
}

exchange::actor state::open_exchange(caf::actor_clock::time_point since, bool for_locked_out) {
  exchange::actor one;
  if (spare.empty()) {
    one = self->spawn<caf::monitored>(exchange::behavior, around, exchange::parent(self));
  } else {
    one = std::move(spare.back());
    spare.pop_back();
  }
  const auto place_since = for_locked_out ? std::optional(self->clock().now()) : std::nullopt;
  exchanges.emplace(one.id(), under_way{one, since, place_since});
  inside += for_locked_out ? 1 : 0;
  return one;
}

void state::on_idle(const exchange::idle& what) {
  if (what.asker)
    learn(*what.asker);
  const auto found = exchanges.find(what.who);
  if (found == exchanges.end())
    return;
  if (spare.size() < settings.most_spare)
    spare.push_back(std::move(found->second.one));
  else
    caf::anon_send_exit(found->second.one, caf::exit_reason::user_shutdown);
  close_exchange(what.who);
}

void state::close_exchange(caf::actor_id who) {
  const auto found = exchanges.find(who);
  if (found == exchanges.end())
    return;
  inside -= found->second.place_since ? 1 : 0;
  exchanges.erase(found);
  let_in();
}

void state::on_sweep() {
  const auto now = self->clock().now();
  for (auto& [id, one] : exchanges) {
    if (now - one.since >= settings.deadline)
      self->send(one.one, exchange::expired{});
    if (one.place_since && now - *one.place_since >= settings.longest_place) { // it is no guess
      one.place_since.reset();
      --inside;
    }
  }
  refuse_overdue(now);
  std::erase_if(locked_out, [&](const auto& one) { return one.second <= now; });
  let_in();
  self->delayed_send(self, settings.sweep, sweep{});
}

void state::refuse_overdue(caf::actor_clock::time_point now) {
  for (auto& [network, line] : waiting)
    for (; !line.empty() && now - line.front().since >= settings.deadline; line.pop_front()) {
      --held;
      around.metrics->fault_seen("deadline");
      line.front().promise.deliver(
          refused(line.front().what,
                  {refusal_code::service_unavailable, "there was no time for this request: repeat later", {}, 1s}));
    }
  std::erase_if(turns, [&](const auto& network) { return waiting.at(network).empty(); });
  std::erase_if(waiting, [](const auto& one) { return one.second.empty(); });
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings) {
  self->state.around = around;
  self->state.settings = settings;
  self->set_down_handler([=](const caf::down_msg& down) {
    self->state.close_exchange(down.source.id());
    std::erase_if(self->state.spare, [&](const exchange::actor& one) { return one.id() == down.source.id(); });
  });
  self->delayed_send(self, settings.sweep, sweep{});
  return {
      [=](perform& what) { return self->state.on_perform(what); },
      [=](read_stream& what) { return self->delegate(around.peers->get<streams::actor>(), std::move(what)); },
      [=](const read_bytes& what) {
        return self->delegate(around.peers->get<queries::actor>(), queries::stored{what.what});
      },
      [=](sweep) { self->state.on_sweep(); },
      [=](const exchange::idle& what) { self->state.on_idle(what); },
  };
}

} // namespace rdev::ingress
