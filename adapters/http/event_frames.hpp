// Server-sent events as the contract's section Events has them.
#pragma once

#include "messages/values/operations.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace rdev::http {

inline constexpr const char* retry_frame = "retry: 1000\n\n"; // milliseconds until a client comes back
inline constexpr std::size_t part_bytes = 64 * 1024;          // of a part, unless its last frame makes it longer

// Frames of a command's events that are sent together. Shared by all who read them.
struct stream_part {
  event_position from; // for those who have seen so much
  event_position to;   // what they have seen then
  bool last = false;   // `complete` is in it
  std::shared_ptr<const std::string> bytes;
};

// The frames of a page that lies behind `from`, in order; no more than it takes to reach `most_bytes`.
std::vector<stream_part> parts_of(const event_page& page, event_position from, framing how, std::size_t most_bytes);

// What a stream begins with.
std::string connected_frames(const stream_opened& opened);
std::string heartbeat_frame();
std::string status_frame(const project& what);
std::string error_frame(const refusal& why);

} // namespace rdev::http
