#pragma once

#include <string_view>

namespace rdev::http {

// docs/openapi.yaml as JSON, embedded at build time.
extern const std::string_view openapi_json;

} // namespace rdev::http
