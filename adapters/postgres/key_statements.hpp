// The SQL of adapters/postgres/key_table.cpp.
#pragma once

#include "adapters/postgres/session.hpp"

namespace rdev::postgres {

constexpr int key_column_count = 20; // of a key, where a statement gives keys

const statements& key_statements();

} // namespace rdev::postgres
