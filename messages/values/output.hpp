// Output as it is stored and as it is delivered. A command's output is one sequence of chunks over both streams;
// frames are cut from chunks by one deterministic rule, so that an event id means the same on every node for ever.
#pragma once

#include "messages/values/commands.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev {

inline constexpr std::size_t max_chunk_bytes = 64 * 1024;
inline constexpr std::size_t max_frame_bytes = 32 * 1024;

// A place in a command's event order: "everything up to byte `pos` of item `seq` has been seen"; {0, 0} = nothing yet.
// Item 1 is `status queued`, item 2 `status running`, chunks count from 3, `complete` is the item after the last chunk
// (3 when there is none). Behind {s, p} lie all items with a greater number and the rest of chunk s.
struct event_position {
  std::uint32_t seq = 0;
  std::uint32_t pos = 0;
  friend auto operator<=>(const event_position&, const event_position&) = default;
};
inline constexpr std::uint32_t seq_queued = 1;
inline constexpr std::uint32_t seq_running = 2;
inline constexpr std::uint32_t seq_first_chunk = 3;

// The event id: opaque to clients.
std::string to_event_id(event_position p);
std::optional<event_position> from_event_id(std::string_view text);

// One stored piece of one stream. A chunk of stream `out` or `err` holds 1 to max_chunk_bytes bytes; a marker says
// that the cap was reached and holds none.
struct chunk {
  std::uint32_t seq = seq_first_chunk;
  rdev::stream stream = rdev::stream::out;
  bool truncation_marker = false;
  std::uint64_t offset = 0; // of its first byte in its stream
  std::shared_ptr<const std::string> bytes;
  timestamp at{};
};

enum class framing : std::uint8_t { line, chunk };

struct frame {
  rdev::stream stream = rdev::stream::out;
  std::string_view bytes; // without the LF
  bool eol = false;       // an LF followed (always false with framing::chunk)
  std::uint64_t offset = 0;
  event_position position; // just after this frame
};

// Cuts what lies behind byte `from` of a chunk into frames of at most max_frame_bytes bytes and hands them out in
// order. A long line is cut between UTF-8 sequences where there is such a place. Views live as long as the chunk.
void cut_frames(const chunk& c, std::uint32_t from, framing how, const std::function<void(const frame&)>& each);

// How many of `bytes` may be stored now as chunks so that lines stay whole: all up to the last LF; of the rest only
// whole max_frame_bytes pieces. `flush` = all of it.
std::size_t storable_prefix(std::string_view bytes, bool flush);
// Cuts `bytes` into chunk sizes: at most max_chunk_bytes each, after an LF where there is one, else between UTF-8
// sequences.
std::vector<std::size_t> chunk_sizes(std::string_view bytes);

bool valid_utf8(std::string_view bytes);

// A page of a command's events, in order. `running` and `queued` say which status events lie in it.
struct event_page {
  command_id command;
  std::string project;
  bool queued = false;
  bool running = false;
  std::vector<chunk> chunks; // the first one to be read from byte `first_pos`
  std::uint32_t first_pos = 0;
  std::optional<command_result> completed; // the command has ended and nothing lies behind this page
  event_position next;                     // where to go on
};

// Where a reader of a command's events stands.
struct event_place {
  command_id command;
  event_position position;
};

} // namespace rdev
