// Bodies: from JSON text to the values of an operation, with all problems at once.
#pragma once

#include "adapters/json/json.hpp"
#include "messages/values/operations.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace rdev::http {

// A body that fits its schema, or the refusal with every problem. `schema` = name under /components/schemas.
answer<json::value> parse_body(std::string_view schema, std::string_view text);

// What a schema cannot say: NUL, names of variables, paths. `max_timeout` = commands.max_timeout.
answer<operation> submit_from(command_type type, const std::string& project, const json::value& body,
                              std::chrono::seconds max_timeout);
answer<operation> create_project_from(const json::value& body);
answer<operation> create_key_from(const json::value& body);
answer<operation> rotate_key_from(const key_id& id, const json::value& body);

refusal bad_request(std::vector<field_problem> problems);
refusal bad_request(std::string field, std::string problem);

} // namespace rdev::http
