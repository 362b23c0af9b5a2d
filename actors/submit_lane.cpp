#include "actors/submit_lane.hpp"

#include <algorithm>
#include <thread>

namespace rdev::submit_lane {

namespace {

constexpr auto settle_pause = std::chrono::milliseconds(200); // more with each attempt

} // namespace

result<std::vector<submit_receipt>> write_durably(command_store& store, const std::vector<new_command>& batch,
                                                  int attempts) {
  auto receipts = store.submit(batch);
  for (int i = 0; i < attempts && !receipts && receipts.error().code == fault::unknown_outcome; ++i) {
    std::this_thread::sleep_for(i * settle_pause); // a server that comes back needs a moment
    std::vector<command_id> ids;
    for (const auto& one : batch)
      ids.push_back(one.what.id);
    auto there = store.existing(ids);
    if (!there)
      continue;
    if (there->empty()) {
      receipts = store.submit(batch);
      continue;
    }
    // One transaction: what is there was created, and what is missing was refused or replayed by it.
    std::vector<new_command> rest;
    std::copy_if(batch.begin(), batch.end(), std::back_inserter(rest),
                 [&](const auto& one) { return std::find(there->begin(), there->end(), one.what.id) == there->end(); });
    auto of_rest =
        rest.empty() ? result<std::vector<submit_receipt>>(std::vector<submit_receipt>{}) : store.submit(rest);
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

caf::result<written> state::on_write(const write& what) {
  auto receipts = write_durably(*store, what.batch, settings.settle_attempts);
  if (!receipts) {
    around.fault("submit_lane", receipts.error());
    return to_error(receipts.error());
  }
  return written{std::move(*receipts)};
}

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, config settings,
                              std::shared_ptr<command_store> store) {
  self->state.around = around;
  self->state.settings = settings;
  self->state.store = std::move(store);
  return {
      [=](const write& what) { return self->state.on_write(what); },
  };
}

} // namespace rdev::submit_lane
