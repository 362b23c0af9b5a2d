// One request's walk through the house: identified -> metered -> answered. The only place that chains requests. Owns
// the request; its death is a fault for the asker. Runs: scheduled, one for each request under way, a child of INGRESS;
// it takes the next one when it has answered.
#pragma once

#include "actors/surroundings.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace rdev::exchange {

// Of one request whose key is changed again and again: of so many that change one key at once, one gets through each
// time.
inline constexpr int most_walks = 50;
inline constexpr int walks_without_pause = 3;
inline constexpr int looks_until_believed = 3; // that a key is as it was: a look may have begun before the change

struct walk_again {};
struct expired {}; // the deadline has passed: answer and end

// To its parent: it has answered, nobody owes it anything, it may be given the next request.
struct idle {
  caf::actor_id who = 0;
  struct stranger {
    std::string client_ip;
    std::chrono::milliseconds locked_out{0}; // for so long yet; 0 = it is not
  };
  std::optional<stranger> asker; // none: the key was good, or nothing is known
};
using parent = caf::typed_actor<caf::reacts_to<idle>>;

using actor = caf::typed_actor<caf::replies_to<ingress::perform>::with<api_reply>, caf::reacts_to<expired>,
                               caf::reacts_to<walk_again>>;
using reply = caf::typed_response_promise<api_reply>;

struct state {
  explicit state(actor::base* self_pointer) : self(self_pointer) {
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  ~state();
  reply on_perform(ingress::perform& what);
  void on_expired();

  // The steps, in the order of the contract's refusals.
  void identify();
  void turn_away(refusal why);
  void meter();
  void entitle();
  void ask_project();
  void parse();
  void hide_secrets();
  void carry_out(operation what);

  void submit(submit_command what);
  void replay_or_refuse(const std::string& project, const refusal& why);
  void cancel(const cancel_command& what);
  template <class Owner, class Request>
  void ask_owner(std::string_view owner, Request what);

  void identify_again(answer<outcome> read);
  void answer_with(answer<outcome> what);
  // False: it had answered already.
  bool deliver(answer<outcome> what);
  void fail(const caf::error& why);
  void record_refusal(const refusal& why);

  actor::base* self;
  surroundings around;
  parent keeper;
  api_request request;
  int unchanged = 0; // looks in a row that found the key as it was
  int walks = 1;     // more, when the key was changed under way: another walk, of who this is now
  std::optional<principal> who;
  std::optional<rate_state> rate;
  std::optional<idle::stranger> stranger; // as in idle
  reply promise;
  const char* name = "exchange";
};

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, parent keeper);

} // namespace rdev::exchange

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::exchange::expired)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::exchange::walk_again)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::exchange::idle)
