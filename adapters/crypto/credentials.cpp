#include "adapters/crypto.hpp"

namespace rdev {

namespace {

constexpr std::string_view token_head = "rdevcmd_";
constexpr std::size_t id_digits = 26; // of a command, behind `cmd_`
constexpr std::size_t least_pepper = 32;

std::string signed_text(const command_id& command) {
  return "rdev command credential 1 " + command.uuid();
}

} // namespace

result<std::shared_ptr<const credentials>> credentials::make(std::string_view pepper, std::shared_ptr<sealer> ring) {
  auto out = std::make_shared<credentials>();
  out->ring_ = std::move(ring);
  if (pepper.empty())
    return std::shared_ptr<const credentials>(std::move(out));
  auto bytes = from_base64(pepper);
  if (!bytes || bytes->size() < least_pepper)
    return failure{fault::invalid,
                   "RDEV_KEY_PEPPER is not the base64 of 32 bytes or more (make one with: openssl rand -base64 32)"};
  out->pepper_ = secret(std::move(*bytes));
  return std::shared_ptr<const credentials>(std::move(out));
}

std::optional<digest256> credentials::digest(std::int16_t scheme, std::string_view key_text) const {
  if (scheme == 1)
    return sha256(key_text);
  if (scheme == 2 && !pepper_.empty())
    return hmac_sha256(pepper_.reveal(), key_text);
  return std::nullopt;
}

secret credentials::token_of(const command_id& command) const {
  return secret(std::string(token_head) + command.text().substr(4) + "_" + to_hex(ring_->mac(signed_text(command))));
}

std::optional<command_id> credentials::command_of(std::string_view token) const {
  if (!token.starts_with(token_head) || token.size() <= token_head.size() + id_digits ||
      token[token_head.size() + id_digits] != '_')
    return std::nullopt;
  const auto id = command_id::parse("cmd_" + std::string(token.substr(token_head.size(), id_digits)));
  const auto mac = from_hex(token.substr(token_head.size() + id_digits + 1));
  return id && mac && ring_->is_mac(*mac, signed_text(*id)) ? id : std::nullopt;
}

} // namespace rdev
