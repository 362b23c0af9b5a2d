// Everything but `run` and `tail`: one question, one answer, printed for people or as JSON.
#pragma once

#include "adapters/cli/arguments.hpp"
#include "adapters/cli/server.hpp"

#include <string>
#include <variant>

namespace rdev::cli {

// What goes to stdout.
using printout = std::variant<std::string, trouble>;

printout perform(server& at, const list_commands& what, bool as_json);
printout perform(server& at, const list_projects& what, bool as_json);
printout perform(server& at, const list_keys& what, bool as_json);
printout perform(server& at, const show_queue& what, bool as_json);
printout perform(server& at, const create_project& what, bool as_json);
printout perform(server& at, const delete_project& what, bool as_json);
printout perform(server& at, const create_key& what, bool as_json);
printout perform(server& at, const revoke_key& what, bool as_json);
printout perform(server& at, const list_webhooks& what, bool as_json);
printout perform(server& at, const create_webhook& what, bool as_json);
printout perform(server& at, const delete_webhook& what, bool as_json);
printout perform(server& at, const test_webhook& what, bool as_json);
printout perform(server& at, const list_deliveries& what, bool as_json);
printout perform(server& at, const cancel_request& what, bool as_json);

} // namespace rdev::cli
