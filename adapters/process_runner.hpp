// Port: where commands really run. A command is not tied to the process that started it: its output goes to files,
// its exit status is written atomically, and whoever asks later finds both (docs/architecture.md, durable exec).
// Calls are thread-safe, short, and never throw.
#pragma once

#include "messages/values/commands.hpp"
#include "messages/values/result.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rdev {

// All that is needed to start a command. Reaches the other side over a pipe, never in argv, URL or environment.
struct launch {
  command_id id;
  std::string project;
  std::optional<std::string> script; // run as a file by /bin/sh
  std::vector<std::string> argv;     // otherwise: this program, without a shell
  std::string stdin_text;            // empty = /dev/null
  std::vector<env_var> env;          // of the request; the runner adds its own few
  std::string workdir;               // relative to the workspace, or empty
  std::uint64_t max_bytes = 0;       // of each stream's file; what is written beyond is counted and dropped
  std::string missing_hint;          // written to stderr when the program is not found (exit code 127)
  // It is ended by itself after so long, also while no server lives; zero = never. TERM first, KILL after `grace`.
  std::chrono::milliseconds timeout{0};
  std::chrono::milliseconds grace{0};
  // Nothing is started later than this (boot clock): who asks may have lost the command since. Zero = no limit.
  std::chrono::milliseconds valid_until{0};
};

enum class run_state : std::uint8_t {
  absent,    // never started, may be started
  tombstone, // never started, never will be
  running,
  exited,
  lost, // started, or may have been, and gone without an exit status
};

struct run_status {
  run_state state = run_state::absent;
  std::string reason;        // of lost
  int exit_code = 0;         // exited: 128+n when killed by signal n
  int signal = 0;            // exited: n, or 0
  bool killed_by_us = false; // exited: a cancel or the time-out had begun before the main process ended
  bool timed_out = false;    // exited: it was the time-out
  int survivors = 0;         // exited after a cancel; lost: what could not be killed
  std::optional<std::chrono::milliseconds> ended_ago; // exited
  bool ending = false;                                // a cancel is at work
  // Exited: final. Running: as far as is known. `total` counts dropped bytes too.
  std::uint64_t out_bytes = 0;
  std::uint64_t out_total = 0;
  std::uint64_t err_bytes = 0;
  std::uint64_t err_total = 0;
  bool output_lost = false; // the disk was full: bytes are missing
};

class process_runner {
public:
  virtual ~process_runner() = default;

  // Identity of the place where projects are and commands run: runners of the same scope can attach to each other's
  // commands.
  virtual std::string scope() = 0;
  // Identity of the machine (or container), its boot and its run folders; a start intent of another one can never be
  // fulfilled.
  virtual std::string boot_tag() = 0;
  // Why not: what of the other tag is gone. Empty when it is this one's.
  virtual std::string why_gone(const std::string& start_intent) = 0;
  // Of which projects commands can be started now, each with the start intent that its commands get. None: of all, with
  // the boot tag.
  virtual std::optional<std::map<std::string, std::string>> places() {
    return std::nullopt;
  }
  // Why no command of this project can be started now, for people; empty: they can.
  virtual std::string why_waits(const std::string& /*project*/) {
    return {};
  }
  // Somebody may have started this command: where, and how much of its two streams is stored. Said before anything else
  // is asked about a command.
  virtual void expect(const command_id& /*id*/, const std::string& /*project*/,
                      std::array<std::uint64_t, 2> /*stored*/) {
  }
  // Starts it unless it was started before; safe to repeat in every state. Fault `deadline`: too late (valid_until).
  virtual result<run_status> start(const launch& what) = 0;
  virtual result<run_status> status(const command_id& id) = 0;
  // At most `most` bytes of a stream's file from `offset`; empty = nothing there yet.
  virtual result<std::string> read(const command_id& id, stream which, std::uint64_t offset, std::size_t most) = 0;
  // Never started: makes sure it never will be (state `tombstone`). Running: TERM to the whole tree, KILL after
  // `grace`; returns at once, the end is seen by `status`.
  virtual result<run_status> cancel(const command_id& id, std::chrono::milliseconds grace) = 0;
  // KILL to whatever is left of a command that nobody stands over any more; answers how many processes resist.
  virtual result<int> end_leftovers(const command_id& id) = 0;
  // Removes what is kept of an ended command, but for a mark that it can never be started again.
  virtual result<done> forget(const command_id& id) = 0;
  // Commands of which more is kept than that mark.
  virtual result<std::vector<command_id>> kept() = 0;
  // Removes marks that are older: nobody can ask for the start of their commands any more.
  virtual result<done> drop_marks(std::chrono::seconds older_than) = 0;
  // `changed` is called, from a thread of the runner, whenever output grew or a command ended. Calls may be merged
  // and may be superfluous; they are never missing for longer than a second. The former function is called no more
  // once this has returned.
  virtual void watch(std::function<void(const command_id&)> changed) = 0;
};

} // namespace rdev
