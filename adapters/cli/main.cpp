// The program `rdev`: arguments -> server -> output. Decides nothing but which of the parts is asked.
#include "adapters/cli/arguments.hpp"
#include "adapters/cli/conclusion.hpp"
#include "adapters/cli/listings.hpp"
#include "adapters/cli/run_command.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>

namespace {

using namespace rdev;
using namespace rdev::cli;

// A list is asked for by somebody who waits: shorter than the patience of `run`, longer than a restart.
constexpr milliseconds listing_budget{10'000};
// What changes something is worth a minute.
constexpr milliseconds changing_budget{60'000};

int print(int fd, const std::string& text, int code) {
  const auto error = descriptor_sink(fd).write(text);
  if (error == std::errc::broken_pipe)
    die_of_broken_pipe();
  if (error && fd == STDOUT_FILENO) {
    complain("cannot write to stdout: " + error.message());
    return own_trouble;
  }
  return code;
}

int refuse(const std::string& why) {
  complain(why);
  return own_trouble;
}

bool fit_for_header(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

template <class Wish>
constexpr bool is_listing =
    std::is_same_v<Wish, list_commands> || std::is_same_v<Wish, list_projects> || std::is_same_v<Wish, list_keys> ||
    std::is_same_v<Wish, list_webhooks> || std::is_same_v<Wish, list_deliveries> || std::is_same_v<Wish, show_queue>;

struct performer {
  const account& who;
  bool as_json;

  int operator()(const run_request& request) const {
    return run_command(who, request, as_json);
  }
  int operator()(const tail_request& request) const {
    return tail_command(who, request.command_id);
  }
  int operator()(const export_request& request) const {
    return export_audit(who, request);
  }
  int operator()(const show_version&) const {
    return 0; // has been answered without a server
  }
  template <class Wish>
  int operator()(const Wish& what) const {
    rdev::cli::system_clock time;
    server at(who, time, is_listing<Wish> ? listing_budget : changing_budget);
    const auto result = perform(at, what, as_json);
    if (const auto* bad = std::get_if<trouble>(&result))
      return refuse(bad->message);
    return print(STDOUT_FILENO, std::get<std::string>(result), 0);
  }
};

int perform(const invocation& asked) {
  if (std::holds_alternative<show_version>(asked.what))
    return print(STDOUT_FILENO, "rdev " RDEV_VERSION "\n", 0);
  const auto url = parse_server_url(asked.url);
  if (const auto* problem = std::get_if<std::string>(&url))
    return refuse(*problem);
  if (asked.key.empty())
    return refuse("no API key: set RDEV_API_KEY");
  if (!fit_for_header(asked.key.reveal()))
    return refuse("the API key has characters that no key has: look for a line end in RDEV_API_KEY");
  const account who{std::get<server_url>(url), asked.key};
  return std::visit(performer{who, asked.as_json}, asked.what);
}

std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

} // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN); // a write says so instead
  try {
    const auto parsed = parse_arguments({argv + 1, argv + argc}, variable);
    if (const auto* end = std::get_if<early_end>(&parsed))
      return print(end->code == 0 ? STDOUT_FILENO : STDERR_FILENO, end->text, end->code);
    return perform(std::get<invocation>(parsed));
  } catch (const std::exception& e) {
    return refuse(e.what());
  }
}
