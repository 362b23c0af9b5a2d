#pragma once

#include <string_view>

namespace rdev::kubernetes {

// shim.sh, without its comments; built in.
extern const std::string_view shim_text;

} // namespace rdev::kubernetes
