#include "messages/values/output.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace rdev {

namespace {

// Length of the valid UTF-8 sequence that starts at `at`; 0 when there is none (RFC 3629, table of well-formed bytes).
std::size_t sequence_length(std::string_view s, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < s.size() ? static_cast<std::uint8_t>(s[i]) : std::uint8_t{0}; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0U) == 0x80U; };
  const auto first = byte(at);
  const auto second = byte(at + 1);
  if (first < 0x80)
    return 1;
  if (first >= 0xc2 && first <= 0xdf)
    return tail(at + 1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool good = (first != 0xe0 || second >= 0xa0) && (first != 0xed || second <= 0x9f);
    return good && tail(at + 1) && tail(at + 2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool good = (first != 0xf0 || second >= 0x90) && (first != 0xf4 || second <= 0x8f);
    return good && tail(at + 1) && tail(at + 2) && tail(at + 3) ? 4 : 0;
  }
  return 0;
}

// The cut nearest to `at`, at most three bytes before it, that does not go through a valid UTF-8 sequence.
std::size_t cut_before(std::string_view s, std::size_t at) {
  if (at >= s.size())
    return s.size();
  for (std::size_t back = 1; back <= 3 && back < at; ++back) {
    const auto start = at - back;
    if ((static_cast<std::uint8_t>(s[start]) & 0xc0U) == 0x80U)
      continue;
    return sequence_length(s, start) > back ? start : at;
  }
  return at;
}

std::optional<std::uint32_t> number_from(std::string_view text) {
  std::uint32_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || (text.size() > 1 && text[0] == '0'))
    return std::nullopt;
  return n;
}

} // namespace

std::string to_event_id(event_position p) {
  return std::to_string(p.seq) + "-" + std::to_string(p.pos);
}

std::optional<event_position> from_event_id(std::string_view text) {
  const auto dash = text.find('-');
  if (dash == std::string_view::npos)
    return std::nullopt;
  const auto seq = number_from(text.substr(0, dash));
  const auto pos = number_from(text.substr(dash + 1));
  if (!seq || !pos)
    return std::nullopt;
  return event_position{*seq, *pos};
}

void cut_frames(const chunk& c, std::uint32_t from, framing how, const std::function<void(const frame&)>& each) {
  if (!c.bytes)
    return;
  const std::string_view all(*c.bytes);
  std::size_t at = from;
  while (at < all.size()) {
    const auto rest = all.substr(at);
    frame f{c.stream, {}, false, c.offset + at, {}};
    const auto window = std::min(rest.size(), max_frame_bytes + 1);
    const void* lf = how == framing::line ? std::memchr(rest.data(), '\n', window) : nullptr;
    std::size_t used = 0;
    if (lf != nullptr) {
      used = static_cast<std::size_t>(static_cast<const char*>(lf) - rest.data()) + 1;
      f.bytes = rest.substr(0, used - 1);
      f.eol = true;
    } else {
      used = cut_before(rest, max_frame_bytes);
      f.bytes = rest.substr(0, used);
    }
    at += used;
    f.position = {c.seq, static_cast<std::uint32_t>(at)};
    each(f);
  }
}

std::size_t storable_prefix(std::string_view bytes, bool flush) {
  if (flush)
    return bytes.size();
  const auto lf = bytes.rfind('\n');
  std::size_t n = lf == std::string_view::npos ? 0 : lf + 1;
  // One more than a frame must be there, so that a line of exactly a frame's length still gets its LF.
  while (bytes.size() - n > max_frame_bytes)
    n += cut_before(bytes.substr(n), max_frame_bytes);
  return n;
}

std::vector<std::size_t> chunk_sizes(std::string_view bytes) {
  std::vector<std::size_t> out;
  while (!bytes.empty()) {
    auto n = std::min(bytes.size(), max_chunk_bytes);
    if (n < bytes.size()) {
      const auto lf = bytes.substr(0, n).rfind('\n');
      n = lf == std::string_view::npos ? cut_before(bytes, n) : lf + 1;
    }
    out.push_back(n);
    bytes.remove_prefix(n);
  }
  return out;
}

bool valid_utf8(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    std::uint64_t word = 0;
    if (bytes.size() - at >= sizeof word) {
      std::memcpy(&word, bytes.data() + at, sizeof word);
      if ((word & 0x8080808080808080U) == 0) {
        at += sizeof word;
        continue;
      }
    }
    const auto n = sequence_length(bytes, at);
    if (n == 0)
      return false;
    at += n;
  }
  return true;
}

} // namespace rdev
