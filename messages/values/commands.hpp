// Commands: what is asked for, how it goes, how it ended.
#pragma once

#include "messages/values/ids.hpp"
#include "messages/values/secret.hpp"
#include "messages/values/time.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev {

enum class command_type : std::uint8_t { shell, git, claude };
enum class priority : std::uint8_t { critical, high, normal, low };
enum class command_status : std::uint8_t { queued, running, completed, failed, timed_out, cancelled, lost };
enum class stream : std::uint8_t { out, err };

std::string_view name_of(command_type x);
std::string_view name_of(priority x);
std::string_view name_of(command_status x);
std::string_view name_of(stream x); // `stdout`, `stderr`
std::optional<command_type> command_type_from(std::string_view name);
std::optional<priority> priority_from(std::string_view name);
std::optional<command_status> command_status_from(std::string_view name);

inline bool ended(command_status s) {
  return s != command_status::queued && s != command_status::running;
}

struct env_var {
  std::string name;
  secret value;
};

// What a client asks to be run. Exactly one of `script` (shell text), `argv` (shell array, git arguments without
// `git`) and `prompt` (claude) is used, by `type`.
struct submission {
  command_type type = command_type::shell;
  std::string project;
  std::optional<std::string> script;
  std::vector<std::string> argv;
  std::string prompt;
  std::vector<env_var> env;
  std::string workdir;                         // relative to the workspace, or empty
  std::optional<std::chrono::seconds> timeout; // none = commands.default_timeout
  rdev::priority priority = rdev::priority::normal;
};

// A command as the store keeps it while it is alive.
struct command {
  command_id id;
  key_id key;
  key_id family;
  submission what; // with its time-out decided
  timestamp created_at{};
};

// How much of a stream has been stored and delivered.
struct stream_receipt {
  std::uint64_t bytes = 0;
  std::string sha256;            // 64 lower-case hex digits, of the bytes stored
  std::uint64_t total_bytes = 0; // what the process wrote
  [[nodiscard]] bool truncated() const {
    return bytes < total_bytes;
  }
};

// How a command ended; written once.
struct command_result {
  command_status status = command_status::lost;
  std::optional<std::string> reason;
  std::optional<int> exit_code;      // 128+n when killed by signal n
  std::optional<std::string> signal; // `SIGKILL`, when known to be one
  int survivors = 0;                 // processes that resisted a cancel or time-out, or could not be found dead
  std::optional<timestamp> started_at;
  timestamp finished_at{}; // the store sets it when it writes the result
  stream_receipt out;
  stream_receipt err;
  bool complete = false; // exit status known, nothing truncated or missing
};

// A command as GET /commands/{id} shows it.
struct command_view {
  command_id id;
  std::string project;
  command_type type = command_type::shell;
  command_status status = command_status::queued;
  std::optional<std::string> waiting_for;
  rdev::priority priority = rdev::priority::normal;
  timestamp created_at{};
  std::optional<timestamp> started_at;
  std::optional<command_result> result; // present once it has ended
  std::vector<std::string> env_names;
  bool cancel_requested = false;
};

// Why a running command is to be ended.
enum class cancel_reason : std::uint8_t { user, timeout };

// The right to run one command, as the store gave it out. Every later write about the command carries the token; a
// stale one is refused by the store.
struct lease {
  rdev::command what;
  std::int64_t token = 0;
  int attempt = 1;          // 1 = the first owner; more = adopted
  std::string start_intent; // boot or container tag under which a start was allowed
  std::string scope;        // where it may be attached to: of the runner that it was queued for
  timestamp started_at{};
  std::chrono::milliseconds age{0};      // since started_at, when the store gave it out
  std::chrono::milliseconds taken_at{0}; // of the boot clock, before the store was asked for it
  std::optional<cancel_reason> cancel;
  std::optional<std::string> unreadable; // why its environment cannot be opened: it must not be started
  // Where the stored output ends: the owner goes on from here.
  std::uint32_t next_seq = 3; // seq_first_chunk, see output.hpp
  std::uint64_t out_bytes = 0;
  std::uint64_t err_bytes = 0;
  bool capped = false; // the cap was reached: nothing more is stored
};

} // namespace rdev
