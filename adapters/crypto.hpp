// Port: hashing, random bytes and sealed columns.
#pragma once

#include "messages/values/keys.hpp"
#include "messages/values/result.hpp"
#include "messages/values/secret.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace rdev {

using digest256 = std::array<std::uint8_t, 32>;

digest256 sha256(std::string_view bytes);
std::string to_hex(const digest256& d);
bool equal_in_constant_time(const digest256& a, const digest256& b);
// `n` bytes of the operating system's randomness.
std::string random_bytes(std::size_t n);
std::string to_base64(std::string_view bytes);
// RFC 4648, section 4, with padding and nothing else; empty for anything else.
std::optional<std::string> from_base64(std::string_view text);

// A running SHA-256.
class sha256_stream {
public:
  sha256_stream();
  ~sha256_stream();
  sha256_stream(sha256_stream&&) noexcept;
  sha256_stream& operator=(sha256_stream&&) noexcept;
  void add(std::string_view bytes);
  // The digest of all bytes so far; more may follow.
  [[nodiscard]] digest256 digest() const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

// Keys as text: `rdev_<8 id>_<at least 27 base62 secret><6 CRC32 base62>`.
struct fresh_key {
  std::string prefix; // `rdev_<8 id>`
  secret text;
};
fresh_key make_key_text();
// The look-up prefix of a well-formed key; empty for a malformed or mistyped one (checksum). No I/O.
std::string key_prefix_of(std::string_view key_text);

// AES-256-GCM under a keyring: the first key seals, all open. `place` (table, column, row id) is authenticated.
class sealer {
public:
  virtual ~sealer() = default;
  virtual std::string seal(std::string_view plain, std::string_view place) = 0;
  // Fault `invalid`: damaged, of another place, or sealed by a key that is not in the ring.
  virtual result<std::string> open(std::string_view sealed, std::string_view place) = 0;
  // HMAC-SHA-256 under a key derived from the first of the ring.
  virtual digest256 mac(std::string_view bytes) = 0;
};
// `ring` = `k2:<base64 of 32 bytes>,k1:…`. Fault `invalid` with a message that names what is wrong, not the keys.
result<std::unique_ptr<sealer>> make_sealer(std::string_view ring);

} // namespace rdev
