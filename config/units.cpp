#include "config/units.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace rdev::config {

namespace {

template <std::size_t N>
std::optional<std::uint64_t> parse_scaled(std::string_view text,
                                          const std::array<std::pair<std::string_view, std::uint64_t>, N>& units) {
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{})
    return std::nullopt;
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  for (const auto& [name, scale] : units)
    if (unit == name && n <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / scale)
      return n * scale;
  return std::nullopt;
}

} // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::uint64_t>, 5> units{
      {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
  const auto n = parse_scaled(text, units);
  return n ? std::optional(std::chrono::milliseconds(static_cast<std::int64_t>(*n))) : std::nullopt;
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::uint64_t>, 4> units{
      {{"", 1}, {"KiB", 1ULL << 10U}, {"MiB", 1ULL << 20U}, {"GiB", 1ULL << 30U}}};
  return parse_scaled(text, units);
}

} // namespace rdev::config
