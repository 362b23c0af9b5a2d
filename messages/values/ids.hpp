// Strong identifiers: UUIDv7 (RFC 9562, section 5.7) in memory and in the database, and outside as a prefix and
// 26 characters of lower-case Crockford base32, for example `cmd_01j9x2k4e7f8g9h0j1k2m3n4p5`.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace rdev {

using uuid_bytes = std::array<std::uint8_t, 16>;

// A fresh UUIDv7: 48 bits of `unix_ms`, then random bits of the operating system. Ids of one process never repeat
// and never run backwards, also within one millisecond. Throws std::system_error when the system has no randomness.
uuid_bytes new_uuid_v7(std::uint64_t unix_ms);
uuid_bytes new_uuid_v7();

std::string to_base32(const uuid_bytes& bytes);
std::optional<uuid_bytes> from_base32(std::string_view text);
// The canonical 8-4-4-4-12 form, as PostgreSQL reads and writes it.
std::string to_uuid_text(const uuid_bytes& bytes);
std::optional<uuid_bytes> from_uuid_text(std::string_view text);

template <class Tag>
class id {
public:
  constexpr id() = default;
  explicit constexpr id(const uuid_bytes& bytes) : bytes_(bytes) {
  }

  static id make() {
    return id(new_uuid_v7());
  }

  // Empty unless `text` is the right prefix and a well-formed id.
  static std::optional<id> parse(std::string_view text) {
    if (!text.starts_with(Tag::prefix))
      return std::nullopt;
    if (auto bytes = from_base32(text.substr(Tag::prefix.size())))
      return id(*bytes);
    return std::nullopt;
  }

  static std::optional<id> from_uuid(std::string_view text) {
    if (auto bytes = from_uuid_text(text))
      return id(*bytes);
    return std::nullopt;
  }

  [[nodiscard]] std::string text() const {
    return std::string(Tag::prefix) + to_base32(bytes_);
  }
  [[nodiscard]] std::string uuid() const {
    return to_uuid_text(bytes_);
  }
  [[nodiscard]] const uuid_bytes& bytes() const {
    return bytes_;
  }
  // The nil id stands for "none" where an optional would be noise.
  [[nodiscard]] bool empty() const {
    return bytes_ == uuid_bytes{};
  }
  // The time within the id, in milliseconds since the epoch.
  [[nodiscard]] std::uint64_t unix_ms() const {
    std::uint64_t ms = 0;
    for (std::size_t i = 0; i < 6; ++i)
      ms = ms << 8U | bytes_[i];
    return ms;
  }

  friend auto operator<=>(const id&, const id&) = default;

private:
  uuid_bytes bytes_{};
};

struct key_tag {
  static constexpr std::string_view prefix = "key_";
};
struct command_tag {
  static constexpr std::string_view prefix = "cmd_";
};
struct webhook_tag {
  static constexpr std::string_view prefix = "wh_";
};
struct delivery_tag {
  static constexpr std::string_view prefix = "dlv_";
};
struct message_tag {
  static constexpr std::string_view prefix = "msg_";
};
struct request_tag {
  static constexpr std::string_view prefix = "req_";
};
struct ban_tag {
  static constexpr std::string_view prefix = "ban_";
};
struct node_tag {
  static constexpr std::string_view prefix = "node_";
};

using key_id = id<key_tag>;
using command_id = id<command_tag>;
using webhook_id = id<webhook_tag>;
using delivery_id = id<delivery_tag>;
using message_id = id<message_tag>;
using request_id = id<request_tag>;
using ban_id = id<ban_tag>;
using node_id = id<node_tag>;

} // namespace rdev

template <class Tag>
struct std::hash<rdev::id<Tag>> {
  std::size_t operator()(const rdev::id<Tag>& x) const noexcept {
    // The tail of a UUIDv7 is random: eight bytes of it are a hash.
    std::size_t h = 0;
    for (std::size_t i = 8; i < 16; ++i)
      h = h << 8U | x.bytes()[i];
    return h;
  }
};
