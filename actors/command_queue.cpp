#include "actors/command_queue.hpp"

#include <algorithm>

namespace rdev::command_queue {

namespace {

refusal other_body() {
  return {refusal_code::conflict, "this Idempotency-Key was used with another body", {}, {}};
}

refusal revoked_meanwhile() {
  return {refusal_code::key_revoked, "the key was revoked: ask for a new one", {}, {}};
}

} // namespace

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
  one.actor_name = std::move(what.who.key_name);
  one.idempotency = std::move(what.idempotency);
  submissions.push_back({std::move(one), promise});
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
  while (!submissions.empty()) {
    const auto n = std::min(settings.batch, submissions.size());
    std::vector<new_command> batch;
    batch.reserve(n);
    for (std::size_t i = 0; i < n; ++i)
      batch.push_back(std::move(submissions[i].what));
    auto receipts = store_durably(batch);
    if (!receipts)
      around.fault("command_queue", receipts.error());
    for (std::size_t i = 0; i < n; ++i) {
      submissions[i].what = std::move(batch[i]);
      if (receipts)
        answer_submission(submissions[i], (*receipts)[i]);
      else
        submissions[i].promise.deliver(to_error(receipts.error()));
    }
    submissions.erase(submissions.begin(), submissions.begin() + static_cast<std::ptrdiff_t>(n));
  }
}

// Repeating is safe: an id that exists is not written again, and the idempotency record decides about the rest.
result<std::vector<submit_receipt>> state::store_durably(const std::vector<new_command>& batch) {
  auto receipts = store->submit(batch);
  for (int i = 0; i < settings.settle_attempts && !receipts && receipts.error().code == fault::unknown_outcome; ++i) {
    std::vector<command_id> ids;
    for (const auto& one : batch)
      ids.push_back(one.what.id);
    auto there = store->existing(ids);
    if (!there)
      continue;
    if (there->empty()) {
      receipts = store->submit(batch);
      continue;
    }
    // One transaction: what is there was created, and what is missing was refused or replayed by it.
    std::vector<new_command> rest;
    std::copy_if(batch.begin(), batch.end(), std::back_inserter(rest), [&](const auto& one) {
      return std::find(there->begin(), there->end(), one.what.id) == there->end();
    });
    auto of_rest = rest.empty() ? result<std::vector<submit_receipt>>(std::vector<submit_receipt>{}) : store->submit(rest);
    if (!of_rest)
      return of_rest;
    std::vector<submit_receipt> settled;
    auto next = of_rest->begin();
    for (const auto& one : batch) {
      const bool created = std::find(there->begin(), there->end(), one.what.id) != there->end();
      settled.push_back(created ? submit_receipt{submit_verdict::created, one.what.id} : *next++);
    }
    return settled;
  }
  return receipts;
}

void state::answer_submission(submission_waiting& one, const submit_receipt& receipt) {
  switch (receipt.verdict) {
  case submit_verdict::created:
    tell_committed(one.what.from, 1);
    one.promise.deliver(answer<submitted>(submitted{receipt.id, one.what.what.what.project, false}));
    return;
  case submit_verdict::replayed:
    one.promise.deliver(answer<submitted>(submitted{receipt.id, one.what.what.what.project, true}));
    return;
  case submit_verdict::conflict:
    one.promise.deliver(answer<submitted>(other_body()));
    return;
  case submit_verdict::key_revoked:
    one.promise.deliver(answer<submitted>(revoked_meanwhile()));
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

caf::result<recorded> state::on_record(const record& what) {
  auto written = store->record(what.what);
  if (!written) {
    around.fault("command_queue", written.error());
    return to_error(written.error());
  }
  tell_committed(what.what.from, 1);
  return recorded{};
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
  if (handing_over || running >= settings.max_running)
    return;
  auto leases = store->claim(
      {settings.node, settings.start_intent, settings.max_running - running, settings.max_running_per_project});
  if (!leases) {
    around.fault("command_queue", leases.error());
    return;
  }
  if (leases->empty())
    return;
  handing_over = true;
  for (const auto& one : *leases)
    self->send(around.peers->get<streams::actor>(), streams::grown{one.what.id});
  // A runner that dies before it has them gets them back from LEASES when it is restarted.
  self->request(around.peers->get<runner::actor>(), caf::infinite, runner::run{std::move(*leases)})
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
  self->send(self, poll{});
  return {
      [=](submit& what) { return self->state.on_submit(what); },
      [=](const cancel& what) { return self->state.on_cancel(what); },
      [=](complete& what) { return self->state.on_complete(what); },
      [=](const record& what) { return self->state.on_record(what); },
      [=](const look_up& what) { return self->state.on_look_up(what); },
      [=](const load& what) { self->state.on_load(what); },
      [=](flush) { self->state.on_flush(); },
      [=](poll) { self->state.on_poll(); },
  };
}

} // namespace rdev::command_queue
