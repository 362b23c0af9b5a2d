// Owns: the connection of the output lane and the appends not yet written. Loses on death: those appends; their owners
// ask again, since the bytes are in the runner's files. Runs: detached, because the store blocks.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/command_store.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <memory>
#include <vector>

namespace rdev::output_log {

struct config {
  std::size_t batch_bytes = 4 * 1024 * 1024; // of output in one transaction
};

struct flush {};

using self_actor = actor::extend<caf::reacts_to<flush>>;
using reply = caf::typed_response_promise<appended>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  ~state();
  reply on_append(append& what);
  void on_flush();
  void write(std::size_t count);

  self_actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<output_store> store;
  std::vector<output_append> waiting;
  std::vector<reply> promises;
  const char* name = "output_log";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<output_store> store);

} // namespace rdev::output_log

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::output_log::flush)
