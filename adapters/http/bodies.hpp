// Bodies: from JSON text to the values of an operation.
#pragma once

#include "adapters/http/server_rules.hpp"
#include "adapters/json/json.hpp"
#include "messages/values/operations.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace rdev::http {

// A body that is JSON, with all that its schema finds wrong with it. Its readers add what the rules find
// (messages/values/rules.hpp), so that a request is refused once, for everything.
struct checked_body {
  json::value fields;
  std::vector<field_problem> problems;
};

// Refuses what is not JSON. `schema` = name under /components/schemas.
answer<checked_body> parse_body(std::string_view schema, std::string_view text);

// What was asked for, or the refusal with every problem.
answer<operation> submit_from(command_type type, const std::string& project, checked_body body,
                              const server_rules& here);
answer<operation> create_project_from(checked_body body, const server_rules& here);
answer<operation> create_key_from(checked_body body, timestamp now, const server_rules& here);
answer<operation> change_key_from(const key_id& id, checked_body body, timestamp now, const server_rules& here);
answer<operation> rotate_key_from(const key_id& id, checked_body body);
answer<operation> create_webhook_from(checked_body body, const server_rules& here);
answer<operation> change_webhook_from(const webhook_id& id, checked_body body, const server_rules& here);
answer<operation> rotate_webhook_secret_from(const webhook_id& id, checked_body body);
answer<operation> replay_deliveries_from(const webhook_id& id, checked_body body);

// `90s`, `30m`, `24h`, `7d`: a whole number below 1000000 and a unit; none for anything else.
std::optional<std::chrono::seconds> duration_from(std::string_view text);

// At most the first hundred of them are told.
refusal bad_request(std::vector<field_problem> problems);
refusal bad_request(std::string field, std::string problem);
// `what`, if there are no problems.
answer<operation> unless(std::vector<field_problem> problems, operation what);

} // namespace rdev::http
