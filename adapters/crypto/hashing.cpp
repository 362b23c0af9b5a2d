#include "adapters/crypto.hpp"
#include "messages/values/hex.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <stdexcept>

namespace rdev {

namespace {

struct free_md {
  void operator()(EVP_MD* p) const {
    EVP_MD_free(p);
  }
};
struct free_context {
  void operator()(EVP_MD_CTX* p) const {
    EVP_MD_CTX_free(p);
  }
};
using context = std::unique_ptr<EVP_MD_CTX, free_context>;

void must(int good, const char* what) {
  if (good != 1)
    throw std::runtime_error(std::string("OpenSSL: ") + what);
}

// Fetched once: an implicit fetch costs twice the hash itself.
const EVP_MD* sha256_algorithm() {
  static const std::unique_ptr<EVP_MD, free_md> md(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  return md.get();
}

} // namespace

struct sha256_stream::impl {
  context running{EVP_MD_CTX_new()};
};

sha256_stream::sha256_stream() : impl_(std::make_unique<impl>()) {
  must(EVP_DigestInit_ex2(impl_->running.get(), sha256_algorithm(), nullptr), "digest init");
}
sha256_stream::~sha256_stream() = default;
sha256_stream::sha256_stream(sha256_stream&&) noexcept = default;
sha256_stream& sha256_stream::operator=(sha256_stream&&) noexcept = default;

void sha256_stream::add(std::string_view bytes) {
  must(EVP_DigestUpdate(impl_->running.get(), bytes.data(), bytes.size()), "digest update");
}

digest256 sha256_stream::digest() const {
  const context copy(EVP_MD_CTX_new());
  must(EVP_MD_CTX_copy_ex(copy.get(), impl_->running.get()), "digest copy");
  digest256 out{};
  must(EVP_DigestFinal_ex(copy.get(), out.data(), nullptr), "digest final");
  return out;
}

digest256 sha256(std::string_view bytes) {
  thread_local const context running(EVP_MD_CTX_new());
  digest256 out{};
  must(EVP_DigestInit_ex2(running.get(), sha256_algorithm(), nullptr), "digest init");
  must(EVP_DigestUpdate(running.get(), bytes.data(), bytes.size()), "digest update");
  must(EVP_DigestFinal_ex(running.get(), out.data(), nullptr), "digest final");
  return out;
}

digest256 hmac_sha256(std::string_view key, std::string_view bytes) {
  digest256 out{};
  unsigned int n = 0;
  HMAC(sha256_algorithm(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out.data(), &n);
  return out;
}

std::string to_hex(const digest256& d) {
  std::string out;
  out.reserve(2 * d.size());
  for (const auto b : d)
    add_hex(out, b);
  return out;
}

std::optional<digest256> from_hex(std::string_view text) {
  digest256 out{};
  if (text.size() != 2 * out.size())
    return std::nullopt;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int both = lower_hex_digit(text[2 * i]) * 16 | lower_hex_digit(text[2 * i + 1]);
    if (both < 0)
      return std::nullopt;
    out.at(i) = static_cast<std::uint8_t>(both);
  }
  return out;
}

bool equal_in_constant_time(const digest256& a, const digest256& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string random_bytes(std::size_t n) {
  std::string out(n, '\0');
  must(RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(n)), "random bytes");
  return out;
}

std::string to_base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0'); // OpenSSL ends it with a NUL
  const auto n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                 reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(n));
  return out;
}

// OpenSSL's decoder would take blanks around the text and `=` within it.
std::optional<std::string> from_base64(std::string_view text) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto used = std::min(text.size(), text.find_first_not_of(digits));
  const auto padding = text.size() - used;
  if (text.empty() || text.size() % 4 != 0 || padding > 2 ||
      text.find_first_not_of('=', used) != std::string_view::npos)
    return std::nullopt;
  std::string out(3 * text.size() / 4, '\0');
  const auto n = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                 reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (n < 0)
    return std::nullopt;
  out.resize(static_cast<std::size_t>(n) - padding);
  return out;
}

} // namespace rdev
