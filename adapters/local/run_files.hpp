// The files of a command's run folder, as shim and server write and read them (docs/durable-exec.md).
//   start   made with O_EXCL: who makes it decides whether the command runs. `run PID STARTTIME TAG` or `cancelled`
//   out err bytes of the two streams          code   how it ended; appears whole (rename)
//   cancel  grace in milliseconds             script the text of a shell command
#pragma once

#include "adapters/descriptor.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace rdev::local {

enum class claim : std::uint8_t { won, taken, failed };

// Tries to make `start`; the file stays empty until write_start().
claim take_start(const std::string& folder, descriptor& file);

struct start_record {
  bool cancelled = false;
  pid_t shim = 0;
  std::uint64_t starttime = 0; // clock ticks since boot: tells a process from a later one of the same number
  std::string boot_tag;
};
bool write_start(const descriptor& file, const start_record& record);
// Empty: there is none, or it is still being written (`being_written`).
std::optional<start_record> read_start(const std::string& folder, bool& being_written);

struct end_record {
  int exit_code = 0;
  int signal = 0;
  bool killed = false;
  int survivors = 0;
  std::uint64_t out_bytes = 0;
  std::uint64_t out_total = 0;
  std::uint64_t err_bytes = 0;
  std::uint64_t err_total = 0;
  bool output_lost = false;
};
// Sets room aside, so that a full disk cannot keep the end from being recorded.
bool reserve_end(const std::string& folder);
bool write_end(const std::string& folder, const end_record& record);
std::optional<end_record> read_end(const std::string& folder);

// Whole content of a small file; empty when it cannot be read.
std::optional<std::string> read_small_file(const std::string& path);
bool write_small_file(const std::string& path, std::string_view text, mode_t mode);
bool write_all(int fd, std::string_view bytes);

// Field 22 of /proc/PID/stat; empty when the process is gone or a zombie.
std::optional<std::uint64_t> starttime_of(pid_t pid);

} // namespace rdev::local
