// Reads times of arrival (nanoseconds, ascending, one a line) from stdin and asks a sliding_window about each: a line
// of 0 and 1 on stdout, then `decisions a second, p99 in ns` as JSON. Arguments: the limit, and the length of the
// window in nanoseconds.
#include "actors/sliding_window.hpp"
#include "tests/bench/support/figures.hpp"

#include <cstdint>
#include <iostream>

namespace rdev::bench {

namespace {

using clock = std::chrono::steady_clock;

constexpr int passes = 50; // one takes less than a millisecond

double nanoseconds_since(clock::time_point begin) {
  return std::chrono::duration<double, std::nano>(clock::now() - begin).count();
}

std::vector<sliding_window::time_point> read_times() {
  std::vector<sliding_window::time_point> out;
  for (std::int64_t at = 0; std::cin >> at;)
    out.emplace_back(std::chrono::nanoseconds(at));
  return out;
}

void run(std::size_t limit, sliding_window::duration length) {
  const auto times = read_times();
  std::string decisions(times.size(), '0');
  const auto begin = clock::now();
  for (int pass = 0; pass < passes; ++pass) {
    sliding_window together;
    for (std::size_t i = 0; i < times.size(); ++i)
      decisions[i] = together.admit(times[i], limit, length) ? '1' : '0';
  }
  const auto rate = passes * static_cast<double>(times.size()) / nanoseconds_since(begin) * 1e9;
  // Again, one by one: looking at the clock takes as long as deciding.
  sliding_window apart;
  std::vector<double> took(times.size());
  std::size_t same = 0;
  for (std::size_t i = 0; i < times.size(); ++i) {
    const auto before = clock::now();
    const bool admitted = apart.admit(times[i], limit, length);
    took[i] = nanoseconds_since(before);
    same += admitted == (decisions[i] == '1') ? 1 : 0;
  }
  std::cout << decisions << "\n{\"rate\": " << rate << ", \"p99\": " << percentile(took, 0.99)
            << ", \"same\": " << (same == times.size() ? "true" : "false") << "}\n";
}

} // namespace

} // namespace rdev::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " LIMIT WINDOW_NS\n";
    return 2;
  }
  std::ios::sync_with_stdio(false);
  rdev::bench::run(std::stoul(argv[1]), std::chrono::nanoseconds(std::stoll(argv[2])));
}
