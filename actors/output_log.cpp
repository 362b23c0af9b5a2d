#include "actors/output_log.hpp"

namespace rdev::output_log {

namespace {

std::size_t bytes_in(const output_append& a) {
  std::size_t n = 0;
  for (const auto& c : a.chunks)
    n += c.bytes ? c.bytes->size() : 0;
  return n;
}

} // namespace

// CAF answers what is still in the mailbox of a dead actor, but not what was taken out of it.
state::~state() {
  for (auto& promise : promises)
    promise.deliver(to_error({fault::unavailable, "output_log ended before it wrote"}));
}

// The first append of a batch sends `flush` to the end of the mailbox: all that is queued before it joins the batch.
reply state::on_append(append& what) {
  auto promise = self->make_response_promise<appended>();
  if (waiting.empty())
    self->send(self, flush{});
  waiting.push_back(std::move(what.what));
  promises.push_back(promise);
  return promise;
}

void state::on_flush() {
  while (!waiting.empty()) {
    std::size_t count = 0;
    for (std::size_t bytes = 0; count < waiting.size() && (count == 0 || bytes < settings.batch_bytes); ++count)
      bytes += bytes_in(waiting[count]);
    write(count);
    waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(count));
    promises.erase(promises.begin(), promises.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

void state::write(std::size_t count) {
  auto written = store->append({waiting.data(), count});
  if (!written) {
    around.fault("output_log", written.error());
    for (std::size_t i = 0; i < count; ++i)
      promises[i].deliver(to_error(written.error()));
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    promises[i].deliver(appended{(*written)[i]});
    if (!(*written)[i])
      continue;
    around.metrics->output_stored(bytes_in(waiting[i]));
    self->send(around.peers->get<streams::actor>(), streams::grown{waiting[i].id});
  }
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<output_store> store) {
  self->state.around = around;
  self->state.settings = settings;
  self->state.store = std::move(store);
  return {
      [=](append& what) { return self->state.on_append(what); },
      [=](flush) { self->state.on_flush(); },
  };
}

} // namespace rdev::output_log
