#include "adapters/http/asker.hpp"

#include "adapters/crypto.hpp"
#include "adapters/http/bodies.hpp"
#include "adapters/http/characters.hpp"
#include "adapters/http/routes.hpp"
#include "messages/values/hex.hpp"
#include "messages/values/ids.hpp"
#include "messages/values/output.hpp"

#include <algorithm>
#include <string>
#include <string_view>

namespace rdev::http {

namespace {

constexpr std::size_t longest_logged_path = 512;

bool good_request_id(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return alphanumeric(c) || c == '.' || c == '_' || c == '-';
  });
}

bool lower_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return lower_hex_digit(c) >= 0; });
}

// 16 random bytes in hexadecimal. Taken out of a store: they are nobody's secret, and each request has some.
std::string fresh_trace_id() {
  constexpr std::size_t size = 16;
  thread_local std::string store;
  if (store.size() < size)
    store = random_bytes(256 * size);
  std::string out;
  out.reserve(2 * size);
  for (const char c : std::string_view(store).substr(store.size() - size))
    add_hex(out, static_cast<std::uint8_t>(c));
  store.resize(store.size() - size);
  return out;
}

// The trace id of a `traceparent` (W3C Trace Context, version 00), or a fresh one.
std::string trace_id_of(std::string_view traceparent) {
  if (traceparent.size() >= 55 && traceparent.starts_with("00-") && traceparent[35] == '-' &&
      lower_hex(traceparent.substr(3, 32)) &&
      traceparent.substr(3, 32).find_first_not_of('0') != std::string_view::npos)
    return std::string(traceparent.substr(3, 32));
  return fresh_trace_id();
}

std::string shown(std::string text) {
  text.resize(std::min(text.size(), longest_logged_path));
  while (!text.empty() && !valid_utf8(text) && (static_cast<unsigned char>(text.back()) & 0x80U) != 0 &&
         text.size() + 4 > longest_logged_path)
    text.pop_back(); // cut in the middle of a character
  const bool good = valid_utf8(text);
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 32 || byte == 127 || (byte >= 128 && !good))
      c = '?';
  }
  return text;
}

std::string logged_path(const request& asked, const std::optional<redactor>& hidden_by) {
  auto path = percent_decoded(asked.path(), false).value_or(std::string(asked.path()));
  if (path.size() > longest_logged_path && hidden_by) // the beginning of a secret is not known for one any more
    if (auto clean = hidden_by->redact(path))
      path = std::move(clean->text);
  return shown(std::move(path));
}

std::string_view bearer_of(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer ";
  const bool fits =
      authorization.size() > scheme.size() &&
      std::equal(scheme.begin(), scheme.end(), authorization.begin(), [](char a, char b) { return a == lower(b); });
  if (!fits)
    return {};
  const auto first = authorization.find_first_not_of(' ', scheme.size());
  return first == std::string_view::npos ? std::string_view{} : authorization.substr(first);
}

} // namespace

request_context context_of(const request& asked, const ip_address& peer, std::span<const ip_network> trusted,
                           const std::optional<redactor>& hidden_by) {
  const auto wished = asked.field("x-request-id");
  return {good_request_id(wished) ? std::string(wished) : request_id::make().text(),
          trace_id_of(asked.field("traceparent")),
          client_address(peer, asked.joined("x-forwarded-for"), trusted).text(), std::string(asked.method),
          logged_path(asked, hidden_by)};
}

answer<secret> credential_of(const request& asked) {
  const auto key = asked.field("x-api-key");
  const auto bearer = bearer_of(asked.field("authorization"));
  if (!asked.agrees("x-api-key"))
    return bad_request("X-API-Key", given_differently);
  if (!asked.agrees("authorization"))
    return bad_request("Authorization", given_differently);
  if (!key.empty() && !bearer.empty() && key != bearer)
    return bad_request("Authorization", "differs from X-API-Key: send one of them");
  return secret(std::string(key.empty() ? bearer : key));
}

} // namespace rdev::http
