// A request as a recipe sees it, and how its parts are read.
#pragma once

#include "adapters/http/server_rules.hpp"
#include "messages/values/operations.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::http {

using parameters = std::map<std::string, std::string, std::less<>>;

// Decoded path and query, body, and the header Last-Event-ID.
struct call {
  parameters path;
  parameters query;
  std::string body;
  std::string last_event_id;
  bool wants_bytes = false; // Accept: application/octet-stream
  const server_rules* here = &no_server_rules;
  timestamp now = now_utc();
};

std::optional<std::string> query(const call& c, std::string_view name);
std::optional<std::int64_t> whole_number(std::string_view text);
// Parameters of a page; problems go into the list.
page_request page_of(const call& c, std::vector<field_problem>& problems, bool (*good_cursor)(std::string_view));
// A parameter that is a time; a problem goes into the list.
std::optional<timestamp> time_of(const call& c, std::string_view name, std::vector<field_problem>& problems);

refusal no_such(const char* what);

template <class Id>
bool is_id(std::string_view text) {
  return Id::parse(text).has_value();
}

// What `make` makes of the id in the path; a text that is none is the id of nothing.
template <class Id, class Make>
answer<operation> with_id(const call& c, const char* what, Make make, const char* parameter = "id") {
  const auto id = Id::parse(c.path.at(parameter));
  if (!id)
    return no_such(what);
  return make(*id);
}

} // namespace rdev::http
