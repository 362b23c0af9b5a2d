// What measurements have in common: the middle of several repetitions, and how they are printed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace rdev::bench {

// The value below which `share` of them lie; they need not be sorted.
inline double percentile(std::vector<double> values, double share) {
  if (values.empty())
    return 0;
  std::sort(values.begin(), values.end());
  const auto at = static_cast<std::size_t>(std::lround(share * static_cast<double>(values.size() - 1)));
  return values.at(at);
}

inline double median(const std::vector<double>& values) {
  return percentile(values, 0.5);
}

// `name: median 1234 (1200 … 1300 of 5) unit`
inline void print_series(const std::string& name, const std::vector<double>& values, const std::string& unit) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  std::printf("%-28s median %10.1f  (%.1f to %.1f, %zu repetitions) %s\n", name.c_str(), median(values), *low, *high,
              values.size(), unit.c_str());
}

// The exit status: 0 when the bar is reached.
inline int judge_at_least(const std::string& what, double value, double bar) {
  const bool good = value >= bar;
  std::printf("%-28s %.2f, bar: at least %.2f: %s\n", what.c_str(), value, bar, good ? "reached" : "MISSED");
  return good ? 0 : 1;
}

} // namespace rdev::bench
