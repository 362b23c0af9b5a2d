// The command line of `rdev`.
#pragma once

#include "adapters/cli/audit_export.hpp"
#include "adapters/cli/run_command.hpp"
#include "messages/values/secret.hpp"

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace rdev::cli {

struct tail_request {
  std::string command_id;
};
struct list_commands {
  std::string project;
  std::string status;
  std::optional<std::size_t> limit;
};
struct list_projects {
  std::optional<std::size_t> limit;
};
struct create_project {
  std::string id;
};
struct delete_project {
  std::string id;
};
struct list_keys {
  std::optional<std::size_t> limit;
};
struct create_key {
  std::string name;
  std::vector<std::string> scopes;
  std::vector<std::string> projects; // empty = all
  std::vector<std::string> networks; // empty = from anywhere
  std::string expires;               // empty = the server's default
};
struct revoke_key {
  std::string id;
};
struct list_webhooks {
  std::optional<std::size_t> limit;
};
struct create_webhook {
  std::string url;
  std::vector<std::string> events;
  std::vector<std::string> projects; // empty = all that the key is bound to
  std::string description;
  bool ordered = false;
};
struct delete_webhook {
  std::string id;
};
struct test_webhook {
  std::string id;
};
struct list_deliveries {
  std::string webhook;
  std::string status; // empty = any
  std::string event;  // a filter; empty = any
  std::optional<std::size_t> limit;
};
struct show_queue {};
struct cancel_request {
  std::string command_id;
};
struct show_version {};

using wish = std::variant<show_version, run_request, tail_request, list_commands, list_projects, create_project,
                          delete_project, list_keys, create_key, revoke_key, list_webhooks, create_webhook,
                          delete_webhook, test_webhook, list_deliveries, export_request, show_queue, cancel_request>;

struct invocation {
  wish what;
  bool as_json = false;
  std::string url;
  secret key;
};

// Nothing to be done: print `text` (on stdout if the code is 0, else on stderr) and exit with `code`.
struct early_end {
  int code = 0;
  std::string text;
};

// Empty when there is no such variable.
using environment = std::function<std::optional<std::string>(const std::string& name)>;

// `arguments` without the program's name. Everything behind `--` is taken byte by byte as it is.
std::variant<invocation, early_end> parse_arguments(std::vector<std::string> arguments, const environment& env);

} // namespace rdev::cli
