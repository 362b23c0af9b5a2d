#include "actors/refusals.hpp"

#include <utility>

namespace rdev::refusals {

// Of many refusals of one source only some are recorded; the others are told together, when their window is over.
void state::on_refused(refused& what) {
  const auto now = around.boot_clock();
  const bool recorded = sample.admits(what.what, now, now_utc());
  if (!std::exchange(summary_is_due, true))
    self->delayed_send(self, *sample.next_end() - now, summarize{});
  if (recorded)
    record(std::move(what.what));
}

void state::on_summarize() {
  summary_is_due = false;
  const auto now = around.boot_clock();
  record(sample.take_ended(now));
  if (const auto next = sample.next_end()) {
    summary_is_due = true;
    self->delayed_send(self, *next - now, summarize{});
  }
}

// AUDIT is stopped after everybody else, and writes them.
void state::on_stop() {
  record(sample.take_all());
}

void state::record(audit_record&& what) {
  around.trace(what.from, "refusals", "audit", "record");
  self->send(around.peers->get<audit::actor>(), audit::record{std::move(what)});
}

void state::record(std::vector<audit_record>&& ended) {
  for (auto& one : ended)
    record(std::move(one));
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around,
                                   sampling_rules settings) {
  self->state.around = around;
  self->state.sample = refusal_sample(settings);
  self->set_exit_handler([=](const caf::exit_msg& why) {
    self->state.on_stop();
    self->quit(why.reason);
  });
  return {
      [=](refused& what) { self->state.on_refused(what); },
      [=](summarize) { self->state.on_summarize(); },
  };
}

} // namespace rdev::refusals
