#include "messages/values/projects.hpp"

#include <algorithm>

namespace rdev {

bool valid_project_id(std::string_view text) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= 40 && plain(text.front()) && plain(text.back()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return plain(c) || c == '-'; });
}

std::string_view name_of(project_status s) {
  switch (s) {
  case project_status::running:
    return "running";
  case project_status::stopped:
    return "stopped";
  case project_status::pending:
    return "pending";
  case project_status::unhealthy:
    return "unhealthy";
  }
  return "unhealthy";
}

} // namespace rdev
