// What every actor is given: where the others are, the log, the counters, the health board, the circuits and what keeps
// secrets out of records. All of them outlive the actor system.
#pragma once

#include "actors/directory.hpp"
#include "actors/health_board.hpp"
#include "adapters/censor.hpp"
#include "adapters/log.hpp"
#include "adapters/metrics.hpp"
#include "messages/faults.hpp"
#include "messages/values/commands.hpp"
#include "messages/values/time.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace rdev {

class circuit_board;

struct surroundings {
  directory* peers = nullptr;
  rdev::log* log = nullptr;
  rdev::metrics* metrics = nullptr;
  health_board* health = nullptr;
  circuit_board* circuits = nullptr;                          // or none
  const censor* audited = nullptr;                            // of audit records; or none
  std::chrono::milliseconds (*boot_clock)() = boot_clock_now; // of the machine, or a test's

  // One request's way through the house, a line per message (log.level = "debug").
  void trace(const request_context& from, std::string_view sender, std::string_view receiver,
             std::string_view message) const {
    if (log->enabled(log_level::debug))
      log->debug("message", {{"request_id", from.request_id},
                             {"from", std::string(sender)},
                             {"to", std::string(receiver)},
                             {"message", std::string(message)}});
  }

  // Kept by whoever holds the secret, as long as it does.
  [[nodiscard]] redactor::registration hide(const secret& value) const {
    return audited != nullptr ? audited->hide(value) : redactor::registration();
  }

  [[nodiscard]] std::vector<redactor::registration> hide(const std::vector<env_var>& values) const {
    std::vector<redactor::registration> out;
    for (const auto& one : values)
      out.push_back(hide(one.value));
    return out;
  }

  // A dependency failed: one line, one count. The caller decides what becomes of the request. Whatever it is in whose
  // transaction its audit record could not be written, that counts by itself, too.
  void fault(std::string_view where, const failure& why) const {
    metrics->fault_seen(where);
    if (why.message.find("audit_log") != std::string::npos)
      metrics->fault_seen("audit_unwritable");
    log->warn("fault",
              {{"where", std::string(where)}, {"fault", std::string(to_string(why.code))}, {"error", why.message}});
  }
};

} // namespace rdev
