// Sealed columns: version byte 1, length of the key's name, name, 12 bytes of nonce, ciphertext, 16 bytes of tag.
#include "adapters/crypto.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace rdev {

namespace {

constexpr char format_version = 1;
constexpr std::size_t nonce_size = 12;
constexpr std::size_t tag_size = 16;
constexpr std::size_t key_size = 32;

struct free_cipher {
  void operator()(EVP_CIPHER_CTX* p) const {
    EVP_CIPHER_CTX_free(p);
  }
};
using cipher_context = std::unique_ptr<EVP_CIPHER_CTX, free_cipher>;

struct ring_key {
  std::string name;
  secret bytes;
};

const unsigned char* bytes_of(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}
unsigned char* bytes_of(std::string& s) {
  return reinterpret_cast<unsigned char*>(s.data());
}

failure damaged(std::string why) {
  return {fault::invalid, "a sealed value cannot be opened: " + std::move(why)};
}

class ring_sealer final : public sealer {
public:
  explicit ring_sealer(std::vector<ring_key> ring) : ring_(std::move(ring)) {
    for (const auto& key : ring_) {
      const auto derived = hmac_sha256(key.bytes.reveal(), "rdev mac key 1");
      mac_keys_.emplace_back(std::string(reinterpret_cast<const char*>(derived.data()), derived.size()));
    }
  }

  std::string seal(std::string_view plain, std::string_view place) override {
    const auto& key = ring_.front();
    const auto nonce = random_bytes(nonce_size);
    std::string cipher(plain.size(), '\0');
    std::string tag(tag_size, '\0');
    const cipher_context c(EVP_CIPHER_CTX_new());
    int n = 0;
    EVP_EncryptInit_ex(c.get(), EVP_aes_256_gcm(), nullptr, bytes_of(key.bytes.reveal()),
                       bytes_of(std::string_view(nonce)));
    EVP_EncryptUpdate(c.get(), nullptr, &n, bytes_of(place), static_cast<int>(place.size()));
    EVP_EncryptUpdate(c.get(), bytes_of(cipher), &n, bytes_of(plain), static_cast<int>(plain.size()));
    EVP_EncryptFinal_ex(c.get(), bytes_of(tag), &n);
    EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_GCM_GET_TAG, tag_size, tag.data());
    std::string out{format_version, static_cast<char>(key.name.size())};
    return out + key.name + nonce + cipher + tag;
  }

  result<std::string> open(std::string_view sealed, std::string_view place) override {
    if (sealed.size() < 2 || sealed[0] != format_version)
      return damaged("unknown format");
    const auto name_size = static_cast<std::uint8_t>(sealed[1]);
    if (sealed.size() < 2U + name_size + nonce_size + tag_size)
      return damaged("too short");
    const auto name = sealed.substr(2, name_size);
    const auto key = std::find_if(ring_.begin(), ring_.end(), [&](const auto& k) { return k.name == name; });
    if (key == ring_.end())
      return damaged("its key '" + std::string(name) + "' is not in RDEV_SECRETS_KEYS");
    const auto nonce = sealed.substr(2U + name_size, nonce_size);
    const auto cipher =
        sealed.substr(2U + name_size + nonce_size, sealed.size() - 2U - name_size - nonce_size - tag_size);
    std::string tag(sealed.substr(sealed.size() - tag_size));
    std::string plain(cipher.size(), '\0');
    const cipher_context c(EVP_CIPHER_CTX_new());
    int n = 0;
    EVP_DecryptInit_ex(c.get(), EVP_aes_256_gcm(), nullptr, bytes_of(key->bytes.reveal()), bytes_of(nonce));
    EVP_DecryptUpdate(c.get(), nullptr, &n, bytes_of(place), static_cast<int>(place.size()));
    EVP_DecryptUpdate(c.get(), bytes_of(plain), &n, bytes_of(cipher), static_cast<int>(cipher.size()));
    EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_GCM_SET_TAG, tag_size, tag.data());
    if (EVP_DecryptFinal_ex(c.get(), bytes_of(tag), &n) != 1)
      return damaged("it was changed, or belongs to another place");
    return plain;
  }

  digest256 mac(std::string_view bytes) override {
    return hmac_sha256(mac_keys_.front().reveal(), bytes);
  }

  bool is_mac(const digest256& mac, std::string_view bytes) override {
    bool good = false;
    for (const auto& key : mac_keys_)
      good = equal_in_constant_time(hmac_sha256(key.reveal(), bytes), mac) || good;
    return good;
  }

private:
  std::vector<ring_key> ring_;
  std::vector<secret> mac_keys_; // one derived from each of the ring
};

failure wrong_ring(const std::string& what) {
  return {fault::invalid, "RDEV_SECRETS_KEYS: " + what};
}

} // namespace

result<std::unique_ptr<sealer>> make_sealer(std::string_view ring) {
  std::vector<ring_key> keys;
  while (!ring.empty()) {
    const auto comma = ring.find(',');
    const auto entry = ring.substr(0, comma);
    ring = comma == std::string_view::npos ? std::string_view{} : ring.substr(comma + 1);
    const auto colon = entry.find(':');
    if (colon == std::string_view::npos || colon == 0 || colon > 64)
      return wrong_ring("entry " + std::to_string(keys.size() + 1) + " is not of the form NAME:BASE64");
    const std::string name(entry.substr(0, colon));
    if (std::any_of(keys.begin(), keys.end(), [&](const auto& k) { return k.name == name; }))
      return wrong_ring("the name '" + name + "' stands for two keys: give each key a name of its own");
    auto bytes = from_base64(entry.substr(colon + 1));
    if (!bytes || bytes->size() != key_size)
      return wrong_ring("key '" + name + "' is not the base64 of 32 bytes (make one with: openssl rand -base64 32)");
    keys.push_back({name, secret(std::move(*bytes))});
  }
  if (keys.empty())
    return wrong_ring("is empty; give NAME:BASE64 of 32 bytes");
  return std::unique_ptr<sealer>(std::make_unique<ring_sealer>(std::move(keys)));
}

} // namespace rdev
