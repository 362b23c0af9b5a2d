#include "adapters/webhooks/answer.hpp"

#include "messages/values/output.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>

namespace rdev::webhook_sending {

namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";
constexpr std::chrono::seconds longest_wait = std::chrono::hours(24 * 365);

// How many bytes the character at the beginning has; 0: that is no character of text.
std::size_t character_at(std::string_view bytes) {
  for (std::size_t n = 1; n <= 4 && n <= bytes.size(); ++n)
    if (valid_utf8(bytes.substr(0, n)))
      return bytes.front() == '\0' ? 0 : n;
  return 0;
}

bool begins_a_character(std::string_view bytes) {
  const auto first = static_cast<unsigned char>(bytes.front());
  const std::size_t whole = first >= 0xf0U ? 4 : first >= 0xe0U ? 3 : first >= 0xc2U ? 2 : 1;
  return bytes.size() < whole;
}

} // namespace

std::string noted_text(std::string_view bytes) {
  const bool more = bytes.size() > most_noted_bytes;
  bytes = bytes.substr(0, most_noted_bytes);
  std::string out;
  while (!bytes.empty()) {
    const auto n = character_at(bytes);
    if (n == 0 && more && begins_a_character(bytes))
      break; // cut by us
    const auto next = n == 0 ? replacement : bytes.substr(0, n);
    if (out.size() + next.size() > most_noted_bytes)
      break;
    out += next;
    bytes.remove_prefix(std::max<std::size_t>(n, 1));
  }
  return out;
}

std::optional<std::chrono::seconds> retry_after_in(std::string_view value, std::chrono::sys_seconds now) {
  const auto within = [](std::chrono::seconds s) { return std::clamp(s, std::chrono::seconds(0), longest_wait); };
  if (value.empty() || value.size() > 64 || value.find('\0') != std::string_view::npos)
    return std::nullopt;
  if (std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    std::uint32_t seconds = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
    return error == std::errc{} ? within(std::chrono::seconds(seconds)) : longest_wait;
  }
  if (value.find(':') == std::string_view::npos) // all three forms of a date have a time of day
    return std::nullopt;
  const auto date = ::curl_getdate(std::string(value).c_str(), nullptr);
  if (date < 0)
    return std::nullopt;
  return within(std::chrono::sys_seconds(std::chrono::seconds(date)) - now);
}

std::string problem_with_status(int status) {
  if (status >= 200 && status <= 299)
    return {};
  auto out = "the endpoint answered with " + std::to_string(status);
  if (status >= 300 && status <= 399)
    out += "; redirects are not followed";
  return out;
}

std::string in_words(std::chrono::milliseconds time) {
  if (time.count() % 1000 == 0)
    return std::to_string(time.count() / 1000) + " s";
  return std::to_string(time.count()) + " ms";
}

} // namespace rdev::webhook_sending
