// Addresses and paths: what a user gives, and what goes into a request line.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace rdev::cli {

struct server_url {
  std::string origin; // `http://host:port`
  std::string prefix; // what a reverse proxy has in front of our paths: `/rdev`, or empty
};

// The second alternative says what is wrong with it.
std::variant<server_url, std::string> parse_server_url(std::string_view text);

// One segment of a path or one value of a query: everything but unreserved characters as %XX.
std::string percent_encoded(std::string_view text);

using query = std::vector<std::pair<std::string, std::string>>;
// `path` and its query; empty values are left out.
std::string with_query(std::string path, const query& parameters);

} // namespace rdev::cli
