#include "adapters/cli/arguments.hpp"

#include "adapters/cli/conclusion.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <sstream>

namespace rdev::cli {

namespace {

constexpr const char* about =
    "rdev runs commands in remote projects and shows what they say.\n"
    "\n"
    "Environment: RDEV_URL (default http://127.0.0.1:8080) and RDEV_API_KEY. The variable is the better place for the\n"
    "key: every user of this machine can see the arguments of a running program.\n"
    "Exit codes of run and tail: the command's own; 124 time is up; 125 trouble of rdev's own (one line on stderr);\n"
    "130 or 143 after SIGINT or SIGTERM. Ctrl-C asks the server to cancel the command and goes on showing its output,\n"
    "a second one leaves at once. When the reader of the output goes away (`| head`), the command is cancelled too.";

constexpr const char* default_url = "http://127.0.0.1:8080";

// `30s 5m 10h 7d` as seconds.
std::optional<std::int64_t> seconds_from(std::string_view text) {
  std::int64_t number = 0;
  const auto* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc{} || last - end != 1 || number < 1 || number > 10'000'000)
    return std::nullopt;
  switch (*end) {
  case 's':
    return number;
  case 'm':
    return number * 60;
  case 'h':
    return number * 3600;
  case 'd':
    return number * 86400;
  default:
    return std::nullopt;
  }
}

std::optional<std::int64_t> whole_number_from(std::string_view text) {
  std::int64_t number = 0;
  const auto* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc{} || end != last || number < 0)
    return std::nullopt;
  return number;
}

// What CLI11 fills in, before it is looked at.
struct raw {
  invocation made;
  run_request run;
  std::string timeout;
  std::vector<std::string> env;
  std::string id;
  list_commands commands;
  create_key key;
  create_webhook webhook;
  list_deliveries deliveries;
  export_request exported;
  std::string after;
  std::string output = "table";
  std::string url;
  std::string secret_text;
  std::optional<std::size_t> limit;
};

class parser {
public:
  explicit parser(const environment& env) : env_(env) {
    app_.name("rdev");
    app_.require_subcommand(1);
    app_.fallthrough();
    app_.add_option("--url", got_.url, "address of the server, before RDEV_URL")->type_name("URL");
    app_.add_option("--key", got_.secret_text, "API key, before RDEV_API_KEY (others can see it: prefer the variable)")
        ->type_name("KEY");
    add_commands();
    add_projects();
    add_keys();
    add_webhooks();
    add_audit();
  }

  std::variant<invocation, early_end> parse(std::vector<std::string> arguments) {
    const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
    const bool has_dashes = dashes != arguments.end();
    if (has_dashes)
      got_.run.argv.assign(dashes + 1, arguments.end());
    arguments.erase(dashes, arguments.end());
    std::reverse(arguments.begin(), arguments.end()); // CLI11 wants them so
    try {
      app_.parse(std::move(arguments));
      return finish(has_dashes);
    } catch (const CLI::ParseError& e) {
      std::ostringstream out;
      std::ostringstream problem;
      const int code = app_.exit(e, out, problem);
      // CLI11 says only that a sub-command is missing, not that this one is unknown.
      if (e.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError) && !app_.remaining().empty())
        problem << "unknown: " << app_.remaining().front() << '\n';
      return code == 0 ? early_end{0, out.str()} : early_end{own_trouble, problem.str()};
    }
  }

private:
  CLI::App* verb(CLI::App& parent, const char* name, const char* what, std::function<wish()> then) {
    auto* sub = parent.add_subcommand(name, what);
    sub->final_callback([this, then = std::move(then)] {
      if (!decided_) // the inner one of `keys create` comes first
        got_.made.what = then();
      decided_ = true;
    });
    return sub;
  }

  void output_option(CLI::App* sub) {
    sub->add_option("-o,--output", got_.output, "table, or json: the server's data as it is")
        ->check(CLI::IsMember({"table", "json"}))
        ->type_name("FORMAT");
  }

  void limit_option(CLI::App* sub, const char* what) {
    sub->add_option("--limit", got_.limit, what)->type_name("N")->check(CLI::PositiveNumber);
  }

  void add_commands() {
    auto* run = verb(app_, "run", "run a command: rdev run PROJECT -- CMD...", [this] { return wish(got_.run); });
    run->footer("Everything behind -- is the command: program and arguments, run without a shell.");
    run->add_option("project", got_.run.project, "where to run it")->required()->type_name("PROJECT");
    run->add_option("--timeout", got_.timeout, "end it after this time: 30s, 5m, 2h, 1d")->type_name("TIME");
    run->add_option("--priority", got_.run.priority, "critical, high, normal or low")->type_name("P");
    run->add_option("--env", got_.env,
                    "a variable for the command; without a value, rdev's own of that name. Repeatable")
        ->type_name("NAME[=VALUE]")
        ->allow_extra_args(false); // else CLI11 takes `[a,b]` for a list
    run->add_option("--workdir", got_.run.workdir, "a folder within the workspace")->type_name("DIR");
    run->add_flag("--detach", got_.run.detach, "print the command's id and leave it running");
    output_option(run);
    auto* tail = verb(app_, "tail", "show a command's output from its beginning; Ctrl-C leaves the command alone",
                      [this] { return wish(tail_request{got_.id}); });
    tail->add_option("command", got_.id, "its id (cmd_...)")->required()->type_name("COMMAND_ID");
    auto* cancel = verb(app_, "cancel", "end a command", [this] { return wish(cancel_request{got_.id}); });
    cancel->add_option("command", got_.id, "its id (cmd_...)")->required()->type_name("COMMAND_ID");
    output_option(cancel);
    auto* list = verb(app_, "commands", "list commands, newest first", [this] {
      got_.commands.limit = got_.limit.value_or(50);
      return wish(got_.commands);
    });
    list->add_option("--project", got_.commands.project, "only this project's")->type_name("P");
    list->add_option("--status", got_.commands.status, "only those that are queued, running, completed, ...")
        ->type_name("S");
    limit_option(list, "how many at most (default 50)");
    output_option(list);
    output_option(verb(app_, "queue", "what waits and runs", [] { return wish(show_queue{}); }));
    verb(app_, "version", "print the version", [] { return wish(show_version{}); });
  }

  void add_projects() {
    auto* list =
        verb(app_, "projects", "list, create and delete projects", [this] { return wish(list_projects{got_.limit}); });
    list->require_subcommand(0, 1);
    limit_option(list, "how many at most");
    output_option(list);
    verb(*list, "create", "make a project", [this] { return wish(create_project{got_.id}); })
        ->add_option("id", got_.id, "its id: a-z, 0-9 and -")
        ->required()
        ->type_name("ID");
    verb(*list, "delete", "delete a project and its files", [this] { return wish(delete_project{got_.id}); })
        ->add_option("id", got_.id, "its id")
        ->required()
        ->type_name("ID");
  }

  void add_keys() {
    auto* list = verb(app_, "keys", "list, create and revoke API keys", [this] { return wish(list_keys{got_.limit}); });
    list->require_subcommand(0, 1);
    limit_option(list, "how many at most");
    output_option(list);
    auto* create =
        verb(*list, "create", "make a key; its secret is printed this once", [this] { return wish(got_.key); });
    create->add_option("name", got_.key.name, "for people")->required()->type_name("NAME");
    repeatable(create, "--scope", got_.key.scopes, "what it may do: projects:read, projects:execute, ...", "S")
        ->required();
    repeatable(create, "--project", got_.key.projects, "only this project", "P");
    repeatable(create, "--allow", got_.key.networks, "only from this network", "CIDR");
    create->add_option("--expires", got_.key.expires, "30d, 60d, 90d (the default), 1y or never")->type_name("WHEN");
    auto* revoke = verb(*list, "revoke", "revoke a key", [this] { return wish(revoke_key{got_.id}); });
    revoke->add_option("id", got_.id, "its id (key_...)")->required()->type_name("ID");
  }

  void add_webhooks() {
    auto* list = verb(app_, "webhooks", "list, create, test and delete webhooks, and show what was delivered",
                      [this] { return wish(list_webhooks{got_.limit}); });
    list->require_subcommand(0, 1);
    limit_option(list, "how many at most");
    output_option(list);
    auto* create = verb(*list, "create", "register an endpoint; its secret is printed this once",
                        [this] { return wish(got_.webhook); });
    create->add_option("url", got_.webhook.url, "where events are sent")->required()->type_name("URL");
    repeatable(create, "--event", got_.webhook.events, "what it is told: command.failed, command.*, *, ...", "E")
        ->required();
    repeatable(create, "--project", got_.webhook.projects, "only this project", "P");
    create->add_option("--description", got_.webhook.description, "for people")->type_name("TEXT");
    create->add_flag("--ordered", got_.webhook.ordered, "each delivery waits until the one before has been taken");
    webhook_of(verb(*list, "delete", "remove a webhook with its deliveries",
                    [this] { return wish(delete_webhook{got_.id}); }));
    webhook_of(verb(*list, "test", "send it the event webhook.test", [this] { return wish(test_webhook{got_.id}); }));
    auto* deliveries = verb(*list, "deliveries", "list what was sent to it, newest first", [this] {
      got_.deliveries.webhook = got_.id;
      got_.deliveries.limit = got_.limit.value_or(50);
      return wish(got_.deliveries);
    });
    webhook_of(deliveries);
    deliveries->add_option("--status", got_.deliveries.status, "only pending, delivered, failed or blocked ones")
        ->type_name("S");
    deliveries->add_option("--event", got_.deliveries.event, "only these events, such as command.*")->type_name("E");
  }

  void add_audit() {
    auto* audit = app_.add_subcommand("audit", "export the audit log");
    audit->require_subcommand(1);
    auto* take = verb(*audit, "export", "write the audit log, one record a line (JSONL), in the order of its chain",
                      [this] { return wish(got_.exported); });
    take->add_flag("--follow", got_.exported.follow, "go on with what comes, until SIGINT or SIGTERM");
    not_empty(take, "-o,--output", got_.exported.file,
              "append to this file, behind its last whole line; without it, stdout", "FILE");
    not_empty(take, "--after", got_.after, "only what is behind this number of the chain; a file goes on by its own",
              "SEQ");
    not_empty(take, "--actor", got_.exported.actor, "only what this key did (key_...)", "KEY_ID");
    not_empty(take, "--action", got_.exported.action, "only this action, or all of a kind: key.*", "A");
    not_empty(take, "--project", got_.exported.project, "only what is about this project", "P");
    not_empty(take, "--from", got_.exported.from, "only what was written then or later: 2030-01-31T12:00:00Z", "TIME");
    not_empty(take, "--to", got_.exported.to, "only what was written before", "TIME");
    take->footer(
        "A filtered export cannot be verified as a chain: rdev-api audit verify --dump FILE wants all records.");
  }

  // An empty filter would choose everything.
  static void not_empty(CLI::App* sub, const char* name, std::string& into, const char* what, const char* type) {
    sub->add_option(name, into, what)->type_name(type)->check([](const std::string& text) {
      return std::string(text.empty() ? "must not be empty: leave it out" : "");
    });
  }

  void webhook_of(CLI::App* sub) {
    sub->add_option("id", got_.id, "its id (wh_...)")->required()->type_name("ID");
  }

  static CLI::Option* repeatable(CLI::App* sub, const char* name, std::vector<std::string>& into,
                                 const std::string& what, const char* type) {
    return sub->add_option(name, into, what + ". Repeatable")->type_name(type)->allow_extra_args(false);
  }

  std::variant<invocation, early_end> finish(bool has_dashes) {
    auto& made = got_.made;
    if (auto* run = std::get_if<run_request>(&made.what)) {
      if (run->argv.empty())
        return misused("what to run is missing: rdev run PROJECT -- CMD...");
      if (auto problem = complete(*run))
        return misused(*problem);
    } else if (has_dashes) {
      return misused("only `rdev run` takes something behind --");
    }
    if (auto* request = std::get_if<export_request>(&made.what); request != nullptr && !got_.after.empty()) {
      const auto after = whole_number_from(got_.after);
      if (!after)
        return misused("--after must be a whole number: the seal.seq of the last record that you have");
      request->after = *after;
    }
    made.as_json = got_.output == "json";
    made.url = !got_.url.empty() ? got_.url : env_("RDEV_URL").value_or("");
    if (made.url.empty())
      made.url = default_url;
    made.key = secret(!got_.secret_text.empty() ? got_.secret_text : env_("RDEV_API_KEY").value_or(""));
    return made;
  }

  std::optional<std::string> complete(run_request& run) {
    if (run.project.empty())
      return "the project must not be empty";
    if (!got_.timeout.empty()) {
      run.timeout_seconds = seconds_from(got_.timeout);
      if (!run.timeout_seconds)
        return "--timeout must be a time such as 30s, 5m, 2h or 1d";
    }
    for (const auto& one : got_.env) {
      const auto equals = one.find('=');
      const auto name = one.substr(0, equals);
      const auto value = equals == std::string::npos ? env_(name) : std::optional(one.substr(equals + 1));
      if (name.empty())
        return "--env must be NAME=VALUE or NAME";
      if (!value)
        return "--env " + name + " has no value, and there is no such variable here";
      run.env.emplace_back(name, *value);
    }
    return std::nullopt;
  }

  static early_end misused(const std::string& why) {
    return {own_trouble, why + "\n"};
  }

  CLI::App app_{about};
  const environment& env_;
  raw got_;
  bool decided_ = false;
};

} // namespace

std::variant<invocation, early_end> parse_arguments(std::vector<std::string> arguments, const environment& env) {
  return parser(env).parse(std::move(arguments));
}

} // namespace rdev::cli
