// What a json::value is inside; for this folder only.
#pragma once

#include "adapters/json/json.hpp"

#include <rapidjson/document.h>

namespace rdev::json {

// What parse() does; none: `into` is good.
std::optional<parse_error> parse_into(rapidjson::Document& into, std::string_view text);

struct value::impl {
  std::shared_ptr<const rapidjson::Document> document;
  const rapidjson::Value* node = nullptr;
};

} // namespace rdev::json
