#include "adapters/http/recipes.hpp"

#include "adapters/http/bodies.hpp"
#include "adapters/http/body_parts.hpp"

namespace rdev::http {

namespace {

const std::string& project_of(const call& c) {
  return c.path.at("id");
}

answer<operation> submit_of(command_type type, std::string_view schema, const call& c) {
  auto body = parse_body(schema, c.body);
  return body ? submit_from(type, project_of(c), std::move(*body), *c.here) : answer<operation>(std::move(body.why()));
}

} // namespace

answer<operation> list_projects_of(const call& c) {
  std::vector<field_problem> problems;
  list_projects out{page_of(c, problems, valid_project_id)};
  return unless(std::move(problems), out);
}

answer<operation> get_project_of(const call& c) {
  return operation(get_project{project_of(c)});
}

answer<operation> create_project_of(const call& c) {
  auto body = parse_body("ProjectRequest", c.body);
  return body ? create_project_from(std::move(*body), *c.here) : answer<operation>(std::move(body.why()));
}

answer<operation> delete_project_of(const call& c) {
  const auto force = query(c, "force").value_or("false");
  if (force != "true" && force != "false")
    return bad_request("force", "must be true or false");
  return operation(delete_project{project_of(c), force == "true"});
}

answer<operation> start_project_of(const call& c) {
  return operation(change_project{project_of(c), project_verb::start});
}

answer<operation> stop_project_of(const call& c) {
  return operation(change_project{project_of(c), project_verb::stop});
}

answer<operation> restart_project_of(const call& c) {
  return operation(change_project{project_of(c), project_verb::restart});
}

answer<operation> run_shell_of(const call& c) {
  return submit_of(command_type::shell, "ShellRequest", c);
}

answer<operation> run_git_of(const call& c) {
  return submit_of(command_type::git, "GitRequest", c);
}

answer<operation> run_claude_of(const call& c) {
  return submit_of(command_type::claude, "ClaudeRequest", c);
}

answer<operation> open_stream_of(const call& c) {
  std::vector<field_problem> problems;
  open_stream out{project_of(c), {}, {}};
  const auto wanted = query(c, "stream_id");
  if (wanted)
    out.command = command_id::parse(*wanted);
  if (const auto how = query(c, "framing"); how && *how != "line" && *how != "chunk")
    problems.push_back({"framing", "must be line or chunk"});
  const auto* field = c.last_event_id.empty() ? "last_event_id" : "Last-Event-ID";
  const auto last = c.last_event_id.empty() ? query(c, "last_event_id").value_or("") : c.last_event_id;
  if (!last.empty() && wanted) {
    out.after = from_event_id(last);
    if (!out.after)
      problems.push_back({field, "is not the id of an event of this stream: leave it out to begin at the start"});
  }
  if (!problems.empty())
    return bad_request(std::move(problems));
  return wanted && !out.command ? answer<operation>(no_such("command")) : answer<operation>(std::move(out));
}

answer<operation> list_commands_of(const call& c) {
  std::vector<field_problem> problems;
  list_commands out;
  out.at = page_of(c, problems, is_id<command_id>);
  out.project = query(c, "project");
  if (out.project)
    note(problems, "project", rules::of_project_id(*out.project));
  if (const auto status = query(c, "status")) {
    out.status = command_status_from(*status);
    if (!out.status)
      problems.push_back({"status", "must be one of queued, running, completed, failed, timed_out, cancelled, lost"});
  }
  return unless(std::move(problems), std::move(out));
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

} // namespace rdev::http
