#include "adapters/http/bodies.hpp"

#include "adapters/http/body_parts.hpp"
#include "adapters/http/openapi.hpp"

#include <charconv>
#include <map>
#include <mutex>
#include <stdexcept>

namespace rdev::http {

namespace {

constexpr std::size_t most_told = 100; // problems of one request

const json::value& document() {
  static const json::value parsed = [] {
    auto out = json::parse(openapi_json);
    if (const auto* wrong = std::get_if<json::parse_error>(&out))
      throw std::logic_error("docs/openapi.yaml: " + wrong->problem);
    return std::get<json::value>(out);
  }();
  return parsed;
}

const json::schema& schema_named(std::string_view name) {
  static std::mutex mutex;
  static std::map<std::string, json::schema, std::less<>> compiled;
  std::lock_guard guard(mutex);
  const auto known = compiled.find(name);
  if (known != compiled.end())
    return known->second;
  return compiled.emplace(name, json::schema(document(), "/components/schemas/" + std::string(name))).first->second;
}

// What a process is given, and where in the body most of it stands.
struct load {
  std::size_t arguments = 0;
  std::size_t variables = 0;
};

void check_load(const load& given, const char* list, std::vector<field_problem>& problems) {
  note(problems, given.variables >= given.arguments ? "env" : list, rules::of_given(given.arguments + given.variables));
}

std::vector<env_var> env_in(checked_body& body, load& given) {
  std::vector<env_var> out;
  const auto env = body.fields["env"];
  for (const auto& name : env.members()) {
    const auto value = env[name].as_string();
    note(body.problems, "env." + name, rules::of_variable_name(name));
    note(body.problems, "env." + name, rules::of_variable(name, value));
    given.variables += name.size() + value.size() + 2; // = and NUL
    out.push_back({name, secret(std::string(value))});
  }
  return out;
}

std::vector<std::string> arguments_in(checked_body& body, const char* field, load& given) {
  const auto list = body.fields[field];
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto text = list.at(i).as_string();
    note(body.problems, item(field, i), rules::of_argument(text));
    given.arguments += text.size() + 1;
  }
  return texts(list);
}

// Text for a shell, or a list of program and arguments.
void take_command(checked_body& body, submission& what, load& given) {
  const auto command = body.fields["command"];
  if (command.is_string())
    what.script = text_in(body, "command");
  if (!command.is_array())
    return;
  what.argv = arguments_in(body, "command", given);
  if (command.at(0).is_string())
    note(body.problems, "command[0]", rules::of_program(command.at(0).as_string()));
}

std::string workdir_in(checked_body& body) {
  const auto path = body.fields["workdir"].as_string();
  note(body.problems, "workdir", rules::of_workdir(path));
  return rules::within_workspace(path);
}

std::map<std::string, std::string> labels_in(checked_body& body) {
  std::map<std::string, std::string> out;
  const auto labels = body.fields["labels"];
  for (const auto& name : labels.members()) {
    note(body.problems, "labels." + name, rules::of_label(name));
    out[name] = labels[name].as_string();
  }
  return out;
}

std::optional<std::vector<std::string>> networks_in(checked_body& body) {
  const auto list = body.fields["allowed_ips"];
  if (!list.is_array())
    return std::nullopt;
  for (std::size_t i = 0; i < list.size(); ++i)
    if (list.at(i).is_string())
      note(body.problems, item("allowed_ips", i), rules::of_network(list.at(i).as_string()));
  return texts(list);
}

scopes scopes_of(const json::value& list) {
  scopes out;
  for (const auto& name : texts(list))
    if (const auto s = scope_from(name))
      out.add(*s);
  return out;
}

std::optional<int> maybe_int(const json::value& n) {
  return n.is_integer() ? std::optional(static_cast<int>(n.as_integer())) : std::nullopt;
}

std::chrono::seconds lifetime(std::string_view word) {
  constexpr auto day = std::chrono::seconds(86400);
  return word == "30d"   ? 30 * day
         : word == "60d" ? 60 * day
         : word == "90d" ? 90 * day
         : word == "1y"  ? 365 * day
                         : 0 * day;
}

} // namespace

refusal bad_request(std::vector<field_problem> problems) {
  auto message = "the request has " + std::to_string(problems.size()) +
                 (problems.size() == 1 ? " problem" : " problems") + "; see details";
  if (problems.size() > most_told) {
    problems.resize(most_told);
    message += ", which has the first " + std::to_string(most_told);
  }
  return {refusal_code::bad_request, std::move(message), std::move(problems), {}};
}

refusal bad_request(std::string field, std::string problem) {
  return bad_request(std::vector<field_problem>{{std::move(field), std::move(problem)}});
}

answer<operation> unless(std::vector<field_problem> problems, operation what) {
  if (!problems.empty())
    return bad_request(std::move(problems));
  return answer<operation>(std::move(what));
}

answer<checked_body> parse_body(std::string_view schema, std::string_view text) {
  auto parsed = json::parse(text.empty() ? "{}" : text);
  if (const auto* wrong = std::get_if<json::parse_error>(&parsed))
    return bad_request("body", wrong->offset ? "is not valid JSON: " + wrong->problem + " (at byte " +
                                                   std::to_string(*wrong->offset) + ")"
                                             : wrong->problem);
  checked_body out{std::move(std::get<json::value>(parsed)), {}};
  for (auto& p : schema_named(schema).problems_of(out.fields))
    out.problems.push_back({p.field.empty() ? "body" : std::move(p.field), std::move(p.problem)});
  return out;
}

answer<operation> submit_from(command_type type, const std::string& project, checked_body body,
                              const server_rules& here) {
  submission what;
  what.type = type;
  what.project = project;
  load given;
  const auto* list = type == command_type::git ? "args" : "command";
  if (type == command_type::shell)
    take_command(body, what, given);
  else if (type == command_type::git)
    what.argv = arguments_in(body, list, given);
  else
    what.prompt = text_in(body, "prompt");
  what.env = env_in(body, given);
  check_load(given, list, body.problems);
  what.workdir = workdir_in(body);
  if (const auto timeout = body.fields["timeout_seconds"]; timeout.exists()) {
    what.timeout = std::chrono::seconds(timeout.as_integer());
    note(body.problems, "timeout_seconds", rules::of_timeout(*what.timeout, here.max_timeout));
  }
  what.priority = priority_from(body.fields["priority"].as_string()).value_or(priority::normal);
  return unless(std::move(body.problems), submit_command{std::move(what)});
}

answer<operation> create_project_from(checked_body body, const server_rules& here) {
  const auto fields = body.fields;
  create_project out{std::string(fields["id"].as_string()), labels_in(body)};
  out.pod.image = fields["image"].as_string();
  out.pod.cpu = fields["resources"]["cpu"].as_string();
  out.pod.memory = fields["resources"]["memory"].as_string();
  out.pod.storage = fields["storage"].as_string();
  out.pod.repository = fields["repository"].as_string();
  note(body.problems, "repository", rules::of_repository(out.pod.repository));
  out.pod.env_from = texts(fields["env_from"]);
  load given;
  for (const auto& one : env_in(body, given))
    out.pod.env[one.name] = one.value.reveal();
  check_load(given, "env", body.problems);
  if (here.of_project)
    for (auto& wrong : here.of_project(out))
      body.problems.push_back(std::move(wrong));
  return unless(std::move(body.problems), std::move(out));
}

answer<operation> create_key_from(checked_body body, timestamp now, const server_rules& here) {
  const auto fields = body.fields;
  key_request what;
  what.name = text_in(body, "name");
  what.granted = scopes_of(fields["scopes"]);
  if (fields["project_ids"].is_array()) {
    what.project_ids = texts(fields["project_ids"]);
    note(body.problems, "project_ids", rules::of_bound_key(what.granted));
  }
  what.allowed_ips = networks_in(body);
  if (const auto word = fields["expires_in"]; word.exists()) {
    what.expires_in = lifetime(word.as_string());
    if (*what.expires_in > std::chrono::seconds::zero())
      note(body.problems, "expires_in", rules::of_lifetime(now + *what.expires_in, now, here.max_lifetime));
    else if (word.as_string() == "never")
      note(body.problems, "expires_in", rules::of_lifetime(std::nullopt, now, here.max_lifetime));
  }
  what.expires_at = time_in(body, "expires_at");
  if (what.expires_at) {
    note(body.problems, "expires_at", rules::of_end(*what.expires_at, now));
    note(body.problems, "expires_at", rules::of_lifetime(what.expires_at, now, here.max_lifetime));
  }
  if (fields["expires_in"].exists() && fields["expires_at"].exists())
    body.problems.push_back({"expires_at", rules::two_ends});
  what.rate_limit = maybe_int(fields["rate_limit"]);
  what.concurrency_limit = maybe_int(fields["concurrency_limit"]);
  return unless(std::move(body.problems), create_key{std::move(what)});
}

answer<operation> change_key_from(const key_id& id, checked_body body, timestamp now, const server_rules& here) {
  const auto fields = body.fields;
  key_change what;
  if (fields["name"].exists())
    what.name = text_in(body, "name");
  if (fields["scopes"].exists())
    what.granted = scopes_of(fields["scopes"]);
  if (const auto list = fields["project_ids"]; list.exists())
    what.project_ids = list.is_array() ? std::optional(texts(list)) : std::nullopt;
  if (what.granted && what.project_ids && *what.project_ids)
    note(body.problems, "project_ids", rules::of_bound_key(*what.granted));
  if (fields["allowed_ips"].exists())
    what.allowed_ips = networks_in(body);
  if (fields["expires_at"].exists()) {
    what.expires_at =
        time_in(body, "expires_at", "must be a time in UTC such as 2030-01-31T12:00:00Z, or null for never");
    if (*what.expires_at)
      note(body.problems, "expires_at", rules::of_end(**what.expires_at, now));
    if (*what.expires_at || !fields["expires_at"].is_string()) // else it is no time at all
      note(body.problems, "expires_at", rules::of_lifetime(*what.expires_at, now, here.max_lifetime));
  }
  if (const auto n = fields["rate_limit"]; n.exists())
    what.rate_limit = maybe_int(n);
  if (const auto n = fields["concurrency_limit"]; n.exists())
    what.concurrency_limit = maybe_int(n);
  return unless(std::move(body.problems), change_key{id, std::move(what)});
}

answer<operation> rotate_key_from(const key_id& id, checked_body body) {
  rotate_key out;
  out.id = id;
  out.overlap = overlap_in(body, out.overlap);
  return unless(std::move(body.problems), out);
}

// What is no duration at all, the schema says.
std::chrono::seconds overlap_in(checked_body& body, std::chrono::seconds otherwise) {
  const auto overlap = duration_from(body.fields["overlap"].as_string());
  if (overlap)
    note(body.problems, "overlap", rules::of_overlap(*overlap));
  return overlap.value_or(otherwise);
}

std::optional<std::chrono::seconds> duration_from(std::string_view text) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end + 1 != text.data() + text.size() || n < 0 || n > 999'999)
    return std::nullopt;
  switch (*end) {
  case 's':
    return std::chrono::seconds(n);
  case 'm':
    return std::chrono::minutes(n);
  case 'h':
    return std::chrono::hours(n);
  case 'd':
    return std::chrono::hours(24 * n);
  default:
    return std::nullopt;
  }
}

} // namespace rdev::http
