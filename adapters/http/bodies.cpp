#include "adapters/http/bodies.hpp"

#include "adapters/http/openapi.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <mutex>
#include <stdexcept>

namespace rdev::http {

namespace {

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

bool has_nul(std::string_view text) {
  return text.find('\0') != std::string_view::npos;
}

constexpr const char* nul_problem = "holds a NUL character, which no process can be given";

bool variable_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
  return !name.empty() && name.size() <= 128 && letter(name[0]) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

// Relative to the workspace; an absolute path must lie below /workspace, which is the workspace.
bool take_workdir(std::string_view path, std::string& out) {
  if (path == "/workspace")
    path = "";
  if (path.starts_with("/workspace/"))
    path.remove_prefix(11);
  if (path.starts_with("/"))
    return false;
  for (std::string_view rest = path; !rest.empty();) {
    const auto slash = rest.find('/');
    if (rest.substr(0, slash) == "..")
      return false;
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
  }
  out = path;
  return true;
}

void take_env(const json::value& env, submission& what, std::vector<field_problem>& problems) {
  for (const auto& name : env.members()) {
    const auto value = env[name].as_string();
    if (!variable_name(name))
      problems.push_back(
          {"env." + name, "is not a name of a variable: letters, digits and _, not beginning with a digit"});
    else if (name.starts_with("RDEV_"))
      problems.push_back({"env." + name, "names that begin with RDEV_ belong to rdev"});
    else if (has_nul(value))
      problems.push_back({"env." + name, nul_problem});
    else
      what.env.push_back({name, secret(std::string(value))});
  }
}

void take_arguments(const json::value& list, const std::string& field, submission& what,
                    std::vector<field_problem>& problems) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    what.argv.emplace_back(list.at(i).as_string());
    if (has_nul(what.argv.back()))
      problems.push_back({field + "[" + std::to_string(i) + "]", nul_problem});
  }
  if (field == "command" && !what.argv.empty() && what.argv.front().empty())
    problems.push_back({"command[0]", "is empty: name a program"});
}

std::vector<std::string> texts(const json::value& list) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < list.size(); ++i)
    out.emplace_back(list.at(i).as_string());
  return out;
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
  return {refusal_code::bad_request,
          "the request has " + std::to_string(problems.size()) + (problems.size() == 1 ? " problem" : " problems") +
              "; see details",
          std::move(problems),
          {}};
}

refusal bad_request(std::string field, std::string problem) {
  return bad_request(std::vector<field_problem>{{std::move(field), std::move(problem)}});
}

answer<json::value> parse_body(std::string_view schema, std::string_view text) {
  auto parsed = json::parse(text.empty() ? "{}" : text);
  if (const auto* wrong = std::get_if<json::parse_error>(&parsed))
    return bad_request("body",
                       "is not valid JSON: " + wrong->problem + " (at byte " + std::to_string(wrong->offset) + ")");
  auto& body = std::get<json::value>(parsed);
  std::vector<field_problem> problems;
  for (auto& p : schema_named(schema).problems_of(body))
    problems.push_back({p.field.empty() ? "body" : std::move(p.field), std::move(p.problem)});
  if (!problems.empty())
    return bad_request(std::move(problems));
  return std::move(body);
}

answer<operation> submit_from(command_type type, const std::string& project, const json::value& body,
                              std::chrono::seconds max_timeout) {
  std::vector<field_problem> problems;
  submission what;
  what.type = type;
  what.project = project;
  const auto command = body["command"];
  if (command.is_string())
    what.script = std::string(command.as_string());
  if (what.script && has_nul(*what.script))
    problems.push_back({"command", nul_problem});
  if (command.is_array())
    take_arguments(command, "command", what, problems);
  if (type == command_type::git)
    take_arguments(body["args"], "args", what, problems);
  what.prompt = body["prompt"].as_string();
  if (has_nul(what.prompt))
    problems.push_back({"prompt", nul_problem});
  take_env(body["env"], what, problems);
  if (!take_workdir(body["workdir"].as_string(), what.workdir) || has_nul(what.workdir))
    problems.push_back({"workdir", "must be a path within the workspace, without .."});
  if (body["timeout_seconds"].exists()) {
    what.timeout = std::chrono::seconds(body["timeout_seconds"].as_integer());
    if (*what.timeout > max_timeout)
      problems.push_back(
          {"timeout_seconds", "is above commands.max_timeout (" + std::to_string(max_timeout.count()) + " s)"});
  }
  if (body["priority"].exists())
    what.priority = priority_from(body["priority"].as_string()).value_or(priority::normal);
  if (!problems.empty())
    return bad_request(std::move(problems));
  return operation(submit_command{std::move(what)});
}

answer<operation> create_project_from(const json::value& body) {
  create_project out{std::string(body["id"].as_string()), {}};
  out.pod.image = body["image"].as_string();
  out.pod.cpu = body["resources"]["cpu"].as_string();
  out.pod.memory = body["resources"]["memory"].as_string();
  out.pod.storage = body["storage"].as_string();
  out.pod.repository = body["repository"].as_string();
  out.pod.env_from = texts(body["env_from"]);
  submission given;
  std::vector<field_problem> problems;
  take_env(body["env"], given, problems);
  if (!problems.empty())
    return bad_request(std::move(problems));
  for (const auto& one : given.env)
    out.pod.env[one.name] = one.value.reveal();
  const auto labels = body["labels"];
  for (const auto& name : labels.members()) {
    const bool good =
        !name.empty() && name.size() <= 63 && name.find_first_of("=\n\r") == std::string::npos && !has_nul(name);
    if (!good)
      return bad_request("labels." + name, "is not a name of a label: 1 to 63 characters without = and line ends");
    out.labels[name] = labels[name].as_string();
  }
  return operation(std::move(out));
}

answer<operation> create_key_from(const json::value& body) {
  key_request what;
  what.name = body["name"].as_string();
  if (has_nul(what.name))
    return bad_request("name", "holds a NUL character");
  for (const auto& name : texts(body["scopes"]))
    if (const auto s = scope_from(name))
      what.granted.add(*s);
  if (body["project_ids"].is_array())
    what.project_ids = texts(body["project_ids"]);
  if (body["allowed_ips"].is_array())
    what.allowed_ips = texts(body["allowed_ips"]);
  if (body["expires_in"].exists())
    what.expires_in = lifetime(body["expires_in"].as_string());
  if (body["expires_at"].exists()) {
    what.expires_at = from_rfc3339(body["expires_at"].as_string());
    if (!what.expires_at)
      return bad_request("expires_at", "must be a time in UTC such as 2030-01-31T12:00:00Z");
  }
  if (body["rate_limit"].is_integer())
    what.rate_limit = static_cast<int>(body["rate_limit"].as_integer());
  return operation(create_key{std::move(what)});
}

answer<operation> rotate_key_from(const key_id& id, const json::value& body) {
  rotate_key out;
  out.id = id;
  if (!body["overlap"].exists())
    return operation(out);
  const auto text = body["overlap"].as_string();
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  const char unit = error == std::errc{} ? *end : 's';
  out.overlap = std::chrono::seconds(n * (unit == 'd' ? 86400 : unit == 'h' ? 3600 : unit == 'm' ? 60 : 1));
  if (out.overlap > std::chrono::hours(30 * 24))
    return bad_request("overlap", "must be at most 30d");
  return operation(out);
}

} // namespace rdev::http
