#include "adapters/failpoint.hpp"

#ifdef RDEV_FAILPOINTS

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

namespace rdev::failpoint {

namespace {

constexpr auto delay = std::chrono::milliseconds(300);
constexpr std::string_view of_shim = "shim.";

struct point {
  std::string name;
  std::string action;
  long nth = 1;
  long passed = 0;
};

// `separator` ends the first word of `text`, which is taken off.
std::string take_word(std::string_view& text, char separator) {
  const auto end = text.find(separator);
  const auto word = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  return std::string(word);
}

std::vector<point> armed() {
  std::vector<point> out;
  const char* variable = std::getenv("RDEV_FAILPOINT");
  std::string_view rest = variable == nullptr ? "" : variable;
  while (!rest.empty()) {
    const auto one = take_word(rest, ',');
    std::string_view parts(one);
    point p;
    p.name = take_word(parts, ':');
    p.action = take_word(parts, ':');
    if (!parts.empty())
      p.nth = std::strtol(std::string(parts).c_str(), nullptr, 10);
    out.push_back(std::move(p));
  }
  return out;
}

struct registry {
  std::mutex mutex;
  std::vector<point> points = armed();
};

registry& all() {
  static registry r;
  return r;
}

bool strike(const std::string& action) {
  if (action == "kill")
    ::kill(::getpid(), SIGKILL);
  else if (action == "stop")
    ::raise(SIGSTOP); // this very thread: a signal to the process lets it go on for a moment
  else if (action == "delay")
    std::this_thread::sleep_for(delay);
  return action == "error";
}

} // namespace

bool pass(std::string_view name) {
  auto& r = all();
  std::vector<std::string> actions;
  {
    const std::lock_guard guard(r.mutex);
    for (auto& p : r.points)
      if (p.name == name && (++p.passed == p.nth || p.action == "delay"))
        actions.push_back(p.action);
  }
  bool fails = false;
  for (const auto& action : actions)
    fails = strike(action) || fails;
  return fails;
}

std::string of_next_shim() {
  auto& r = all();
  const std::lock_guard guard(r.mutex);
  std::string out;
  for (auto& p : r.points)
    if (p.name.starts_with(of_shim) && (++p.passed == p.nth || p.action == "delay"))
      out += (out.empty() ? "" : ",") + p.name + ":" + p.action;
  return out;
}

} // namespace rdev::failpoint

#endif
