// What the readers of bodies have in common.
#pragma once

#include "adapters/http/bodies.hpp"
#include "adapters/json/json.hpp"
#include "messages/values/operations.hpp"
#include "messages/values/rules.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rdev::http {

inline constexpr const char* not_a_time = "must be a time in UTC such as 2030-01-31T12:00:00Z";

inline void note(std::vector<field_problem>& problems, std::string field, rules::problem found) {
  if (found)
    problems.push_back({std::move(field), std::move(*found)});
}

inline std::vector<std::string> texts(const json::value& list) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < list.size(); ++i)
    out.emplace_back(list.at(i).as_string());
  return out;
}

inline std::string item(std::string_view list, std::size_t i) {
  return std::string(list) + "[" + std::to_string(i) + "]";
}

// Fields of a body that is not yet known to fit its schema: what is of another type is left to the schema, and what
// breaks a rule goes into the problems.
inline std::string text_in(checked_body& body, const char* field) {
  const auto text = body.fields[field].as_string();
  note(body.problems, field, rules::of_text(text));
  return std::string(text);
}
inline std::optional<timestamp> time_in(checked_body& body, const char* field, const char* otherwise = not_a_time) {
  const auto given = body.fields[field];
  const auto time = from_rfc3339(given.as_string());
  if (given.is_string() && !time)
    body.problems.push_back({field, otherwise});
  return time;
}
// The field `overlap` of a rotation, or what it is when it is left out.
std::chrono::seconds overlap_in(checked_body& body, std::chrono::seconds otherwise);

} // namespace rdev::http
