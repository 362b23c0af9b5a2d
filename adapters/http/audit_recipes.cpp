#include "adapters/http/recipes.hpp"

#include "adapters/http/bodies.hpp"
#include "messages/values/rules.hpp"

#include <algorithm>

namespace rdev::http {

namespace {

constexpr std::size_t longest_action = 64;

bool is_action(std::string_view text) {
  if (text.ends_with(".*"))
    text.remove_suffix(2);
  return text.size() <= longest_action && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
         });
}

bool is_place(std::string_view cursor) {
  const auto n = whole_number(cursor);
  return n && *n >= 0;
}

} // namespace

answer<operation> list_audit_of(const call& c) {
  std::vector<field_problem> problems;
  audit_query what;
  const auto at = page_of(c, problems, is_place);
  what.limit = at.limit;
  if (at.cursor)
    what.after = whole_number(*at.cursor).value_or(0);
  if (const auto actor = query(c, "actor")) {
    what.actor = key_id::parse(*actor);
    if (!what.actor)
      problems.push_back({"actor", "is not the id of a key: key_ and 26 characters"});
  }
  what.action = query(c, "action").value_or("");
  if (!is_action(what.action))
    problems.push_back({"action",
                        "is no action (at most 64 of a-z, 0-9, _ and dots): give one such as key.revoke, or all "
                        "of a kind: key.*"});
  what.project = query(c, "project");
  if (what.project)
    if (auto wrong = rules::of_project_id(*what.project))
      problems.push_back({"project", std::move(*wrong)});
  what.from = time_of(c, "from", problems);
  what.to = time_of(c, "to", problems);
  return unless(std::move(problems), operation(list_audit{std::move(what), at.cursor.has_value()}));
}

answer<operation> verify_audit_of(const call& c) {
  std::vector<field_problem> problems;
  verify_audit out;
  out.from = time_of(c, "from", problems);
  out.to = time_of(c, "to", problems);
  return unless(std::move(problems), operation(out));
}

answer<operation> list_audit_keys_of(const call&) {
  return operation(list_audit_keys{});
}

} // namespace rdev::http
