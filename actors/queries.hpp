// Owns: the connection of the reads lane. Loses nothing on death. Runs: detached, because the store blocks.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/command_store.hpp"

#include <caf/stateful_actor.hpp>

#include <functional>
#include <memory>

namespace rdev::queries {

struct config {
  std::size_t page_bytes = 512 * 1024;       // of output in one page
  std::size_t event_page_bytes = 256 * 1024; // the same, of a page of events: frames are larger than what they hold
  std::chrono::milliseconds gauge_interval{2000}; // how often the queue's gauges are read
  // Why no command of a project can be started now; empty: it waits for a free slot only. May be called at any time.
  std::function<std::string(const std::string& project)> why_waits;
};

struct read_gauges {};

using self_actor = actor::extend<caf::reacts_to<read_gauges>>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  caf::result<answer<outcome>> on_request(const request& asked);
  caf::result<events> on_events_after(const events_after& what);
  caf::result<behind> on_look_behind(const look_behind& what);
  caf::result<output_bytes> on_stored(const stored& what);
  void on_read_gauges();

  result<answer<outcome>> list(const request& asked, list_commands what);
  // The command if the asker sees its project; else the refusal to answer with.
  result<answer<command_view>> visible(const request& asked, const command_id& id);
  // Says of a queued command what else than a slot it waits for.
  void explain(command_view& command) const;
  // Whether output of an ended command was stored and is past its retention by now.
  result<bool> gone(const command_view& command);
  result<answer<outcome>> open(const request& asked, const open_stream& what);

  self_actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<command_queries> store;
  const char* name = "queries";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<command_queries> store);

} // namespace rdev::queries

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::queries::read_gauges)
