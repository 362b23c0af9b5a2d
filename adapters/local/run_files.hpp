// What is kept of a command, as shim and server write and read it (docs/durable-exec.md). `RUN/<command>.start` stands
// beside the folder `RUN/<command>/`, so that it is still there when the folder is gone:
//   start   made with O_EXCL: who makes it decides whether the command runs. `run …`, or a word
//   out err bytes of the two streams          code   how it ended; appears whole (rename)
//   cancel  grace in milliseconds             script the text of a shell command
#pragma once

#include "adapters/descriptor.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace rdev::local {

enum class claim : std::uint8_t { won, taken, failed };

inline constexpr std::string_view start_suffix = ".start";
inline constexpr std::string_view temporary_suffix = ".tmp";

// Tries to make the start file of this run folder; it stays empty until write_start().
claim take_start(const std::string& folder, descriptor& file);

enum class start_mark : std::uint8_t {
  run,
  cancelled, // it never ran and never will
  ended,     // its end is recorded in the store: nothing is kept of it but this
  lost,      // whoever was starting it did not come to an end with that
};
struct start_record {
  start_mark mark = start_mark::run;
  // Of `run`:
  pid_t shim = 0;
  std::uint64_t starttime = 0;          // clock ticks since boot: tells a process from a later one of the same number
  std::array<std::uint64_t, 2> pipes{}; // inodes of the command's stdout and stderr: whoever has them open is its own
  std::string boot_tag;
};
bool write_start(const descriptor& file, const start_record& record);
// Puts another start file in the place of whatever is there, in one step.
bool replace_start(const std::string& folder, start_mark mark);
// Makes it `ended`, in place: a file system may flush a file that is renamed over another one, and this is for every
// command. A death in the middle leaves `ended` with a rest behind it, which is read as such and mended by the sweep.
bool mark_ended(const std::string& folder);
// Whether the start file is still this one.
bool owns_start(const std::string& folder, const descriptor& file);
// What is to be read of a start file. Whoever cannot read it knows nothing: not even that it is not there.
enum class start_file : std::uint8_t { absent, being_written, there, unreadable };
start_file read_start(const std::string& folder, start_record& out);
// Of a start file: nothing is kept of its command but this. Without reading it, since there may be many.
bool is_ended_mark(const std::string& path);

struct end_record {
  int exit_code = 0;
  int signal = 0;
  bool killed = false;
  bool timed_out = false; // killed because its time was up
  int survivors = 0;
  std::chrono::milliseconds at{0}; // of the boot clock
  std::uint64_t out_bytes = 0;
  std::uint64_t out_total = 0;
  std::uint64_t err_bytes = 0;
  std::uint64_t err_total = 0;
  bool output_lost = false;
};
// Sets room aside, so that a full disk cannot keep the end from being recorded.
bool reserve_end(const std::string& folder);
bool write_end(const std::string& folder, const end_record& record);
// Empty with errno ENOENT: there is none. Empty with another one: it cannot be read.
std::optional<end_record> read_end(const std::string& folder);

// Whole content of a small file; empty when it cannot be read, errno says why.
std::optional<std::string> read_small_file(const std::string& path);
bool write_small_file(const std::string& path, std::string_view text, mode_t mode);
bool write_all(int fd, std::string_view bytes);

} // namespace rdev::local
