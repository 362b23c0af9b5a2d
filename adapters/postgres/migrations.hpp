#pragma once

#include "messages/values/result.hpp"

#include <string>
#include <vector>

namespace rdev::postgres {

struct migration {
  int version = 0;
  std::string name;
  std::string sql;
};
const std::vector<migration>& all_migrations();

// Brings the schema up to this program's; under an advisory lock, each migration in a transaction of its own. Fault
// `invalid`: the schema is newer than this program, or a migration that was applied reads differently here.
result<int> migrate(const std::string& conninfo);

} // namespace rdev::postgres
