// The one table of routes, and the one place where a refusal becomes a status code.
#pragma once

#include "adapters/http/call.hpp"
#include "messages/values/operations.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::http {

using maker = answer<operation> (*)(const call&);

enum class body_rule : std::uint8_t { none, optional, needed };

struct route {
  std::string_view method;
  std::string_view pattern;    // `/projects/{id}/shell`
  std::optional<scope> needed; // none: open, without a key
  std::string_view operation;  // operationId in docs/openapi.yaml
  maker make = nullptr;        // null for open routes
  body_rule body = body_rule::none;

  [[nodiscard]] bool takes_body() const {
    return body != body_rule::none;
  }
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
