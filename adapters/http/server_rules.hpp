// What the settings of this server say about the fields of a request, beside the rules that hold everywhere
// (messages/values/rules.hpp).
#pragma once

#include "messages/values/operations.hpp"
#include "messages/values/rules.hpp"

#include <chrono>
#include <functional>
#include <string_view>
#include <vector>

namespace rdev::http {

struct server_rules {
  std::chrono::seconds max_timeout{86400}; // of a command (commands.max_timeout)
  std::chrono::seconds max_lifetime{0};    // of a key (keys.max_lifetime); 0 = any
  // Thread-safe, never block; none: nothing to object to.
  std::function<rules::problem(std::string_view url)> of_webhook_url;
  std::function<std::vector<field_problem>(const create_project&)> of_project;
};

inline const server_rules no_server_rules;

} // namespace rdev::http
