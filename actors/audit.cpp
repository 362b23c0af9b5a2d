#include "actors/audit.hpp"

#include <algorithm>
#include <utility>

namespace rdev::audit {

void state::on_record(record& what) {
  keep(std::move(what.what));
}

void state::keep(audit_record&& what) {
  if (waiting.size() >= settings.most_waiting) {
    around.metrics->fault_seen("audit_dropped");
    ++dropped;
    return;
  }
  waiting.push_back({audit_id::make(), std::move(what)});
  if (!flush_is_due) {
    flush_is_due = true;
    self->delayed_send(self, settings.linger, flush{});
  }
}

void state::on_committed(const committed& what) {
  around.metrics->audit_records(what.rows);
}

// The store can do nothing with this record, now or ever; it must not hold up those behind it.
void state::drop_first() {
  around.metrics->fault_seen("audit_dropped");
  around.log->error("an audit record was dropped",
                    {{"request_id", waiting.front().what.from.request_id}, {"action", waiting.front().what.action}});
  waiting.erase(waiting.begin());
}

void state::on_flush() {
  flush_is_due = false;
  while (!waiting.empty()) {
    const auto n = one_by_one ? std::size_t{1} : std::min(settings.batch, waiting.size());
    auto written = store->append({waiting.data(), n});
    if (!written) {
      around.fault("audit", written.error());
      if (written.error().code == fault::internal || written.error().code == fault::invalid) {
        if (one_by_one)
          drop_first();
        one_by_one = true;
        continue;
      }
      flush_is_due = true;
      self->delayed_send(self, std::chrono::seconds(1), flush{});
      return;
    }
    around.metrics->audit_records(static_cast<std::int64_t>(n));
    waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(n));
  }
  one_by_one = false;
  if (dropped > 0)
    tell_dropped();
}

// How many there were is on record as soon as anything can be.
void state::tell_dropped() {
  around.log->error("audit records were dropped: more came than could be written", {{"count", dropped}});
  audit_record row;
  row.actor_name = "system";
  row.action = "audit.dropped";
  row.outcome = "done";
  row.detail = {{"count", std::to_string(std::exchange(dropped, 0))}};
  keep(std::move(row));
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<audit_log> store) {
  self->state.around = around;
  self->state.settings = settings;
  self->state.store = std::move(store);
  self->set_exit_handler([=](const caf::exit_msg& why) {
    self->state.on_flush(); // one try: who stops does not wait for a store that is away
    self->quit(why.reason);
  });
  return {
      [=](record& what) { self->state.on_record(what); },
      [=](const committed& what) { self->state.on_committed(what); },
      [=](flush) { self->state.on_flush(); },
  };
}

} // namespace rdev::audit
