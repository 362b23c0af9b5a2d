#include "adapters/signing.hpp"

#include "adapters/crypto.hpp"

#include <openssl/evp.h>

#include <stdexcept>

namespace rdev {

namespace {

constexpr std::size_t key_bytes = 32;
constexpr std::size_t signature_bytes = 64;

struct free_key {
  void operator()(EVP_PKEY* p) const {
    EVP_PKEY_free(p);
  }
};
struct free_context {
  void operator()(EVP_MD_CTX* p) const {
    EVP_MD_CTX_free(p);
  }
};
using key = std::unique_ptr<EVP_PKEY, free_key>;
using context = std::unique_ptr<EVP_MD_CTX, free_context>;

const unsigned char* bytes_of(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}

key private_key_from(const secret& bytes) {
  const auto raw = bytes.reveal();
  key out(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes_of(raw), raw.size()));
  if (!out)
    throw std::runtime_error("OpenSSL: no Ed25519 private key");
  return out;
}

} // namespace

signing_key make_signing_key() {
  signing_key out{secret(random_bytes(key_bytes)), std::string(key_bytes, '\0')};
  auto n = out.public_key.size();
  if (EVP_PKEY_get_raw_public_key(private_key_from(out.private_key).get(),
                                  reinterpret_cast<unsigned char*>(out.public_key.data()), &n) != 1)
    throw std::runtime_error("OpenSSL: no Ed25519 public key");
  return out;
}

std::string sign(const secret& private_key, std::string_view text) {
  const auto by = private_key_from(private_key);
  const context running(EVP_MD_CTX_new());
  std::string out(signature_bytes, '\0');
  auto n = out.size();
  if (EVP_DigestSignInit(running.get(), nullptr, nullptr, nullptr, by.get()) != 1 ||
      EVP_DigestSign(running.get(), reinterpret_cast<unsigned char*>(out.data()), &n, bytes_of(text), text.size()) != 1)
    throw std::runtime_error("OpenSSL: Ed25519 does not sign");
  return out;
}

bool is_signature(std::string_view signature, std::string_view public_key, std::string_view text) {
  if (signature.size() != signature_bytes || public_key.size() != key_bytes)
    return false;
  const key by(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(public_key), public_key.size()));
  const context running(EVP_MD_CTX_new());
  return by && EVP_DigestVerifyInit(running.get(), nullptr, nullptr, nullptr, by.get()) == 1 &&
         EVP_DigestVerify(running.get(), bytes_of(signature), signature.size(), bytes_of(text), text.size()) == 1;
}

} // namespace rdev
