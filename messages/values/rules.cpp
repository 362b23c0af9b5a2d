#include "messages/values/rules.hpp"

#include "messages/values/addresses.hpp"
#include "messages/values/projects.hpp"

#include <algorithm>

namespace rdev::rules {

namespace {

constexpr std::string_view workspace = "/workspace";

bool has_nul(std::string_view text) {
  return text.find('\0') != std::string_view::npos;
}

bool letter(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

bool climbs(std::string_view path) {
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (path.substr(0, slash) == "..")
      return true;
    path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
  }
  return false;
}

// RFC 3986: `scheme://user:password@host/…`; over https a mere user is mostly a token.
bool carries_password(std::string_view url) {
  const auto scheme = url.find("://");
  if (scheme == std::string_view::npos)
    return false;
  const auto rest = url.substr(scheme + 3);
  const auto authority = rest.substr(0, rest.find('/'));
  const auto at = authority.rfind('@');
  if (at == std::string_view::npos)
    return false;
  return url.starts_with("https://") || authority.substr(0, at).find(':') != std::string_view::npos;
}

} // namespace

problem of_text(std::string_view text) {
  return has_nul(text) ? problem("holds a NUL character: remove it") : std::nullopt;
}

problem of_argument(std::string_view text) {
  if (text.size() > longest_argument)
    return "is longer than " + std::to_string(longest_argument) + " bytes, which no process can be given: use a file";
  return of_text(text);
}

problem of_program(std::string_view name) {
  return name.empty() ? problem("is empty: name a program") : std::nullopt;
}

problem of_variable_name(std::string_view name) {
  const bool good = !name.empty() && name.size() <= longest_variable_name && letter(name.front()) &&
                    std::all_of(name.begin(), name.end(), [](char c) { return letter(c) || (c >= '0' && c <= '9'); });
  if (!good)
    return "is not a name of a variable: 1 to " + std::to_string(longest_variable_name) +
           " letters, digits and _, not beginning with a digit";
  if (name.starts_with("RDEV_"))
    return "names that begin with RDEV_ belong to rdev: take another one";
  return std::nullopt;
}

problem of_variable(std::string_view name, std::string_view value) {
  if (name.size() + 1 + value.size() > longest_argument)
    return "is longer than " + std::to_string(longest_argument) +
           " bytes with its name, which no process can be given: use a file";
  return of_text(value);
}

problem of_given(std::size_t bytes) {
  if (bytes <= most_given)
    return std::nullopt;
  return "is too large: arguments and variables of a process may have " + std::to_string(most_given) +
         " bytes together; use a file";
}

problem of_workdir(std::string_view path) {
  const bool outside = path.starts_with('/') && path != workspace && !path.starts_with(std::string(workspace) + "/");
  if (outside || has_nul(path) || climbs(path) || within_workspace(path).starts_with('/'))
    return "must be a path within the workspace, without .. and NUL: relative to it, or below /workspace";
  return std::nullopt;
}

std::string within_workspace(std::string_view path) {
  if (path == workspace)
    return "";
  if (path.starts_with(workspace) && path.substr(workspace.size()).starts_with('/'))
    path.remove_prefix(workspace.size() + 1);
  return std::string(path);
}

problem of_timeout(std::chrono::seconds wanted, std::chrono::seconds most) {
  if (wanted <= most)
    return std::nullopt;
  return "is above commands.max_timeout: ask for at most " + std::to_string(most.count()) + " seconds";
}

problem of_project_id(std::string_view id) {
  if (valid_project_id(id))
    return std::nullopt;
  return "is not a project id: 1 to 40 characters of a-z, 0-9 and -, not beginning or ending with -";
}

problem of_label(std::string_view name) {
  if (!name.empty() && name.size() <= 63 && name.find_first_of("=\n\r") == std::string_view::npos && !has_nul(name))
    return std::nullopt;
  return "is not a name of a label: 1 to 63 characters without =, NUL and line ends";
}

problem of_repository(std::string_view url) {
  if (!carries_password(url))
    return std::nullopt;
  return "carries a password, which everybody who sees the pod could read: let git find it in a Secret of env_from "
         "(GIT_ASKPASS, GIT_CONFIG_…)";
}

problem of_bound_key(const scopes& granted) {
  return granted.has(scope::admin)
             ? problem("a key with scope admin cannot be bound to projects: leave one of them out")
             : std::nullopt;
}

problem of_network(std::string_view text) {
  return ip_network::parse(text) ? std::nullopt : problem("is not an address or a network such as 10.0.0.0/8");
}

problem of_end(timestamp at, timestamp now) {
  return at > now ? std::nullopt : problem("lies in the past: give a time to come (a key is ended by revoking it)");
}

problem of_lifetime(std::optional<timestamp> end, timestamp now, std::chrono::seconds most) {
  if (most <= std::chrono::seconds::zero() || (end && *end <= now + most))
    return std::nullopt;
  constexpr std::int64_t day = 86400;
  const auto length = most.count() % day == 0 ? std::to_string(most.count() / day) + " days"
                                              : std::to_string(most.count()) + " seconds";
  return "a key of this server lives no longer than " + length + " (keys.max_lifetime)";
}

problem of_overlap(std::chrono::seconds wanted) {
  return wanted <= longest_overlap ? std::nullopt : problem("must be at most 30d");
}

} // namespace rdev::rules
