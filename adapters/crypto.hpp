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
// RFC 2104 over SHA-256.
digest256 hmac_sha256(std::string_view key, std::string_view bytes);
std::string to_hex(const digest256& d);
// 64 hexadecimal digits, letters in lower case; none for anything else.
std::optional<digest256> from_hex(std::string_view text);
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
  // Whether it is the mac of these bytes under any key of the ring. Takes constant time for a ring.
  virtual bool is_mac(const digest256& mac, std::string_view bytes) = 0;
};
// `ring` = `k2:<base64 of 32 bytes>,k1:…`. Fault `invalid` with a message that names what is wrong, not the keys.
result<std::unique_ptr<sealer>> make_sealer(std::string_view ring);

// How presented credentials are checked. Thread-safe.
class credentials {
public:
  // `pepper` = base64 of 32 bytes or more, or empty: new keys are then stored by hash_scheme 1, else by 2.
  // Fault `invalid` with a message that says what is wrong with it, not what it is.
  static result<std::shared_ptr<const credentials>> make(std::string_view pepper, std::shared_ptr<sealer> ring);

  [[nodiscard]] std::int16_t scheme_of_new_keys() const {
    return pepper_.empty() ? std::int16_t{1} : std::int16_t{2};
  }
  // Tells whether two peppers are the same one; none: there is none.
  [[nodiscard]] std::optional<digest256> pepper_check() const {
    return digest(2, "rdev pepper check 1");
  }
  // What is stored of a key by this scheme; none: an unknown scheme, or 2 without a pepper.
  [[nodiscard]] std::optional<digest256> digest(std::int16_t scheme, std::string_view key_text) const;

  // The credential of a running command, `rdevcmd_<its id>_<MAC>`: nothing about it is stored, so it counts exactly as
  // long as the command runs.
  [[nodiscard]] secret token_of(const command_id& command) const;
  // Whose credential it is; none: of no command. No I/O; the MAC is compared in constant time.
  [[nodiscard]] std::optional<command_id> command_of(std::string_view token) const;

private:
  secret pepper_;
  std::shared_ptr<sealer> ring_;
};

} // namespace rdev
