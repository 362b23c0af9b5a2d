#include "actors/audit.hpp"

#include <algorithm>

namespace rdev::audit {

void state::on_record(record& what) {
  if (waiting.size() >= settings.most_waiting) {
    around.metrics->fault_seen("audit_dropped");
    return;
  }
  waiting.push_back(std::move(what.what));
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
                    {{"request_id", waiting.front().from.request_id}, {"action", waiting.front().action}});
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
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<audit_log> store) {
  self->state.around = around;
  self->state.settings = settings;
  self->state.store = std::move(store);
  return {
      [=](record& what) { self->state.on_record(what); },
      [=](const committed& what) { self->state.on_committed(what); },
      [=](flush) { self->state.on_flush(); },
  };
}

} // namespace rdev::audit
