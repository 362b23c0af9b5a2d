// The exit code of `rdev run` and `rdev tail`, and what to say about it.
#pragma once

#include "adapters/cli/receiver.hpp"

#include <string>
#include <vector>

namespace rdev::cli {

inline constexpr int own_trouble = 125; // rdev's own, as with timeout(1), env(1) and docker(1)
inline constexpr int time_is_up = 124;

struct conclusion {
  int code = own_trouble;
  std::vector<std::string> remarks; // for stderr, a line each
};

// `signal` = the one that asked us to end (SIGINT, SIGTERM), 0 = none.
conclusion conclude(const completion& end, int signal);

} // namespace rdev::cli
