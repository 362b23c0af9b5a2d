// Owns: the exchanges that are under way, and ends those that are overdue; keeps some that have answered, because
// making one costs as much as all of its messages. Lets only a few requests of addresses that are locked out in at a
// time, so that a flood of guesses makes nobody else wait. Loses them on death: their askers get a fault. Runs:
// scheduled.
#pragma once

#include "actors/exchange.hpp"
#include "actors/surroundings.hpp"

#include <caf/stateful_actor.hpp>

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace rdev::ingress {

struct config {
  std::chrono::milliseconds deadline{10000}; // of a request; then its outcome is unknown
  std::chrono::milliseconds sweep{500};      // between looks for overdue exchanges
  std::size_t most_spare = 256;              // exchanges that are kept for later requests
  // Of addresses (IPv6: /64) that are locked out:
  std::size_t most_locked_out = 4;               // requests under way at once
  std::chrono::milliseconds longest_place{1000}; // that one of them counts for so
  std::size_t most_waiting = 4096;               // others, of all these addresses; of one no more than are free yet
  std::size_t most_remembered = 65'536;          // addresses that are known to be locked out
  std::chrono::milliseconds remembered{2000};    // since the latest answer that said so: a ban may be lifted
};

struct sweep {};

using reply = caf::typed_response_promise<api_reply>;
using self_actor = actor::extend<caf::reacts_to<sweep>, caf::reacts_to<exchange::idle>>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  ~state();
  caf::result<api_reply> on_perform(perform& what);
  exchange::actor open_exchange(caf::actor_clock::time_point since, bool for_locked_out);
  void close_exchange(caf::actor_id who);
  void let_in();
  void refuse_overdue(caf::actor_clock::time_point now);
  [[nodiscard]] api_reply refused(const perform& what, refusal why) const;
  // Of the asker, if it is known to be locked out.
  [[nodiscard]] std::optional<ip_network> locked_out_network(const std::string& client_ip) const;
  void learn(const exchange::idle::stranger& asker);
  void on_idle(const exchange::idle& what);
  void on_sweep();

  struct under_way {
    exchange::actor one;
    caf::actor_clock::time_point since;
    std::optional<caf::actor_clock::time_point> place_since; // it has one of those for who is locked out
  };
  struct held_back {
    perform what;
    reply promise;
    caf::actor_clock::time_point since;
  };

  self_actor::base* self;
  surroundings around;
  config settings;
  std::unordered_map<caf::actor_id, under_way> exchanges;
  std::vector<exchange::actor> spare;                            // have answered, and wait for the next request
  std::map<ip_network, caf::actor_clock::time_point> locked_out; // until when, by the latest answers
  std::map<ip_network, std::deque<held_back>> waiting;           // requests of these, and of others that were
  std::deque<ip_network> turns;                                  // of `waiting`: whose turn is next
  std::size_t held = 0;                                          // requests in `waiting`
  std::size_t inside = 0;                                        // places that are taken
  const char* name = "ingress";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings);

} // namespace rdev::ingress

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::ingress::sweep)
