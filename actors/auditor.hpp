// Owns: the connection to the chain of the audit log; verifications under way. Loses on death: those; their askers get
// a fault. Runs: detached, because the store blocks.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/audit_log.hpp"
#include "adapters/audit_verification.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace rdev::auditor {

struct config {
  std::chrono::milliseconds record_again{60'000}; // who reads page after page is on record once in so long
  std::size_t most_verifications = 4;             // at once
  std::int64_t most_checked = 500'000;            // records of one verification; the program itself has no such limit
};

struct go_on {};

using self_actor = actor::extend<caf::reacts_to<go_on>>;

struct state {
  using reply = result<answer<outcome>>;

  explicit state(self_actor::base* self_pointer) : self(self_pointer) {
  }
  ~state();
  caf::result<answer<outcome>> on_request(const request& asked);
  void on_go_on();

  // Nothing is read by somebody who is not on record.
  result<done> record(const request& asked, const char* action);
  bool is_on_record(const request& asked, const list_audit& what);
  reply carry_out(const request& asked, const list_audit& what);
  reply carry_out(const request& asked, const list_audit_keys& what);
  caf::result<answer<outcome>> begin(const request& asked, const verify_audit& what);

  struct under_way {
    audit_chain::verification one;
    audit_chain::verification_range range;
    caf::typed_response_promise<answer<outcome>> promise;
  };

  // The reading of a key from one address that was put on record last.
  struct reading {
    audit_query what;
    std::int64_t through = 0; // so far it has got since then
    std::chrono::milliseconds recorded{};
  };

  self_actor::base* self;
  surroundings around;
  config settings;
  std::shared_ptr<audit_reader> reader;
  std::shared_ptr<audit_log> log;
  std::deque<under_way> verifications;
  std::map<std::pair<key_id, std::string>, reading> readings; // by address
  const char* name = "auditor";
};

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<audit_reader> reader, std::shared_ptr<audit_log> log);

} // namespace rdev::auditor

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::auditor::go_on)
