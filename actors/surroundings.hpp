// What every actor is given: where the others are, the log, the counters, the health board and the circuits. All of
// them outlive the actor system.
#pragma once

#include "actors/directory.hpp"
#include "actors/health_board.hpp"
#include "adapters/log.hpp"
#include "adapters/metrics.hpp"
#include "messages/faults.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <string>
#include <string_view>

namespace rdev {

class circuit_board;

struct surroundings {
  directory* peers = nullptr;
  rdev::log* log = nullptr;
  rdev::metrics* metrics = nullptr;
  health_board* health = nullptr;
  circuit_board* circuits = nullptr; // or none

  // One request's way through the house, a line per message (log.level = "debug").
  void trace(const request_context& from, std::string_view sender, std::string_view receiver,
             std::string_view message) const {
    if (log->enabled(log_level::debug))
      log->debug("message", {{"request_id", from.request_id},
                             {"from", std::string(sender)},
                             {"to", std::string(receiver)},
                             {"message", std::string(message)}});
  }

  // A dependency failed: one line, one count. The caller decides what becomes of the request.
  void fault(std::string_view where, const failure& why) const {
    metrics->fault_seen(where);
    log->warn("fault",
              {{"where", std::string(where)}, {"fault", std::string(to_string(why.code))}, {"error", why.message}});
  }
};

} // namespace rdev
