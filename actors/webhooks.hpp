// Owns: the connection to the outbox, which endpoints this node delivers to (a COURIER each), and attempts that are not
// written down yet. Loses the latter on death: those deliveries are sent again. Runs: detached, because the store
// blocks.
#pragma once

#include "actors/courier.hpp"

#include <caf/typed_response_promise.hpp>

#include <map>

namespace rdev::webhooks {

struct config {
  node_id node;
  std::chrono::milliseconds look{500};      // between looks for endpoints and for what is due
  std::chrono::milliseconds upkeep{10'000}; // between looks at what waits, and for how long it fails
  std::chrono::milliseconds disable_after{5 * 24 * 3'600'000L}; // an endpoint that has failed for so long is disabled
  std::chrono::milliseconds first_second_look{2}; // at facts that an open transaction kept back; doubles ...
  int second_looks = 7;                           // ... so often
  int spread_at_once = 100; // facts that are made into deliveries with one statement, for all endpoints
  int record_at_once = 500; // attempts that are written with one statement
  courier::config courier;
};

struct look {};
struct spread {};
struct second_look {}; // at facts that an open transaction kept back
struct flush {};       // whatever was attempted before is written with one statement
struct upkeep {};

using self_actor =
    actor::extend<caf::reacts_to<look>, caf::reacts_to<spread>, caf::reacts_to<second_look>, caf::reacts_to<flush>,
                  caf::reacts_to<upkeep>, caf::replies_to<courier::fetch>::with<courier::fetched>,
                  caf::reacts_to<courier::attempted>, caf::reacts_to<courier::stopped>>;

struct state {
  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  ~state();
  void on_committed();
  void on_changed();
  void on_look();
  void on_spread();
  void on_second_look();
  void on_flush();
  void on_upkeep();
  caf::result<courier::fetched> on_fetch(const courier::fetch& what);
  void on_attempted(courier::attempted& what);
  void on_stopped(const courier::stopped& what);
  caf::result<rested> on_rest();
  void on_down(const caf::down_msg& down);

  void serve(ownership& now, std::chrono::milliseconds asked_at);
  void give_up(const webhook_id& id);
  void spread_now();
  result<done> write_down();
  void all_may_have_stopped();

  struct on_duty {
    courier::actor one;
    std::int64_t token = 0;
    bool stopping = false;
  };

  self_actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<webhook_outbox> store;
  std::shared_ptr<webhook_sender> sender;
  std::map<webhook_id, on_duty> couriers;
  std::vector<attempt_record> unwritten;
  bool anyone_listens = false; // there is an endpoint, of whatever node
  bool spread_is_due = false;
  bool second_look_is_set = false;
  bool flush_is_due = false;
  int looks_left = 0; // at facts that may be kept back by an open transaction
  caf::typed_response_promise<rested> resting;
  bool leaving = false;
  const char* name = "webhooks";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<webhook_outbox> store, std::shared_ptr<webhook_sender> sender);

} // namespace rdev::webhooks

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::webhooks::look)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::webhooks::spread)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::webhooks::second_look)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::webhooks::flush)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::webhooks::upkeep)
