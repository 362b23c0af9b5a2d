// Members of JSON objects that may be null.
#pragma once

#include "adapters/json/json.hpp"
#include "messages/values/ids.hpp"
#include "messages/values/time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::http {

inline void maybe(json::writer& out, std::string_view name, const std::optional<std::string>& v) {
  out.key(name);
  v ? out.string(*v) : out.null();
}

inline void maybe(json::writer& out, std::string_view name, const std::optional<timestamp>& v) {
  maybe(out, name, v ? std::optional(to_rfc3339(*v)) : std::nullopt);
}

inline void maybe(json::writer& out, std::string_view name, const std::optional<key_id>& v) {
  maybe(out, name, v ? std::optional(v->text()) : std::nullopt);
}

inline void maybe(json::writer& out, std::string_view name, const std::optional<std::int64_t>& v) {
  out.key(name);
  v ? out.integer(*v) : out.null();
}

inline void maybe(json::writer& out, std::string_view name, const std::optional<std::vector<std::string>>& v) {
  out.key(name);
  if (!v) {
    out.null();
    return;
  }
  out.begin_array();
  for (const auto& one : *v)
    out.string(one);
  out.end_array();
}

} // namespace rdev::http
