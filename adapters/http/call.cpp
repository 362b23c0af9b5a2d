#include "adapters/http/call.hpp"

#include "adapters/http/body_parts.hpp"

#include <charconv>

namespace rdev::http {

namespace {

constexpr int most_per_page = 200;

} // namespace

std::optional<std::string> query(const call& c, std::string_view name) {
  const auto found = c.query.find(name);
  return found == c.query.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty() ? std::optional(n) : std::nullopt;
}

page_request page_of(const call& c, std::vector<field_problem>& problems, bool (*good_cursor)(std::string_view)) {
  page_request out;
  if (const auto limit = query(c, "limit")) {
    const auto n = whole_number(*limit);
    if (!n || *n < 1 || *n > most_per_page)
      problems.push_back({"limit", "must be a whole number from 1 to 200"});
    else
      out.limit = static_cast<int>(*n);
  }
  out.cursor = query(c, "cursor");
  if (out.cursor && !good_cursor(*out.cursor))
    problems.push_back({"cursor", "is not the next_cursor of an earlier page: leave it out for the first one"});
  return out;
}

std::optional<timestamp> time_of(const call& c, std::string_view name, std::vector<field_problem>& problems) {
  const auto text = query(c, name);
  const auto time = text && !text->starts_with("0000") ? from_rfc3339(*text) : std::nullopt; // no store knows year 0
  if (text && !time)
    problems.push_back({std::string(name), not_a_time});
  return time;
}

refusal no_such(const char* what) {
  return {refusal_code::not_found, std::string("there is no such ") + what, {}, {}};
}

} // namespace rdev::http
