#include "messages/values/commands.hpp"

namespace rdev {

namespace {

constexpr std::array<std::string_view, 3> type_names{"shell", "git", "claude"};
constexpr std::array<std::string_view, 4> priority_names{"critical", "high", "normal", "low"};
constexpr std::array<std::string_view, 7> status_names{"queued",    "running",   "completed", "failed",
                                                       "timed_out", "cancelled", "lost"};

template <class Enum, std::size_t N>
std::optional<Enum> find_name(const std::array<std::string_view, N>& names, std::string_view name) {
  for (std::size_t i = 0; i < N; ++i)
    if (names[i] == name)
      return static_cast<Enum>(i);
  return std::nullopt;
}

} // namespace

std::string_view name_of(command_type x) {
  return type_names[static_cast<std::size_t>(x)];
}
std::string_view name_of(priority x) {
  return priority_names[static_cast<std::size_t>(x)];
}
std::string_view name_of(command_status x) {
  return status_names[static_cast<std::size_t>(x)];
}
std::string_view name_of(stream x) {
  return x == stream::out ? "stdout" : "stderr";
}
std::optional<command_type> command_type_from(std::string_view name) {
  return find_name<command_type>(type_names, name);
}
std::optional<priority> priority_from(std::string_view name) {
  return find_name<priority>(priority_names, name);
}
std::optional<command_status> command_status_from(std::string_view name) {
  return find_name<command_status>(status_names, name);
}

} // namespace rdev
