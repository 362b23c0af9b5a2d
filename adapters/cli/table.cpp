#include "adapters/cli/table.hpp"

#include "adapters/cli/terminal_output.hpp"

#include <algorithm>

namespace rdev::cli {

namespace {

// Code points, which is near enough to columns.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

std::string two_digits(std::int64_t n) {
  return (n < 10 ? "0" : "") + std::to_string(n);
}

} // namespace

std::string table_of(const std::vector<table_row>& rows) {
  std::vector<table_row> clean;
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    auto& cells = clean.emplace_back();
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      cells.push_back(row[i].empty() ? "-" : harmless(row[i]));
      widths[i] = std::max(widths[i], width_of(cells[i]));
    }
  }
  std::string out;
  for (const auto& row : clean) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size())
        out.append(widths[i] - width_of(row[i]) + 2, ' ');
    }
    out += '\n';
  }
  return out;
}

std::string cell_of(const json::value& v) {
  if (!v.exists() || v.is_null())
    return {};
  if (v.is_string())
    return std::string(v.as_string());
  if (v.is_boolean())
    return v.as_boolean() ? "yes" : "no";
  if (!v.is_array())
    return v.text();
  std::string out;
  for (std::size_t i = 0; i < v.size(); ++i)
    out += (i == 0 ? "" : ",") + cell_of(v.at(i));
  return out;
}

std::string duration_cell(const json::value& ms) {
  if (!ms.is_integer())
    return {};
  const auto n = ms.as_integer();
  if (n < 1000)
    return std::to_string(n) + "ms";
  if (n < 60'000)
    return std::to_string(n / 1000) + "." + std::to_string(n % 1000 / 100) + "s";
  if (n < 3'600'000)
    return std::to_string(n / 60'000) + "m" + two_digits(n % 60'000 / 1000) + "s";
  return std::to_string(n / 3'600'000) + "h" + two_digits(n % 3'600'000 / 60'000) + "m";
}

} // namespace rdev::cli
