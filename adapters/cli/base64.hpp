// Base64 (RFC 4648, section 4), strict: padded, no line breaks.
#pragma once

#include <string>
#include <string_view>

namespace rdev::cli {

// Replaces the content of `out`; false, and `out` is of no use, when `text` is not base64.
bool decode_base64(std::string_view text, std::string& out);

} // namespace rdev::cli
