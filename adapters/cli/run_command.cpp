#include "adapters/cli/run_command.hpp"

#include "adapters/cli/canceller.hpp"
#include "adapters/cli/conclusion.hpp"
#include "adapters/cli/follow.hpp"
#include "adapters/cli/signal_watch.hpp"
#include "messages/values/output.hpp"

#include <unistd.h>

#include <mutex>

namespace rdev::cli {

namespace {

constexpr milliseconds budget{60'000};
// A reader that has gone waits for nothing: the shell wants its prompt back.
constexpr milliseconds longest_farewell{5000};

int report(const trouble& what) {
  complain(what.message);
  return own_trouble;
}

std::optional<trouble> not_text(const run_request& request) {
  const auto bad = [](const std::string& what) {
    return trouble{trouble_kind::misuse, what + " is not valid UTF-8, and the server takes nothing else"};
  };
  for (std::size_t i = 0; i < request.argv.size(); ++i)
    if (!valid_utf8(request.argv[i]))
      return bad("argument " + std::to_string(i) + " of the command");
  for (const auto& [name, value] : request.env)
    if (!valid_utf8(name) || !valid_utf8(value))
      return bad("the variable " + name);
  if (!valid_utf8(request.workdir))
    return bad("the working directory");
  return std::nullopt;
}

// Shows the command to its end; `signal` says at the end whether we were asked to stop.
template <class Signal>
std::variant<conclusion, trouble> show(server& from, const command_name& which, const Signal& signal) {
  descriptor_sink out(STDOUT_FILENO);
  descriptor_sink err(STDERR_FILENO);
  receiver into(out, err);
  const auto end = follow(from, which, into);
  if (const auto* bad = std::get_if<trouble>(&end))
    return *bad;
  return conclude(std::get<completion>(end), signal());
}

int say(const conclusion& made) {
  for (const auto& remark : made.remarks)
    complain(remark);
  return made.code;
}

int print_detached(const json::value& data, const std::string& id, bool as_json) {
  const auto error = descriptor_sink(STDOUT_FILENO).write((as_json ? data.text() : id) + "\n");
  if (error == std::errc::broken_pipe)
    die_of_broken_pipe();
  return error ? report({trouble_kind::output_failed, "cannot write to stdout: " + error.message()}) : 0;
}

class running {
public:
  running(const account& who, const run_request& request)
      : watch_([this](int) { interrupt(); }), submitting_(who, submit_time_, budget),
        following_(who, follow_time_, budget), cancel_(who, budget), request_(request) {
    const std::lock_guard held(ready_mutex_);
    ready_ = true;
    if (watch_.seen() != 0)
      stop_all();
  }

  ~running() {
    const std::lock_guard held(ready_mutex_);
    ready_ = false; // a signal from now on finds nothing to act on
  }
  running(const running&) = delete;
  running& operator=(const running&) = delete;

  int run(bool as_json) {
    const auto body = body_of(request_);
    if (const auto* bad = std::get_if<trouble>(&body))
      return report(*bad);
    const auto path = "/projects/" + percent_encoded(request_.project) + "/shell";
    const auto answer = submitting_.ask("POST", path, std::get<std::string>(body));
    if (const auto* bad = std::get_if<trouble>(&answer))
      return ended_early(*bad);
    const auto& data = std::get<reply>(answer).data;
    const auto id_node = data["id"];
    const std::string id(id_node.as_string());
    if (id.empty())
      return report({trouble_kind::unreadable, "the server accepted the command without naming it"});
    if (request_.detach)
      return print_detached(data, id, as_json);
    cancel_.aim(id);
    const auto shown = show(following_, {request_.project, id}, [this] { return watch_.seen(); });
    if (const auto* bad = std::get_if<trouble>(&shown))
      return given_up(*bad, id);
    return say(std::get<conclusion>(shown));
  }

private:
  // Runs on the signal thread, perhaps before the constructor is through.
  void interrupt() {
    const std::lock_guard held(ready_mutex_);
    if (ready_)
      stop_all();
  }
  void stop_all() {
    submit_time_.stop();
    cancel_.fire();
  }

  int ended_early(const trouble& what) {
    complain(what.message);
    return watch_.seen() != 0 ? 128 + watch_.seen() : own_trouble;
  }

  int given_up(const trouble& what, const std::string& id) {
    if (what.kind == trouble_kind::output_closed) {
      cancel_.fire();
      cancel_.wait_for_answer(longest_farewell);
      die_of_broken_pipe();
    }
    const bool may_go_on = what.kind != trouble_kind::refused;
    complain(what.message + (may_go_on ? "; the command may go on, see: rdev tail " + id : ""));
    return watch_.seen() != 0 ? 128 + watch_.seen() : own_trouble;
  }

  std::mutex ready_mutex_;
  bool ready_ = false;
  signal_watch watch_;
  system_clock submit_time_;
  system_clock follow_time_; // never stopped: after the first Ctrl-C output is shown on
  server submitting_;
  server following_;
  canceller cancel_;
  const run_request& request_;
};

} // namespace

std::variant<std::string, trouble> body_of(const run_request& request) {
  if (auto bad = not_text(request))
    return *bad;
  json::writer body;
  body.begin_object().key("command").begin_array();
  for (const auto& argument : request.argv)
    body.string(argument);
  body.end_array();
  if (request.timeout_seconds)
    body.key("timeout_seconds").integer(*request.timeout_seconds);
  if (!request.priority.empty())
    body.key("priority").string(request.priority);
  if (!request.env.empty()) {
    body.key("env").begin_object();
    for (const auto& [name, value] : request.env)
      body.key(name).string(value);
    body.end_object();
  }
  if (!request.workdir.empty())
    body.key("workdir").string(request.workdir);
  body.end_object();
  return body.take();
}

int run_command(const account& who, const run_request& request, bool as_json) {
  return running(who, request).run(as_json);
}

int tail_command(const account& who, const std::string& command_id) {
  // Watching is not owning: Ctrl-C ends the watching only.
  signal_watch watch([](int number) { ::_exit(128 + number); });
  system_clock time;
  server from(who, time, budget);
  const auto answer = from.ask("GET", "/commands/" + percent_encoded(command_id));
  if (const auto* bad = std::get_if<trouble>(&answer))
    return report(*bad);
  const auto project = std::get<reply>(answer).data["project"];
  const auto shown = show(from, {std::string(project.as_string()), command_id}, [] { return 0; });
  if (const auto* bad = std::get_if<trouble>(&shown)) {
    if (bad->kind == trouble_kind::output_closed)
      die_of_broken_pipe();
    return report(*bad);
  }
  return say(std::get<conclusion>(shown));
}

} // namespace rdev::cli
