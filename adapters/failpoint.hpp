// Failpoints: places at durable borders where a test can have the process killed, stopped, delayed or refused. They
// exist in test builds only (option RDEV_FAILPOINTS); elsewhere pass() is nothing. RDEV_FAILPOINT="name:action[:nth]",
// several separated by commas: at the nth time (default 1) that the process passes `name`, once. Actions: `kill`
// (SIGKILL to itself), `stop` (SIGSTOP), `delay` (300 ms, at every pass), `error` (the call fails). tests/README.md
// lists the names.
#pragma once

#include <string>
#include <string_view>

namespace rdev::failpoint {

#ifdef RDEV_FAILPOINTS
inline constexpr bool built_in = true;

// True: the call is to fail.
bool pass(std::string_view name);
// The failpoints of the shim that strike in the shim that is started next, as text for its environment.
std::string of_next_shim();
#else
inline constexpr bool built_in = false;

inline bool pass(std::string_view /*name*/) {
  return false;
}
inline std::string of_next_shim() {
  return {};
}
#endif

} // namespace rdev::failpoint
