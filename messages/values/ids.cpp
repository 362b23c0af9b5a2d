#include "messages/values/ids.hpp"

#include "messages/values/hex.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <system_error>

namespace rdev {

namespace {

constexpr std::string_view alphabet = "0123456789abcdefghjkmnpqrstvwxyz";

void fill_random(std::uint8_t* out, std::size_t n) {
  while (n > 0) {
    const auto got = ::getrandom(out, n, 0);
    if (got < 0 && errno != EINTR)
      throw std::system_error(errno, std::generic_category(), "getrandom");
    if (got > 0) {
      out += got;
      n -= static_cast<std::size_t>(got);
    }
  }
}

// The last id given out: within one millisecond the next one is this one plus one (RFC 9562, 6.2, method 2).
struct last_given {
  std::mutex mutex;
  std::uint64_t ms = 0;
  uuid_bytes bytes{};
  bool any = false;
};

void stamp(uuid_bytes& b, std::uint64_t ms) {
  for (std::size_t i = 0; i < 6; ++i)
    b[i] = static_cast<std::uint8_t>(ms >> (8 * (5 - i)));
  b[6] = static_cast<std::uint8_t>(0x70U | (b[6] & 0x0fU));
  b[8] = static_cast<std::uint8_t>(0x80U | (b[8] & 0x3fU));
}

// Adds one to the random part; false when it overflows.
bool increment(uuid_bytes& b) {
  for (std::size_t i = 15; i > 8; --i)
    if (++b[i] != 0)
      return true;
  return false;
}

} // namespace

uuid_bytes new_uuid_v7(std::uint64_t unix_ms) {
  static last_given last;
  std::lock_guard guard(last.mutex);
  if (last.any && unix_ms <= last.ms && increment(last.bytes))
    return last.bytes;
  last.ms = last.any ? std::max(unix_ms, last.ms + 1)
                     : unix_ms; // a clock that stands still or runs back does not turn the order round
  fill_random(last.bytes.data() + 6, 10);
  last.any = true;
  // Room to count upwards within the millisecond.
  last.bytes[9] = static_cast<std::uint8_t>(last.bytes[9] & 0x7fU);
  stamp(last.bytes, last.ms);
  return last.bytes;
}

uuid_bytes new_uuid_v7() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return new_uuid_v7(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()));
}

// 128 bits in 26 digits of five bits: the first digit carries only three.
std::string to_base32(const uuid_bytes& bytes) {
  std::string out(26, '0');
  std::uint32_t buffer = 0;
  int bits = 2; // two leading zero bits make 130
  std::size_t at = 0;
  for (const auto b : bytes) {
    buffer = buffer << 8U | b;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out[at++] = alphabet[buffer >> static_cast<unsigned>(bits) & 31U];
    }
    buffer &= 0xffU;
  }
  return out;
}

std::optional<uuid_bytes> from_base32(std::string_view text) {
  if (text.size() != 26 || text[0] > '7')
    return std::nullopt;
  uuid_bytes out{};
  std::uint32_t buffer = 0;
  int bits = -2;
  std::size_t at = 0;
  for (const char c : text) {
    const auto digit = alphabet.find(c);
    if (digit == std::string_view::npos)
      return std::nullopt;
    buffer = (buffer << 5U | static_cast<std::uint32_t>(digit)) & 0xffffU;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out[at++] = static_cast<std::uint8_t>(buffer >> static_cast<unsigned>(bits));
    }
  }
  return out;
}

std::string to_uuid_text(const uuid_bytes& bytes) {
  std::string out;
  out.reserve(36);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      out += '-';
    add_hex(out, bytes[i]);
  }
  return out;
}

std::optional<uuid_bytes> from_uuid_text(std::string_view text) {
  if (text.size() != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-')
    return std::nullopt;
  uuid_bytes out{};
  std::size_t at = 0;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    if (text[i] == '-')
      ++i;
    const int both = hex_digit(text[i]) * 16 | hex_digit(text[i + 1]);
    if (both < 0)
      return std::nullopt;
    out[at++] = static_cast<std::uint8_t>(both);
  }
  return out;
}

} // namespace rdev
