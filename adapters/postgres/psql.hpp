#pragma once

#include <string>
#include <vector>

namespace rdev::postgres {

// Becomes `psql` on this database, with `arguments`. The connection's settings reach it by environment, so that no
// password stands in its argv. Returns only when that fails: what went wrong.
std::string become_psql(const std::string& conninfo, const std::vector<std::string>& arguments);

} // namespace rdev::postgres
