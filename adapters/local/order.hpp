// What the server tells the shim, over a pipe: complete or nothing. No text of a command is ever in argv or
// environment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::local {

struct order {
  std::string folder;       // run folder of this command; exists
  std::string boot_tag;     // recorded in `start`
  std::string working_dir;  // where the command starts
  bool change_user = false; // become uid, gid and groups below
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;
  std::optional<std::string> script;    // written to a file and run by /bin/sh
  std::vector<std::string> argv;        // otherwise
  std::vector<std::string> environment; // `NAME=value`
  std::string stdin_text;               // empty = /dev/null
  std::uint64_t max_bytes = 0;          // of each stream's file
  std::string missing_hint;             // second line of the message when the program is not found
  std::uint64_t timeout_ms = 0;         // it is ended after so long; 0 = never
  std::uint64_t grace_ms = 0;           // between TERM and KILL at the time-out
  std::uint64_t valid_until_ms = 0;     // of the boot clock: not started later; 0 = no limit
};

std::string encode(const order& o);
// Empty when `bytes` is anything but one whole order.
std::optional<order> decode(std::string_view bytes);

} // namespace rdev::local
