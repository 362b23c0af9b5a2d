#include "adapters/cli/server_url.hpp"

#include <algorithm>

namespace rdev::cli {

namespace {

bool unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

} // namespace

std::variant<server_url, std::string> parse_server_url(std::string_view text) {
  const std::string shown(text);
  const auto scheme = text.find("://");
  if (scheme == std::string_view::npos || (text.substr(0, scheme) != "http" && text.substr(0, scheme) != "https"))
    return "the address '" + shown + "' must begin with http:// or https://";
  const auto host = scheme + 3;
  const auto path = std::min(text.find('/', host), text.size());
  const auto authority = text.substr(host, path - host);
  if (authority.empty() || authority.front() == ':')
    return "the address '" + shown + "' names no host";
  if (!printable(text) || text.find_first_of("?#@") != std::string_view::npos)
    return "the address '" + shown + "' must be http://HOST[:PORT][/PATH] and nothing more";
  auto prefix = text.substr(path);
  while (prefix.ends_with('/'))
    prefix.remove_suffix(1);
  return server_url{std::string(text.substr(0, path)), std::string(prefix)};
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (unreserved(c)) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', digits[byte >> 4U], digits[byte & 15U]};
    }
  }
  return out;
}

std::string with_query(std::string path, const query& parameters) {
  char separator = '?';
  for (const auto& [name, value] : parameters) {
    if (value.empty())
      continue;
    path += separator + name + '=' + percent_encoded(value);
    separator = '&';
  }
  return path;
}

} // namespace rdev::cli
