#include "actors/execution.hpp"

#include <algorithm>
#include <cstring>

namespace rdev::execution {

namespace {

// What the runner gets to start, by type of command. A stream's file may hold one byte more than will be stored, which
// tells that the cap was reached.
launch launch_of(const command& c, const config& settings) {
  launch out{c.id, c.what.project, {}, {}, {}, c.what.env, c.what.workdir, settings.max_output_bytes + 1, {}};
  switch (c.what.type) {
  case command_type::shell:
    out.script = c.what.script;
    out.argv = c.what.argv;
    break;
  case command_type::git:
    out.argv = {"git"};
    out.argv.insert(out.argv.end(), c.what.argv.begin(), c.what.argv.end());
    out.missing_hint = "git is not installed where commands run: install the package `git` there";
    break;
  case command_type::claude:
    out.argv = settings.agent_argv;
    out.stdin_text = c.what.prompt;
    out.missing_hint = settings.agent_hint;
    break;
  }
  if (settings.checks)
    out.env.push_back({"RDEV_TOKEN", settings.checks->token_of(c.id)});
  return out;
}

std::optional<std::string> signal_name(int signal) {
  const char* name = signal > 0 ? sigabbrev_np(signal) : nullptr;
  if (name == nullptr)
    return std::nullopt;
  return "SIG" + std::string(name);
}

// The runner knows whether the time-out came first; else it acted on a wish.
command_status status_after_stop(std::optional<cancel_reason> wish, bool timed_out) {
  return timed_out || wish == cancel_reason::timeout ? command_status::timed_out : command_status::cancelled;
}

bool over(const run_status& s) {
  return s.state == run_state::exited || s.state == run_state::lost || s.state == run_state::tombstone;
}

} // namespace

void state::on_start() {
  if (attached)
    return;
  if (lease.out_bytes > account.stored(stream::out))
    return recount(stream::out);
  if (lease.err_bytes > account.stored(stream::err))
    return recount(stream::err);
  account.resume(lease.next_seq, lease.capped);
  attach();
}

void state::recount(stream which) {
  const read_output wanted{lease.what.id, which, account.stored(which)};
  self->request(around.peers->get<queries::actor>(), caf::infinite, queries::stored{wanted})
      .then(
          [this, which](const output_bytes& piece) {
            auto skip = static_cast<std::size_t>(piece.skip);
            for (const auto& c : piece.chunks) {
              account.resume(which, std::string_view(*c.bytes).substr(skip));
              skip = 0;
            }
            if (piece.chunks.empty())
              return later(settings.retry);
            on_start();
          },
          [this](const caf::error&) { later(settings.retry); });
}

void state::later(std::chrono::milliseconds delay) {
  if (attached)
    self->delayed_send(self, delay, changed{});
  else
    self->delayed_send(self, delay, start{});
}

void state::attach() {
  if (lease.scope != processes->scope())
    return give_up("it ran on another machine, whose server has been away for too long");
  processes->expect(lease.what.id, lease.what.what.project, {account.stored(stream::out), account.stored(stream::err)});
  gone = processes->why_gone(lease.start_intent);
  const bool nothing_stored = lease.out_bytes + lease.err_bytes == 0;
  const bool in_time = boot_clock_now() <= lease.taken_at + settings.start_within;
  if (gone.empty() && nothing_stored && in_time && !lease.cancel && !lease.unreadable)
    return send_order(); // in every state the right thing, and mostly the only question
  auto known = processes->status(lease.what.id);
  if (!known)
    return try_again(known.error());
  if (!gone.empty()) {
    attached = true; // its end and its output may have been written down before
    return follow();
  }
  if (known->state == run_state::absent && !lease.cancel) {
    if (!nothing_stored)
      return give_up("the run folder of the command was deleted");
    if (!in_time)
      return confirm(&state::attach);
  } else if (lease.unreadable && !lease.cancel) {
    attached = true; // it was started by somebody who could read its environment
    return follow();
  }
  send_order();
}

void state::send_order() {
  const bool may_not_start = lease.cancel || lease.unreadable;
  auto order = launch_of(lease.what, settings);
  order.timeout = time_left();
  order.grace = settings.kill_grace;
  order.valid_until = lease.taken_at + settings.start_within;
  auto begun = may_not_start ? processes->cancel(lease.what.id, settings.kill_grace) : processes->start(order);
  if (!begun)
    return try_again(begun.error());
  pause = std::chrono::milliseconds(0);
  if (begun->state == run_state::tombstone && lease.unreadable && !lease.cancel)
    return give_up(*lease.unreadable);
  attached = true;
  follow();
}

// A node that was frozen or cut off may have lost the command since it took it: nothing is started, and nothing killed,
// on an old lease.
void state::confirm(void (state::*then)()) {
  const auto asked_at = boot_clock_now();
  self->request(around.peers->get<leases::actor>(), caf::infinite, leases::confirm{lease.what.id, lease.token})
      .then(
          [this, asked_at, then](const leases::confirmed& now) {
            if (!now.stands)
              return self->quit();
            lease.age += asked_at - lease.taken_at;
            lease.taken_at = asked_at;
            (this->*then)();
          },
          [this](const caf::error&) {
            completing = false;
            later(settings.retry);
          });
}

// Nothing can be attached to, and nothing may be started.
void state::give_up(std::string reason) {
  last.state = run_state::lost;
  last.reason = std::move(reason);
  attached = true;
  finish();
}

void state::try_again(const failure& why) {
  around.fault("execution", why);
  pause = pause == std::chrono::milliseconds(0) ? settings.retry : std::min(2 * pause, settings.longest_retry);
  auto what = processes->why_gone(lease.start_intent);
  if (what.empty()) {
    gone_since.reset();
    return later(pause);
  }
  const auto now = boot_clock_now();
  gone_since = gone_since.value_or(now);
  if (now - *gone_since < settings.gone_for)
    return later(pause);
  give_up(std::move(what));
}

// By the store's clock up to the moment when it gave the lease out, by our own since.
std::chrono::milliseconds state::running_for() const {
  return lease.age + (boot_clock_now() - lease.taken_at);
}

// Zero: there is no limit. At least a millisecond else, so that a command whose time is up is still ended.
std::chrono::milliseconds state::time_left() const {
  const std::chrono::milliseconds timeout = lease.what.what.timeout.value_or(std::chrono::seconds::zero());
  if (timeout <= std::chrono::milliseconds::zero())
    return std::chrono::milliseconds::zero();
  return std::max(timeout - running_for(), std::chrono::milliseconds(1));
}

// The runner ends a command whose time is up by itself; this is for one that could not be started yet.
void state::arm_timeout() {
  if (const auto left = time_left(); left > std::chrono::milliseconds::zero())
    self->delayed_send(self, left, time_is_up{});
}

void state::on_changed() {
  if (attached)
    follow();
}

void state::on_line_due() {
  line_timer = false;
  flush_lines = true;
  on_changed();
}

// The wish is made durable first; COMMAND QUEUE then sends `stop` back through RUNNER.
void state::on_time_is_up() {
  if (completing || lease.cancel)
    return;
  cancel_order order{lease.what.id, cancel_reason::timeout, {}, "system", {}};
  self->request(around.peers->get<command_queue::actor>(), caf::infinite, command_queue::cancel{std::move(order)})
      .then([](const command_queue::cancelled&) {},
            [this](const caf::error&) { self->delayed_send(self, settings.retry, time_is_up{}); });
}

void state::on_stop(cancel_reason reason) {
  if (lease.cancel)
    return;
  lease.cancel = reason;
  if (!attached)
    return; // attach() will cancel instead of starting
  auto stopped = processes->cancel(lease.what.id, settings.kill_grace);
  if (!stopped) {
    around.fault("execution", stopped.error());
    lease.cancel.reset();
    self->delayed_send(self, settings.retry, stop{reason});
    return;
  }
  follow();
}

void state::follow() {
  if (appending || completing)
    return;
  if (!unacknowledged.empty())
    return send_append();
  auto seen = processes->status(lease.what.id);
  if (!seen)
    return try_again(seen.error());
  gone_since.reset();
  pause = std::chrono::milliseconds(0);
  last = std::move(*seen);
  // It is known better there what became of its place than where only the command is missing.
  if (gone.empty() && (last.state == run_state::lost || last.state == run_state::absent))
    gone = processes->why_gone(lease.start_intent);
  if (!gone.empty() && last.state != run_state::exited) {
    last.state = run_state::lost;
    last.reason = gone;
  } else if (last.state == run_state::absent) {
    last.state = run_state::lost;
    last.reason = "the run folder of the command was deleted";
  }
  std::array<std::string, 2> bytes;
  std::array<bool, 2> at_end{true, true};
  for (const auto which : {stream::out, stream::err}) {
    if (account.capped() || last.state == run_state::tombstone)
      break;
    const auto i = static_cast<std::size_t>(which);
    auto piece = processes->read(lease.what.id, which, account.stored(which), settings.read_bytes);
    if (!piece && last.state != run_state::lost) {
      around.fault("execution", piece.error());
      return later(settings.retry);
    }
    if (piece)
      bytes[i] = std::move(*piece);
    at_end[i] = bytes[i].size() < settings.read_bytes;
  }
  const bool last_piece = over(last);
  auto chunks = account.plan(bytes[0], flush_lines || (last_piece && at_end[0]), bytes[1],
                             flush_lines || (last_piece && at_end[1]));
  flush_lines = false;
  if (!chunks.empty())
    return append(std::move(chunks));
  if (last_piece)
    return finish();
  if (!line_timer && !account.capped() && !(bytes[0].empty() && bytes[1].empty())) {
    line_timer = true;
    self->delayed_send(self, settings.line_linger, line_due{});
  }
}

void state::append(std::vector<chunk> chunks) {
  unacknowledged = std::move(chunks);
  send_append();
}

// An append without an answer may have been written, now or later: only the very same chunks may be sent again, since
// the store leaves a chunk that is there as it is.
void state::send_append() {
  appending = true;
  output_append batch{lease.what.id, lease.token, unacknowledged};
  self->request(around.peers->get<output_log::actor>(), caf::infinite, output_log::append{std::move(batch)})
      .then(
          [this](const output_log::appended& done) {
            appending = false;
            if (!done.accepted)
              return self->quit();
            account.book(unacknowledged);
            unacknowledged.clear();
            follow();
          },
          [this](const caf::error&) {
            appending = false;
            later(settings.retry);
          });
}

command_result state::result_of(const run_status& s) const {
  command_result out;
  out.out = account.receipt(stream::out, s.out_total);
  out.err = account.receipt(stream::err, s.err_total);
  out.survivors = s.survivors;
  switch (s.state) {
  case run_state::exited:
    out.exit_code = s.exit_code;
    out.signal = signal_name(s.signal);
    out.status = s.killed_by_us     ? status_after_stop(lease.cancel, s.timed_out)
                 : s.exit_code == 0 ? command_status::completed
                                    : command_status::failed;
    out.complete = !s.output_lost && !out.out.truncated() && !out.err.truncated();
    break;
  case run_state::tombstone:
    out.status = status_after_stop(lease.cancel, false);
    out.reason = "it was cancelled before it was started";
    break;
  case run_state::absent:
  case run_state::running:
  case run_state::lost:
    out.status = command_status::lost;
    out.reason = s.reason;
    break;
  }
  if (s.output_lost && !out.reason)
    out.reason = "output is missing: the disk of the run folder was full";
  return out;
}

// Of what is lost, processes may be left. Nobody will ever account for them, so they go, if the command is still ours.
void state::finish() {
  completing = true;
  if (last.state == run_state::lost && lease.scope == processes->scope())
    return confirm(&state::end_leftovers);
  complete(result_of(last));
}

void state::end_leftovers() {
  const auto left = processes->end_leftovers(lease.what.id);
  if (!left) {
    around.fault("execution", left.error());
    completing = false;
    return later(settings.retry);
  }
  last.survivors = *left;
  complete(result_of(last));
}

void state::complete(command_result result) {
  completing = true;
  completion what{lease.what.id, lease.token, std::move(result), last.ended_ago};
  self->request(around.peers->get<command_queue::actor>(), caf::infinite, command_queue::complete{what})
      .then(
          [this, what](const command_queue::completed& done) {
            if (done.accepted) {
              const auto took = running_for() - what.ended_ago.value_or(std::chrono::milliseconds(0));
              around.metrics->command_ended(lease.what.what.project, lease.what.what.type, what.result.status, took);
              if (auto forgotten = processes->forget(lease.what.id); !forgotten)
                around.fault("execution", forgotten.error());
            }
            self->quit();
          },
          [this](const caf::error&) {
            completing = false;
            later(settings.retry);
          });
}

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, config settings,
                              std::shared_ptr<process_runner> processes, lease what,
                              const caf::strong_actor_ptr& parent) {
  auto& state = self->state;
  state.around = around;
  state.account = output_account(settings.max_output_bytes);
  state.settings = std::move(settings);
  state.processes = std::move(processes);
  state.lease = std::move(what);
  state.arm_timeout();   // also a command that cannot be started ends in time
  self->monitor(parent); // a strong pointer: CAF would touch a weakly known runner that is gone by now
  self->set_down_handler([=](const caf::down_msg&) { self->quit(); }); // a new RUNNER gets the command by a new lease
  self->send(self, start{});
  return {
      [=](changed) { self->state.on_changed(); },       [=](stop s) { self->state.on_stop(s.reason); },
      [=](start) { self->state.on_start(); },           [=](line_due) { self->state.on_line_due(); },
      [=](time_is_up) { self->state.on_time_is_up(); },
  };
}

} // namespace rdev::execution
