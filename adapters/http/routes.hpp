// The one table of routes, and the one place where a refusal becomes a status code.
#pragma once

#include "messages/values/operations.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::http {

using parameters = std::map<std::string, std::string, std::less<>>;

// What the maker of an operation sees: decoded path and query, body, and the header Last-Event-ID.
struct call {
  parameters path;
  parameters query;
  std::string body;
  std::string last_event_id;
  bool wants_bytes = false; // Accept: application/octet-stream
  std::chrono::seconds max_timeout{86400};
};

using maker = answer<operation> (*)(const call&);

struct route {
  std::string_view method;
  std::string_view pattern;    // `/projects/{id}/shell`
  std::optional<scope> needed; // none: open, without a key
  std::string_view operation;  // operationId in docs/openapi.yaml
  maker make = nullptr;        // null for open routes
  bool takes_body = false;
};

const std::vector<route>& routes();

struct match {
  const route* found = nullptr;
  std::vector<std::string_view> allowed; // methods of the path, when the path is known but the method is not
  parameters path;
};

// `path` as it was sent: it is split first and percent-decoded once, segment by segment. Empty: a bad escape.
std::optional<match> find_route(std::string_view method, std::string_view path);
std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_blank);
// Each name's first value. Empty: a bad escape.
std::optional<parameters> parse_query(std::string_view text);

int status_of(refusal_code code);
int success_status(const outcome& what, std::string_view operation);

} // namespace rdev::http
