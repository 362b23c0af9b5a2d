// The table of all keys: how each is set, and within which bounds. For this folder only.
#pragma once

#include "config/settings.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rdev::config {

// How one key is set from text, or from the items of a list; answers what is wrong, or nothing.
using setter = std::function<std::string(settings&, std::string_view)>;
using list_setter = std::function<std::string(settings&, const std::vector<std::string>&)>;
struct known_key {
  std::string name;
  std::variant<setter, list_setter> set;
};

const std::vector<known_key>& all_keys();

} // namespace rdev::config
