// Stored bytes of one stream of a command, page by page.
#pragma once

#include "adapters/api.hpp"
#include "adapters/http/reply.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace rdev::http {

// Half-open range of bytes.
struct byte_range {
  std::uint64_t from = 0;
  std::uint64_t to = 0;
};

enum class range_wish : std::uint8_t { none, satisfiable, unsatisfiable };

// One range of RFC 9110, section 14.2 (`bytes=0-99`, `bytes=100-`, `bytes=-100`) of `size` bytes. Several ranges,
// another unit or a malformed field count as none, as the RFC allows.
range_wish parse_range(std::string_view field, std::uint64_t size, byte_range& out);

// The bytes [range.from, range.to) of what `first` is the beginning of; `first` starts at `first_offset`.
std::shared_ptr<feed> make_byte_feed(api& house, const command_id& id, stream which, byte_range range,
                                     output_bytes first, std::uint64_t first_offset);

} // namespace rdev::http
