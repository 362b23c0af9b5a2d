#include "actors/command_queue.hpp"

#include <algorithm>

namespace rdev::command_queue {

namespace {

refusal other_body() {
  return {refusal_code::conflict, "this Idempotency-Key was used with another body", {}, {}};
}

refusal too_many_at_once() {
  return {refusal_code::too_many_requests,
          "the key has as many commands queued and running as its concurrency_limit allows: wait until one ends",
          {{"key", "over its concurrency_limit"}},
          std::chrono::seconds(1)};
}

} // namespace

// CAF answers what is still in the mailbox of a dead actor, but not what was taken out of it.
state::~state() {
  const auto why = to_error({fault::unknown_outcome, "command_queue ended before it answered"});
  for (auto& one : submissions)
    one.promise.deliver(why);
  for (auto& batch : in_flight)
    for (auto& one : batch)
      one.promise.deliver(why);
  for (auto& one : completions)
    one.promise.deliver(why);
}

submit_reply state::on_submit(submit& what) {
  auto promise = self->make_response_promise<answer<submitted>>();
  new_command one;
  one.what.id = command_id::make();
  one.what.key = what.who.key;
  one.what.family = what.who.family;
  one.what.what = std::move(what.what);
  if (!one.what.what.timeout)
    one.what.what.timeout = settings.default_timeout;
  one.from = std::move(what.from);
  one.key_revision = what.who.revision;
  one.holder = what.who.command;
  one.actor_name = std::move(what.who.key_name);
  one.idempotency = std::move(what.idempotency);
  one.scope = settings.scope;
  auto hidden = around.hide(one.what.what.env);
  submissions.push_back({std::move(one), promise, std::move(hidden)});
  flush_soon();
  return promise;
}

complete_reply state::on_complete(complete& what) {
  auto promise = self->make_response_promise<completed>();
  completions.push_back({std::move(what.what), promise});
  flush_soon();
  return promise;
}

// `flush` goes to the end of the mailbox: everything that is queued before it joins the transaction (group commit).
void state::flush_soon() {
  if (flush_is_due)
    return;
  flush_is_due = true;
  self->send(self, flush{});
}

void state::on_flush() {
  flush_is_due = false;
  write_completions();
  write_submissions();
  claim();
}

void state::write_submissions() {
  if (settings.lanes.empty())
    return write_here();
  for (std::size_t i = 0; i < settings.lanes.size() && !submissions.empty(); ++i)
    if (in_flight[i].empty())
      write_on(i, take_batch());
}

std::vector<state::submission_waiting> state::take_batch() {
  const auto n = static_cast<std::ptrdiff_t>(std::min(settings.batch, submissions.size()));
  std::vector<submission_waiting> batch(std::make_move_iterator(submissions.begin()),
                                        std::make_move_iterator(submissions.begin() + n));
  submissions.erase(submissions.begin(), submissions.begin() + n);
  return batch;
}

std::vector<new_command> state::commands_of(const std::vector<submission_waiting>& batch) {
  std::vector<new_command> out;
  out.reserve(batch.size());
  for (const auto& one : batch)
    out.push_back(one.what);
  return out;
}

void state::write_here() {
  while (!submissions.empty()) {
    const auto& batch = in_flight.emplace_back(take_batch()); // whoever waits is told also if this crashes
    const auto receipts = submit_lane::write_durably(*store, commands_of(batch), settings.settle_attempts);
    if (!receipts)
      around.fault("command_queue", receipts.error());
    for (std::size_t i = 0; i < batch.size(); ++i)
      if (receipts)
        answer_submission(batch[i], (*receipts)[i]);
      else
        submit_reply(batch[i].promise).deliver(to_error(receipts.error()));
    in_flight.pop_back();
  }
}

// While this lane waits for its commit, another one is written to, or what comes gathers for the next batch.
void state::write_on(std::size_t lane, std::vector<submission_waiting> batch) {
  in_flight[lane] = std::move(batch);
  self->request(settings.lanes[lane], caf::infinite, submit_lane::write{commands_of(in_flight[lane])})
      .then(
          [this, lane](const submit_lane::written& done) {
            const auto answered = std::exchange(in_flight[lane], {});
            for (std::size_t i = 0; i < answered.size(); ++i)
              answer_submission(answered[i], done.receipts[i]);
            flush_soon();
          },
          [this, lane](const caf::error& e) {
            for (const auto& one : std::exchange(in_flight[lane], {}))
              submit_reply(one.promise).deliver(e);
            flush_soon();
          });
}

void state::answer_submission(const submission_waiting& one, const submit_receipt& receipt) {
  auto promise = one.promise;
  switch (receipt.verdict) {
  case submit_verdict::created:
    tell_committed(one.what.from, 1);
    promise.deliver(answer<submitted>(submitted{receipt.id, one.what.what.what.project, false}));
    return;
  case submit_verdict::replayed:
    promise.deliver(answer<submitted>(submitted{receipt.id, one.what.what.what.project, true}));
    return;
  case submit_verdict::conflict:
    promise.deliver(answer<submitted>(other_body()));
    return;
  case submit_verdict::key_changed:
    promise.deliver(to_error({fault::key_changed, "the key was revoked or changed meanwhile"}));
    return;
  case submit_verdict::key_is_full:
    around.metrics->rate_limited("key");
    promise.deliver(answer<submitted>(too_many_at_once()));
    return;
  }
}

void state::tell_committed(const request_context& from, int rows) {
  around.trace(from, "command_queue", "audit", "committed");
  self->send(around.peers->get<audit::actor>(), audit::committed{from, rows});
  around.trace(from, "command_queue", "webhooks", "committed");
  self->send(around.peers->get<webhooks::actor>(), webhooks::committed{from, rows});
}

void state::write_completions() {
  if (completions.empty())
    return;
  std::vector<completion> batch;
  batch.reserve(completions.size());
  for (auto& one : completions)
    batch.push_back(one.what);
  auto accepted = store->complete(batch);
  if (!accepted)
    around.fault("command_queue", accepted.error());
  for (std::size_t i = 0; i < completions.size(); ++i) {
    if (!accepted) {
      completions[i].promise.deliver(to_error(accepted.error()));
      continue;
    }
    completions[i].promise.deliver(completed{(*accepted)[i]});
    if ((*accepted)[i]) {
      tell_committed({}, 1);
      self->send(around.peers->get<streams::actor>(), streams::grown{completions[i].what.id});
    }
  }
  completions.clear();
}

caf::result<cancelled> state::on_cancel(const cancel& what) {
  auto verdict = store->cancel(what.order);
  if (!verdict) {
    around.fault("command_queue", verdict.error());
    return to_error(verdict.error());
  }
  if (*verdict == cancel_verdict::never_ran || *verdict == cancel_verdict::requested)
    tell_committed(what.order.from, 1);
  if (*verdict == cancel_verdict::never_ran)
    self->send(around.peers->get<streams::actor>(), streams::grown{what.order.id});
  if (*verdict == cancel_verdict::requested)
    self->send(around.peers->get<runner::actor>(), runner::stop{what.order.id, what.order.reason});
  return cancelled{*verdict};
}

caf::result<queued_cancelled> state::on_cancel_queued(const cancel_queued& what) {
  auto gone = store->cancel_queued(what.order, settings.cancelled_at_once);
  if (!gone) {
    around.fault("command_queue", gone.error());
    return to_error(gone.error());
  }
  const auto count = static_cast<int>(gone->size());
  if (count > 0)
    tell_committed(what.order.from, count);
  for (const auto& id : *gone)
    self->send(around.peers->get<streams::actor>(), streams::grown{id});
  return queued_cancelled{count > 0}; // one that somebody else cancels meanwhile makes a piece shorter
}

caf::result<recorded> state::on_record(const record& what) {
  auto written = store->record(what.what);
  if (!written) {
    around.fault("command_queue", written.error());
    return to_error(written.error());
  }
  tell_committed(what.what.from, 1);
  return recorded{};
}

void state::on_observe(const observe& what) {
  auto news = store->observe(what.what);
  if (!news)
    around.fault("command_queue", news.error());
  else if (*news)
    self->send(around.peers->get<webhooks::actor>(), webhooks::committed{{}});
}

caf::result<vouched> state::on_vouch(const vouch& what) {
  auto good = store->vouch(what.what, what.revision);
  if (!good) {
    around.fault("command_queue", good.error());
    return to_error(good.error());
  }
  if (*good)
    self->send(around.peers->get<audit::actor>(), audit::committed{what.what.from, 1});
  return vouched{*good};
}

caf::result<looked_up> state::on_look_up(const look_up& what) {
  auto hit = store->find_idempotent(what.family, what.from, what.key);
  if (!hit)
    return to_error(hit.error());
  return looked_up{std::move(*hit)};
}

void state::on_load(const load& what) {
  running = what.running;
  flush_soon();
}

void state::claim() {
  if (resting || handing_over || running >= settings.max_running)
    return;
  auto places = settings.places ? settings.places() : std::nullopt;
  if (places && places->empty())
    return;
  auto leases = store->claim({settings.node, settings.start_intent, settings.max_running - running,
                              settings.max_running_per_project, settings.scope, std::move(places)});
  if (!leases) {
    around.fault("command_queue", leases.error());
    return;
  }
  if (leases->empty())
    return;
  for (const auto& one : *leases)
    self->send(around.peers->get<streams::actor>(), streams::grown{one.what.id});
  hand_over(std::move(*leases));
}

// A runner that dies before it has them gets them back from LEASES, as those of a claim whose answer was lost.
void state::hand_over(std::vector<lease> leases) {
  handing_over = true;
  self->request(around.peers->get<runner::actor>(), caf::infinite, runner::run{std::move(leases)})
      .then(
          [this](const runner::running& now) {
            handing_over = false;
            on_load({now.count});
          },
          [this](const caf::error&) { handing_over = false; });
}

void state::on_poll() {
  flush_soon();
  self->delayed_send(self, settings.poll_interval, poll{});
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<command_store> store) {
  self->state.around = around;
  self->state.settings = std::move(settings);
  self->state.store = std::move(store);
  self->state.in_flight.resize(self->state.settings.lanes.size());
  for (const auto& lane : self->state.settings.lanes)
    self->link_to(lane); // they live and die together
  // Nothing handed over, only asked: a queue that was restarted does not know how much runs already.
  self->state.hand_over({});
  self->send(self, poll{});
  return {
      [=](submit& what) { return self->state.on_submit(what); },
      [=](const cancel& what) { return self->state.on_cancel(what); },
      [=](const cancel_queued& what) { return self->state.on_cancel_queued(what); },
      [=](complete& what) { return self->state.on_complete(what); },
      [=](const record& what) { return self->state.on_record(what); },
      [=](const observe& what) { self->state.on_observe(what); },
      [=](const look_up& what) { return self->state.on_look_up(what); },
      [=](const vouch& what) { return self->state.on_vouch(what); },
      [=](const load& what) { self->state.on_load(what); },
      [=](rest) { self->state.resting = true; },
      [=](flush) { self->state.on_flush(); },
      [=](poll) { self->state.on_poll(); },
  };
}

} // namespace rdev::command_queue
