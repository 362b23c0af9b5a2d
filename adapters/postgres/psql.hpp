#pragma once

#include "messages/values/secret.hpp"

#include <string>
#include <vector>

namespace rdev::postgres {

// Becomes `psql` on this database, with `arguments`. The connection's settings reach it by environment, so that no
// password stands in its argv. Returns only when that fails: what went wrong.
std::string become_psql(const std::string& conninfo, const std::vector<std::string>& arguments);

// Of libpq keywords or a URL: the password, and its pieces where an `@` in it is not encoded.
std::vector<secret> passwords_in(const std::string& conninfo);

} // namespace rdev::postgres
