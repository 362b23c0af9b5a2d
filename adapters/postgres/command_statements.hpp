// The SQL of adapters/postgres/command_tables.cpp.
#pragma once

#include "adapters/postgres/session.hpp"

namespace rdev::postgres {

const statements& command_statements();

} // namespace rdev::postgres
