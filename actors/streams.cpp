#include "actors/streams.hpp"

#include <algorithm>

namespace rdev::streams {

namespace {

refusal key_was_revoked() {
  return {refusal_code::key_revoked, "the key was revoked: ask for a new one", {}, {}};
}

stream_news going_away() {
  stream_news news;
  news.draining = true;
  return news;
}

bool empty(const event_page& page) {
  return !page.queued && !page.running && page.chunks.empty() && !page.completed;
}

} // namespace

reply state::on_read(const ingress::read_stream& what) {
  auto promise = self->make_response_promise<answer<stream_news>>();
  if (revoked.contains(what.opened.key)) {
    promise.deliver(answer<stream_news>(key_was_revoked()));
    return promise;
  }
  if (what.opened.ends_at && *what.opened.ends_at <= now_utc()) {
    promise.deliver(
        answer<stream_news>(refusal{refusal_code::key_expired, "the key has expired: ask for a new one", {}, {}}));
    return promise;
  }
  if (draining) {
    promise.deliver(answer<stream_news>(going_away()));
    return promise;
  }
  const auto number = next_number++;
  waiting.emplace(number, reader{what, promise, self->clock().now() + what.wait});
  if (what.opened.command)
    by_command.emplace(*what.opened.command, number);
  look(number);
  return promise;
}

// What a command's own credential has opened ends with that command. Its own stream ends by itself, with its end.
void state::look(std::uint64_t number) {
  auto& one = waiting.at(number);
  const auto& opened = one.what.opened;
  if (!opened.holder || opened.command == opened.holder)
    return go_on(number);
  if (one.confirming)
    return; // what has come since is told with it
  one.confirming = true;
  self->request(around.peers->get<api_keys::actor>(), caf::infinite, api_keys::find{{}, {*opened.holder}})
      .then(
          [this, number](const api_keys::found& found) {
            const auto there = waiting.find(number);
            if (there == waiting.end())
              return;
            there->second.confirming = false;
            if (found.executions.empty())
              return answer_with(
                  number,
                  refusal{refusal_code::unauthorized, "the command of this credential does not run any more", {}, {}});
            go_on(number);
          },
          [this, number](const caf::error& e) { fail(number, e); });
}

void state::go_on(std::uint64_t number) {
  auto& one = waiting.at(number);
  if (one.what.opened.command)
    return ask(number);
  if (!one.seen)
    return;
  stream_news news;
  news.project_status = std::move(one.seen);
  answer_with(number, std::move(news));
}

void state::ask(std::uint64_t number) {
  auto& one = waiting.at(number);
  if (one.asking) {
    one.again = true;
    return;
  }
  one.asking = true;
  one.again = false;
  self->request(around.peers->get<queries::actor>(), caf::infinite,
                queries::events_after{*one.what.opened.command, one.what.position})
      .then([this, number](queries::events& found) { on_page(number, std::move(found)); },
            [this, number](const caf::error& e) { fail(number, e); });
}

void state::on_page(std::uint64_t number, queries::events found) {
  const auto one = waiting.find(number);
  if (one == waiting.end())
    return;
  one->second.asking = false;
  if (!found.page)
    return answer_with(number, refusal{refusal_code::gone, "the output is past its retention", {}, {}});
  if (!empty(*found.page)) {
    stream_news news;
    news.events = std::move(*found.page);
    return answer_with(number, std::move(news));
  }
  if (one->second.again)
    return ask(number);
  if (self->clock().now() >= one->second.deadline)
    answer_with(number, stream_news{});
}

void state::answer_with(std::uint64_t number, answer<stream_news> news) {
  const auto one = waiting.find(number);
  if (one == waiting.end())
    return;
  one->second.promise.deliver(std::move(news));
  if (one->second.what.opened.command) {
    const auto [first, last] = by_command.equal_range(*one->second.what.opened.command);
    for (auto it = first; it != last; ++it)
      if (it->second == number) {
        by_command.erase(it);
        break;
      }
  }
  waiting.erase(one);
}

// The store is away: the reader stays, the next poll asks again.
void state::fail(std::uint64_t number, const caf::error& why) {
  around.fault("streams", to_failure(why));
  const auto one = waiting.find(number);
  if (one == waiting.end())
    return;
  one->second.asking = one->second.confirming = false;
  if (self->clock().now() >= one->second.deadline)
    answer_with(number, stream_news{});
}

void state::ask_all(const command_id& command) {
  std::vector<std::uint64_t> numbers;
  const auto [first, last] = by_command.equal_range(command);
  for (auto it = first; it != last; ++it)
    numbers.push_back(it->second);
  for (const auto number : numbers)
    look(number);
}

void state::on_grown(const grown& what) {
  ask_all(what.command);
}

void state::on_project_changed(const project_changed& what) {
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, one] : waiting)
    if (!one.what.opened.command && one.what.opened.project == what.what.id)
      numbers.push_back(number);
  for (const auto number : numbers) {
    waiting.at(number).seen = what.what;
    look(number);
  }
}

void state::on_revoke(const revoke& what) {
  revoked.insert(what.key);
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, one] : waiting)
    if (one.what.opened.key == what.key)
      numbers.push_back(number);
  for (const auto number : numbers)
    answer_with(number, key_was_revoked());
}

// Like at the end of the server: they resume where they were, if they still may.
void state::on_recheck(const recheck& what) {
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, one] : waiting)
    if (!what.key || one.what.opened.key == *what.key)
      numbers.push_back(number);
  for (const auto number : numbers)
    answer_with(number, going_away());
}

void state::on_drain() {
  draining = true;
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, one] : waiting)
    numbers.push_back(number);
  for (const auto number : numbers)
    answer_with(number, going_away());
}

// Readers whose time is up are answered; the others look again, in case a notification was lost: many places with one
// question.
void state::on_poll() {
  self->delayed_send(self, settings.poll_interval, poll{});
  const auto now = self->clock().now();
  std::vector<std::uint64_t> over;
  std::vector<std::uint64_t> untold; // whom the store could not answer for
  std::vector<event_place> places;
  for (const auto& [number, one] : waiting) {
    if (now >= one.deadline && !one.confirming) // else it is about to be told
      over.push_back(number);
    else if (one.seen && !one.confirming)
      untold.push_back(number);
    else if (one.what.opened.command && !one.asking)
      places.push_back({*one.what.opened.command, one.what.position});
  }
  for (const auto number : over)
    answer_with(number, stream_news{});
  for (const auto number : untold)
    look(number);
  if (looking > 0)
    return; // the store is slower than the clock
  for (std::size_t at = 0; at < places.size(); at += settings.places_at_once) {
    const auto end = std::min(places.size(), at + settings.places_at_once);
    look_behind({places.begin() + static_cast<std::ptrdiff_t>(at), places.begin() + static_cast<std::ptrdiff_t>(end)});
  }
}

void state::look_behind(std::vector<event_place> places) {
  ++looking;
  self->request(around.peers->get<queries::actor>(), caf::infinite, queries::look_behind{std::move(places)})
      .then(
          [this](const queries::behind& found) {
            --looking;
            for (const auto& command : found.commands)
              ask_all(command);
          },
          [this](const caf::error& e) {
            --looking;
            around.fault("streams", to_failure(e));
          });
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings) {
  self->state.around = around;
  self->state.settings = settings;
  self->delayed_send(self, settings.poll_interval, poll{});
  return {
      [=](const ingress::read_stream& what) { return self->state.on_read(what); },
      [=](const grown& what) { self->state.on_grown(what); },
      [=](const project_changed& what) { self->state.on_project_changed(what); },
      [=](const recheck& what) { self->state.on_recheck(what); },
      [=](const revoke& what) { self->state.on_revoke(what); },
      [=](drain) { self->state.on_drain(); },
      [=](poll) { self->state.on_poll(); },
  };
}

} // namespace rdev::streams
