// Plain tables for people.
#pragma once

#include "adapters/json/json.hpp"

#include <string>
#include <vector>

namespace rdev::cli {

using table_row = std::vector<std::string>;

// Aligned columns, two blanks between them, a line each; the first row is the head. What a terminal would obey is
// replaced, and empty cells become `-`.
std::string table_of(const std::vector<table_row>& rows);

// A JSON value as a cell: text as it is, numbers, yes / no, lists with commas; empty for null, nothing and empty lists.
std::string cell_of(const json::value& v);
// Milliseconds for people: `350ms`, `4.2s`, `3m05s`, `2h03m`; empty for null.
std::string duration_cell(const json::value& ms);

} // namespace rdev::cli
