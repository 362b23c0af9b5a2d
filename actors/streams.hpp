// Owns: the readers that wait for something new. Loses them on death: their asks fail, and they come again with the
// last event id they saw. Runs: scheduled.
#pragma once

#include "actors/surroundings.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <list>
#include <unordered_map>
#include <unordered_set>

namespace rdev::streams {

struct config {
  std::size_t places_at_once = 256;              // in one question of a poll
  std::chrono::milliseconds poll_interval{1000}; // at most so long does a lost notification delay a reader
};

struct poll {};

using self_actor = actor::extend<caf::reacts_to<poll>>;
using reply = caf::typed_response_promise<answer<stream_news>>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  reply on_read(const ingress::read_stream& what);
  void on_grown(const grown& what);
  void on_project_changed(const project_changed& what);
  void on_recheck(const recheck& what);
  void on_revoke(const revoke& what);
  void on_drain();
  void on_poll();

  struct reader {
    ingress::read_stream what;
    reply promise;
    caf::actor_clock::time_point deadline;
    bool asking = false;           // a page is being fetched
    bool again = false;            // something came meanwhile
    bool confirming = false;       // whether the command whose credential it was opened with still runs
    std::optional<project> seen{}; // of its project, what it was not told yet
  };
  using readers = std::unordered_map<std::uint64_t, reader>;

  void ask(std::uint64_t number);
  void ask_all(const command_id& command);
  void look_behind(std::vector<event_place> places);
  // Asks for what is behind the position of a reader, or tells it of its project, while who opened it may read.
  void look(std::uint64_t number);
  void go_on(std::uint64_t number);
  void on_page(std::uint64_t number, queries::events found);
  void answer_with(std::uint64_t number, answer<stream_news> news);
  void fail(std::uint64_t number, const caf::error& why);

  self_actor::base* self;
  surroundings around;
  config settings;
  readers waiting;
  std::unordered_multimap<command_id, std::uint64_t> by_command;
  std::unordered_set<key_id> revoked; // while this process lives: few, and small
  std::uint64_t next_number = 1;
  std::size_t looking = 0; // questions of the last poll without an answer
  bool draining = false;
  const char* name = "streams";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings);

} // namespace rdev::streams

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::streams::poll)
