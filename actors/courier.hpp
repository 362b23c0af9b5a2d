// Delivers to one endpoint: so many requests at once, in order where that is asked for, with a circuit that leaves an
// endpoint alone which fails. Owns: what it has fetched and what is under way. Loses these on death: they are still in
// the store, and are sent again. Runs: scheduled, one for each endpoint of this node, a child of WEBHOOKS.
#pragma once

#include "actors/circuit.hpp"
#include "actors/retry_schedule.hpp"
#include "actors/surroundings.hpp"
#include "adapters/webhook_sender.hpp"
#include "adapters/webhook_store.hpp"

#include <caf/stateful_actor.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <unordered_map>
#include <unordered_set>

namespace rdev::courier {

struct config {
  int concurrency = 8; // requests to an endpoint at once; 1 where order is asked for
  int buffer = 64;     // deliveries that are fetched at once
  retry_schedule retries{{}};
  circuit_limits limits{};
};

// What it delivers to, as it is now, and until when on the boot clock this node may do so.
struct serve {
  owned_webhook what;
  std::chrono::milliseconds good_until{0};
};
struct wake {}; // something waits that may be due
struct stop {}; // start nothing more, and say `stopped` when nothing is under way
struct sent {   // from the sender's thread
  delivery_id delivery;
  sent_message how;
};
struct go_on {}; // the circuit or the endpoint's wish may let something through again

// To its parent. Whatever was attempted before is written before the next is fetched.
struct fetch {
  webhook_id webhook;
  std::int64_t token = 0;
  int most = 0;
};
struct fetched {
  std::vector<due_delivery> all;
};
struct attempted {
  attempt_record what;
};
struct stopped {
  webhook_id webhook;
  std::int64_t token = 0;
};

using parent =
    caf::typed_actor<caf::replies_to<fetch>::with<fetched>, caf::reacts_to<attempted>, caf::reacts_to<stopped>>;
using actor = caf::typed_actor<caf::reacts_to<serve>, caf::reacts_to<wake>, caf::reacts_to<stop>, caf::reacts_to<sent>,
                               caf::reacts_to<go_on>>;

struct state {
  struct under_way {
    due_delivery what;
    std::uint64_t pass = 0; // of the circuit
    std::chrono::milliseconds since{0};
    int revision = 0; // of the endpoint that it was sent to
  };

  explicit state(actor::base* self_pointer) : self(self_pointer) {
  }
  void on_serve(serve& what);
  void on_wake();
  void on_stop();
  void on_sent(sent& what);
  void on_go_on();

  void hide(const signing_secrets& secrets);
  void start_afresh();
  void replenish();
  void take(std::vector<due_delivery>& all);
  void forget_fetched();
  void pump();
  bool may_send();
  void send_one(due_delivery what);
  attempt_record judged(const under_way& flight, sent_message& how);
  void wait_until(std::chrono::milliseconds then);
  [[nodiscard]] std::size_t at_once() const;

  actor::base* self;
  surroundings around;
  config settings;
  parent keeper;
  std::shared_ptr<webhook_sender> sender;
  owned_webhook endpoint;
  std::vector<redactor::registration> hidden; // its secrets
  std::chrono::milliseconds good_until{0};
  std::chrono::milliseconds leave_alone_until{0}; // the endpoint's own wish
  std::deque<due_delivery> buffer;
  std::unordered_map<delivery_id, under_way> flights;
  std::unordered_set<delivery_id> settled; // that came back while others are being fetched
  circuit breaker;
  bool fetching = false;
  bool outdated = false; // what is being fetched was read before something that it does not know of
  bool more = true;      // the store may have some that are not in the buffer
  bool stopping = false;
  std::chrono::milliseconds timer_is_set_for{0}; // 0: none is
  std::minstd_rand dice{std::random_device{}()};
  const char* name = "courier";
};

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, config settings, parent keeper,
                              std::shared_ptr<webhook_sender> sender);

} // namespace rdev::courier

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::courier::serve)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::courier::wake)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::courier::stop)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::courier::sent)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::courier::go_on)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::courier::fetch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::courier::fetched)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::courier::attempted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::courier::stopped)
