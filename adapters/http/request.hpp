// One HTTP request as it arrived: whole, bounded, its framing checked.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rdev::http {

struct request {
  std::string method;
  std::string target;                                      // origin-form: path and query as they were sent
  std::vector<std::pair<std::string, std::string>> fields; // names in lower case, in the order of arrival
  std::string body;
  bool framed = false;     // a Content-Length or chunks said how long the body is
  bool keep_alive = false; // the client would like to send more on this connection

  // The first field of this (lower-case) name; empty view if there is none or it is empty.
  [[nodiscard]] std::string_view field(std::string_view name) const {
    const auto found = std::find_if(fields.begin(), fields.end(), [&](const auto& f) { return f.first == name; });
    return found == fields.end() ? std::string_view{} : std::string_view(found->second);
  }
  [[nodiscard]] bool has(std::string_view name) const {
    return std::any_of(fields.begin(), fields.end(), [&](const auto& f) { return f.first == name; });
  }
  // Whether all fields of this name say the same.
  [[nodiscard]] bool agrees(std::string_view name) const {
    return std::all_of(fields.begin(), fields.end(),
                       [&](const auto& f) { return f.first != name || f.second == field(name); });
  }
  // All fields of this name as one list (RFC 9110, section 5.3).
  [[nodiscard]] std::string joined(std::string_view name) const {
    std::string out;
    for (const auto& [key, value] : fields)
      if (key == name)
        out += (out.empty() ? "" : ", ") + value;
    return out;
  }
  [[nodiscard]] std::string_view path() const {
    return std::string_view(target).substr(0, target.find('?'));
  }
  [[nodiscard]] std::string_view query() const {
    const auto mark = target.find('?');
    return mark == std::string::npos ? std::string_view{} : std::string_view(target).substr(mark + 1);
  }
};

} // namespace rdev::http
