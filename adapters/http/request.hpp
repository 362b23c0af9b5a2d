// One HTTP request as it arrived: whole, bounded, its framing checked.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rdev::http {

struct request {
  std::vector<char>
      head; // what the views below look into; a vector, because its bytes stay where they are when it moves
  std::string_view method;
  std::string_view target;                                           // origin-form: path and query as they were sent
  std::vector<std::pair<std::string_view, std::string_view>> fields; // names in lower case, in the order of arrival
  std::string body;
  bool framed = false;     // a Content-Length or chunks said how long the body is
  bool keep_alive = false; // the client would like to send more on this connection

  request() = default;
  request(request&&) noexcept = default;
  request& operator=(request&&) noexcept = default;
  request(const request&) = delete;
  request& operator=(const request&) = delete;
  ~request() = default;

  // The first field of this (lower-case) name; empty view if there is none or it is empty.
  [[nodiscard]] std::string_view field(std::string_view name) const {
    const auto found = std::find_if(fields.begin(), fields.end(), [&](const auto& f) { return f.first == name; });
    return found == fields.end() ? std::string_view{} : found->second;
  }
  [[nodiscard]] std::size_t count(std::string_view name) const {
    return static_cast<std::size_t>(
        std::count_if(fields.begin(), fields.end(), [&](const auto& f) { return f.first == name; }));
  }
  [[nodiscard]] bool has(std::string_view name) const {
    return count(name) > 0;
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
      if (key == name) {
        out += out.empty() ? "" : ", ";
        out += value;
      }
    return out;
  }
  [[nodiscard]] std::string_view path() const {
    return target.substr(0, target.find('?'));
  }
  [[nodiscard]] std::string_view query() const {
    const auto mark = target.find('?');
    return mark == std::string_view::npos ? std::string_view{} : target.substr(mark + 1);
  }
};

} // namespace rdev::http
