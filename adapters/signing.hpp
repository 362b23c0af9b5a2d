// Port: signatures that everybody can verify.
#pragma once

#include "messages/values/secret.hpp"

#include <string>
#include <string_view>

namespace rdev {

// Ed25519 (RFC 8032): 32 bytes of private key, 32 of public key, 64 of signature.
struct signing_key {
  secret private_key;
  std::string public_key;
};
signing_key make_signing_key();
std::string sign(const secret& private_key, std::string_view text);
// False also for a key or a signature of another length.
bool is_signature(std::string_view signature, std::string_view public_key, std::string_view text);

} // namespace rdev
