#include "adapters/http/routes.hpp"

#include "adapters/http/bodies.hpp"
#include "adapters/http/characters.hpp"

#include <algorithm>
#include <charconv>

namespace rdev::http {

namespace {

constexpr int most_per_page = 200;

std::optional<std::string> query(const call& c, std::string_view name) {
  const auto found = c.query.find(name);
  return found == c.query.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty() ? std::optional(n) : std::nullopt;
}

// Parameters of a page; problems go into the list.
page_request page_of(const call& c, std::vector<field_problem>& problems, bool (*good_cursor)(std::string_view)) {
  page_request out;
  if (const auto limit = query(c, "limit")) {
    const auto n = whole_number(*limit);
    if (!n || *n < 1 || *n > most_per_page)
      problems.push_back({"limit", "must be a whole number from 1 to 200"});
    else
      out.limit = static_cast<int>(*n);
  }
  out.cursor = query(c, "cursor");
  if (out.cursor && !good_cursor(*out.cursor))
    problems.push_back({"cursor", "is not the next_cursor of an earlier page"});
  return out;
}

template <class Id>
bool is_id(std::string_view text) {
  return Id::parse(text).has_value();
}

refusal no_such(const char* what) {
  return {refusal_code::not_found, std::string("there is no such ") + what, {}, {}};
}

template <class Id, class Make>
answer<operation> with_id(const call& c, const char* what, Make make) {
  const auto id = Id::parse(c.path.at("id"));
  if (!id)
    return no_such(what);
  return make(*id);
}

const std::string& project_of(const call& c) {
  return c.path.at("id");
}

answer<operation> list_projects_of(const call& c) {
  std::vector<field_problem> problems;
  list_projects out{page_of(c, problems, valid_project_id)};
  return problems.empty() ? answer<operation>(operation(out)) : bad_request(std::move(problems));
}

answer<operation> get_project_of(const call& c) {
  return operation(get_project{project_of(c)});
}

answer<operation> create_project_of(const call& c) {
  auto body = parse_body("ProjectRequest", c.body);
  return body ? create_project_from(*body) : answer<operation>(std::move(body.why()));
}

answer<operation> delete_project_of(const call& c) {
  const auto force = query(c, "force").value_or("false");
  if (force != "true" && force != "false")
    return bad_request("force", "must be true or false");
  return operation(delete_project{project_of(c), force == "true"});
}

template <project_verb Verb>
answer<operation> change_project_of(const call& c) {
  return operation(change_project{project_of(c), Verb});
}

template <command_type Type>
answer<operation> submit_of(const call& c) {
  constexpr std::string_view schema = Type == command_type::shell ? "ShellRequest"
                                      : Type == command_type::git ? "GitRequest"
                                                                  : "ClaudeRequest";
  auto body = parse_body(schema, c.body);
  return body ? submit_from(Type, project_of(c), *body, c.max_timeout) : answer<operation>(std::move(body.why()));
}

answer<operation> open_stream_of(const call& c) {
  std::vector<field_problem> problems;
  open_stream out{project_of(c), {}, {}};
  if (const auto id = query(c, "stream_id")) {
    out.command = command_id::parse(*id);
    if (!out.command)
      return no_such("command");
  }
  if (const auto how = query(c, "framing"); how && *how != "line" && *how != "chunk")
    problems.push_back({"framing", "must be line or chunk"});
  const auto last = c.last_event_id.empty() ? query(c, "last_event_id").value_or("") : c.last_event_id;
  if (!last.empty() && out.command) {
    out.after = from_event_id(last);
    if (!out.after)
      problems.push_back({"Last-Event-ID", "is not the id of an event of this stream"});
  }
  return problems.empty() ? answer<operation>(operation(std::move(out))) : bad_request(std::move(problems));
}

answer<operation> list_commands_of(const call& c) {
  std::vector<field_problem> problems;
  list_commands out;
  out.at = page_of(c, problems, is_id<command_id>);
  out.project = query(c, "project");
  if (out.project && !valid_project_id(*out.project))
    problems.push_back({"project", "is not a project id"});
  if (const auto status = query(c, "status")) {
    out.status = command_status_from(*status);
    if (!out.status)
      problems.push_back({"status", "must be one of queued, running, completed, failed, timed_out, cancelled, lost"});
  }
  return problems.empty() ? answer<operation>(operation(std::move(out))) : bad_request(std::move(problems));
}

answer<operation> get_command_of(const call& c) {
  return with_id<command_id>(c, "command", [](command_id id) { return operation(get_command{id}); });
}

answer<operation> cancel_command_of(const call& c) {
  return with_id<command_id>(c, "command", [](command_id id) { return operation(cancel_command{id}); });
}

answer<operation> output_of(const call& c) {
  std::vector<field_problem> problems;
  std::optional<stream> which;
  if (const auto name = query(c, "stream")) {
    if (*name != "stdout" && *name != "stderr")
      problems.push_back({"stream", "must be stdout or stderr"});
    which = *name == "stderr" ? stream::err : stream::out;
  } else if (c.wants_bytes) {
    problems.push_back({"stream", "is required for bytes: stdout or stderr"});
  }
  const auto at = page_of(c, problems, [](std::string_view) { return true; });
  std::optional<std::uint32_t> after;
  if (const auto text = query(c, "after")) {
    const auto n = whole_number(*text);
    if (!n || *n < 0 || *n > 0x7fffffff)
      problems.push_back({"after", "must be the seq of an output object"});
    else
      after = static_cast<std::uint32_t>(*n);
  }
  if (!problems.empty())
    return bad_request(std::move(problems));
  return with_id<command_id>(c, "command", [&](command_id id) {
    return c.wants_bytes ? operation(read_output{id, *which, 0}) : operation(list_output{id, which, after, at.limit});
  });
}

answer<operation> queue_of(const call&) {
  return operation(get_queue{});
}

answer<operation> list_keys_of(const call& c) {
  std::vector<field_problem> problems;
  list_keys out{page_of(c, problems, is_id<key_id>)};
  return problems.empty() ? answer<operation>(operation(out)) : bad_request(std::move(problems));
}

answer<operation> create_key_of(const call& c) {
  auto body = parse_body("KeyRequest", c.body);
  return body ? create_key_from(*body) : answer<operation>(std::move(body.why()));
}

answer<operation> get_key_of(const call& c) {
  return with_id<key_id>(c, "key", [](key_id id) { return operation(get_key{id}); });
}

answer<operation> revoke_key_of(const call& c) {
  return with_id<key_id>(c, "key", [](key_id id) { return operation(revoke_key{id}); });
}

answer<operation> rotate_key_of(const call& c) {
  auto body = parse_body("RotateRequest", c.body);
  if (!body)
    return std::move(body.why());
  return with_id<key_id>(c, "key", [&](key_id id) { return rotate_key_from(id, *body); });
}

std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> out;
  path.remove_prefix(path.starts_with('/') ? 1 : 0);
  for (;;) {
    const auto slash = path.find('/');
    out.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos)
      return out;
    path.remove_prefix(slash + 1);
  }
}

// A route and its pattern, cut up.
struct cut_route {
  const route* what;
  std::vector<std::string_view> parts;
};

const std::vector<cut_route>& cut_routes() {
  static const auto all = [] {
    std::vector<cut_route> out;
    for (const auto& r : routes())
      out.push_back({&r, segments(r.pattern)});
    return out;
  }();
  return all;
}

bool fits(const std::vector<std::string_view>& wanted, const std::vector<std::string_view>& path) {
  return std::equal(wanted.begin(), wanted.end(), path.begin(), path.end(),
                    [](std::string_view w, std::string_view p) { return w.starts_with('{') || w == p; });
}

parameters parameters_of(const std::vector<std::string_view>& wanted, const std::vector<std::string_view>& path) {
  parameters out;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i].starts_with('{'))
      out.emplace(wanted[i].substr(1, wanted[i].size() - 2), path[i]);
  return out;
}

} // namespace

const std::vector<route>& routes() {
  static const std::vector<route> all{
      {"GET", "/projects", scope::projects_read, "listProjects", list_projects_of},
      {"POST", "/projects", scope::projects_write, "createProject", create_project_of, true},
      {"GET", "/projects/{id}", scope::projects_read, "getProject", get_project_of},
      {"DELETE", "/projects/{id}", scope::projects_write, "deleteProject", delete_project_of},
      {"POST", "/projects/{id}/start", scope::projects_write, "startProject", change_project_of<project_verb::start>},
      {"POST", "/projects/{id}/stop", scope::projects_write, "stopProject", change_project_of<project_verb::stop>},
      {"POST", "/projects/{id}/restart", scope::projects_write, "restartProject",
       change_project_of<project_verb::restart>},
      {"POST", "/projects/{id}/shell", scope::projects_execute, "runShell", submit_of<command_type::shell>, true},
      {"POST", "/projects/{id}/git", scope::projects_execute, "runGit", submit_of<command_type::git>, true},
      {"POST", "/projects/{id}/claude", scope::projects_execute, "runClaude", submit_of<command_type::claude>, true},
      {"GET", "/projects/{id}/events", scope::projects_read, "streamEvents", open_stream_of},
      {"GET", "/commands", scope::projects_read, "listCommands", list_commands_of},
      {"GET", "/commands/{id}", scope::projects_read, "getCommand", get_command_of},
      {"GET", "/commands/{id}/output", scope::projects_read, "getOutput", output_of},
      {"POST", "/commands/{id}/cancel", scope::projects_execute, "cancelCommand", cancel_command_of},
      {"GET", "/queue", scope::projects_read, "getQueue", queue_of},
      {"GET", "/keys", scope::keys_read, "listKeys", list_keys_of},
      {"POST", "/keys", scope::keys_write, "createKey", create_key_of, true},
      {"GET", "/keys/{id}", scope::keys_read, "getKey", get_key_of},
      {"DELETE", "/keys/{id}", scope::keys_write, "revokeKey", revoke_key_of},
      {"POST", "/keys/{id}/rotate", scope::keys_write, "rotateKey", rotate_key_of, true},
      {"GET", "/health", std::nullopt, "health"},
      {"GET", "/ready", std::nullopt, "ready"},
      {"GET", "/metrics", std::nullopt, "metrics"},
      {"GET", "/docs", std::nullopt, "docs"},
      {"GET", "/openapi.json", std::nullopt, "openapi"},
  };
  return all;
}

std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_blank) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_blank) {
      out += ' ';
    } else if (text[i] == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0)
        return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::optional<parameters> parse_query(std::string_view text) {
  parameters out;
  while (!text.empty()) {
    const auto end = text.find('&');
    const auto pair = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    const auto equals = pair.find('=');
    const auto name = percent_decoded(pair.substr(0, equals), true);
    const auto value =
        percent_decoded(equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1), true);
    if (!name || !value)
      return std::nullopt;
    if (!name->empty())
      out.try_emplace(*name, *value);
  }
  return out;
}

std::optional<match> find_route(std::string_view method, std::string_view path) {
  if (!path.starts_with('/'))
    return match{};
  auto parts = segments(path);
  std::vector<std::string> decoded;
  decoded.reserve(parts.size()); // views into it are kept
  for (auto& part : parts) {
    if (part.find('%') == std::string_view::npos)
      continue;
    auto one = percent_decoded(part, false);
    if (!one)
      return std::nullopt;
    part = decoded.emplace_back(std::move(*one));
  }
  const auto wanted = method == "HEAD" ? std::string_view("GET") : method;
  match out;
  for (const auto& [r, pattern] : cut_routes()) {
    if (!fits(pattern, parts))
      continue;
    if (r->method == wanted) {
      out.found = r;
      out.path = parameters_of(pattern, parts);
      return out;
    }
    out.allowed.push_back(r->method);
    if (r->method == "GET")
      out.allowed.emplace_back("HEAD");
  }
  return out;
}

int status_of(refusal_code code) {
  switch (code) {
  case refusal_code::bad_request:
    return 400;
  case refusal_code::unauthorized:
  case refusal_code::key_revoked:
  case refusal_code::key_expired:
    return 401;
  case refusal_code::ip_not_allowed:
  case refusal_code::forbidden:
    return 403;
  case refusal_code::not_found:
    return 404;
  case refusal_code::method_not_allowed:
    return 405;
  case refusal_code::request_timeout:
    return 408;
  case refusal_code::conflict:
    return 409;
  case refusal_code::gone:
    return 410;
  case refusal_code::length_required:
    return 411;
  case refusal_code::payload_too_large:
    return 413;
  case refusal_code::uri_too_long:
    return 414;
  case refusal_code::unsupported_media_type:
    return 415;
  case refusal_code::too_many_requests:
    return 429;
  case refusal_code::headers_too_large:
    return 431;
  case refusal_code::internal_error:
    return 500;
  case refusal_code::service_unavailable:
    return 503;
  case refusal_code::range_not_satisfiable:
    return 416;
  }
  return 500;
}

int success_status(const outcome& what, std::string_view operation) {
  if (std::holds_alternative<submitted>(what) || operation == "cancelCommand")
    return 202;
  return std::holds_alternative<project_created>(what) || std::holds_alternative<minted_key>(what) ? 201 : 200;
}

} // namespace rdev::http
