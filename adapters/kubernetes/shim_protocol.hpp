// What the server and the shim of a pod say to each other (docs/durable-exec.md). Pure, without I/O.
#pragma once

#include "adapters/process_runner.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::kubernetes {

// The argument list of every exec: reads an order from the standard input and obeys it. No text of a user is in it.
const std::vector<std::string>& shim_argv();

// Where commands run: the container of a pod, as the shim sees it, and how its clock stands to ours.
struct shim_place {
  std::string mark;                        // of the run folder, the container's start and the machine's boot
  std::chrono::milliseconds clock_ahead{}; // of the pod's uptime to our boot clock
};

// Orders, ready to be sent. `nonce` marks the records of this connection: nobody can guess it (16 to 64 letters and
// digits).
struct shim_channel {
  std::string nonce;
  std::string run_folder;
};
std::string greet_order(const shim_channel& on);
// `from` = bytes of the two streams that are stored already: out, err.
std::string start_order(const shim_channel& on, const shim_place& where, const launch& what,
                        std::array<std::uint64_t, 2> from);
std::string attach_order(const shim_channel& on, const command_id& id, std::array<std::uint64_t, 2> from);
std::string cancel_order(const shim_channel& on, const shim_place& where, const command_id& id,
                         std::chrono::milliseconds grace);
std::string leftovers_order(const shim_channel& on, const command_id& id);
std::string forget_order(const shim_channel& on, const std::vector<command_id>& ids, std::chrono::seconds drop_marks);

// Takes the records out of what comes over the output channel; the rest is the command's own. Holds back only what may
// be the beginning of a record.
class record_splitter {
public:
  explicit record_splitter(const std::string& nonce);

  struct taken {
    std::string bytes;                 // of the command, in front of the record
    std::optional<std::string> record; // without its mark
  };
  // Call it until `record` is empty; with more bytes only the first time.
  taken take(std::string_view more);

private:
  std::string mark_;
  std::string held_;
};

// `here MARK UPTIME ID…`
struct greeting {
  std::string mark;
  std::chrono::milliseconds uptime{};
  std::vector<command_id> kept;
};
std::optional<greeting> parse_greeting(std::string_view record);

// A state as the shim says it: `running`, `exited …`, `lost REASON`; in a record `end …` with the sizes of the streams.
// Empty: it is none of these.
std::optional<run_status> parse_state(std::string_view record, const shim_place& where);

} // namespace rdev::kubernetes
