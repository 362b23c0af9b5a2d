#include "adapters/webhooks/endpoint_url.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <memory>

namespace rdev::webhook_sending {

namespace {

struct url_closer {
  void operator()(CURLU* u) const {
    ::curl_url_cleanup(u);
  }
};
using curl_url_ptr = std::unique_ptr<CURLU, url_closer>;

std::optional<std::string> part_of(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (::curl_url_get(url, part, &text, flags) != CURLUE_OK)
    return std::nullopt;
  std::string out(text);
  ::curl_free(text);
  return out;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return lower(c); });
  return out;
}

bool digit(char c) {
  return c >= '0' && c <= '9';
}

bool letter_or_digit(char c) {
  return digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

// A label that makes readers take the whole host for an IPv4 address: `7`, `0x7f`.
bool number_like(std::string_view label) {
  if (std::all_of(label.begin(), label.end(), digit))
    return true;
  return label.size() >= 2 && label[0] == '0' && lower(label[1]) == 'x';
}

// What is wrong with a host that is no literal address.
std::string problem_of_name(std::string_view name) {
  if (name.ends_with('.'))
    return "must name its host without a dot at the end";
  if (name.size() > 253)
    return "must name a host of at most 253 characters";
  const auto last = name.substr(name.rfind('.') + 1); // npos + 1 is 0
  if (number_like(last))
    return "must write an address in the usual way, as 192.0.2.1";
  for (std::string_view rest = name;;) {
    const auto label = rest.substr(0, rest.find('.'));
    if (label.empty() || label.size() > 63 || !letter_or_digit(label.front()) || !letter_or_digit(label.back()) ||
        !std::all_of(label.begin(), label.end(), [](char c) { return letter_or_digit(c) || c == '-' || c == '_'; }))
      return "must name its host by labels of letters, digits and hyphens (a name in another script as xn--…)";
    if (label.size() == rest.size())
      return {};
    rest.remove_prefix(label.size() + 1);
  }
}

struct authority {
  std::string_view host; // without brackets
  bool bracketed = false;
  bool good = true; // its form
};

authority split(std::string_view text) {
  if (!text.starts_with('[')) {
    const auto colon = text.find(':');
    const bool digits = colon == std::string_view::npos ||
                        (colon + 1 < text.size() &&
                         std::all_of(text.begin() + static_cast<std::ptrdiff_t>(colon) + 1, text.end(), digit));
    return {text.substr(0, colon), false, digits};
  }
  const auto end = text.find(']');
  if (end == std::string_view::npos)
    return {{}, true, false};
  const auto rest = text.substr(end + 1);
  const bool digits =
      rest.empty() || (rest.size() > 1 && rest[0] == ':' && std::all_of(rest.begin() + 1, rest.end(), digit));
  return {text.substr(1, end - 1), true, digits};
}

// Whether curl takes the same host and port from it. A difference would be a hole.
bool curl_agrees(const std::string& text, endpoint_url& url, const std::optional<ip_address>& literal) {
  const curl_url_ptr parsed(::curl_url());
  if (!parsed || ::curl_url_set(parsed.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK)
    return false;
  auto host = part_of(parsed.get(), CURLUPART_HOST);
  const auto port = part_of(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  if (!host || !port || part_of(parsed.get(), CURLUPART_USER) || part_of(parsed.get(), CURLUPART_PASSWORD) ||
      part_of(parsed.get(), CURLUPART_ZONEID))
    return false;
  if (host->size() > 2 && host->front() == '[')
    *host = host->substr(1, host->size() - 2);
  std::from_chars(port->data(), port->data() + port->size(), url.port);
  return literal ? ip_address::parse(*host) == literal : lower(*host) == lower(url.host);
}

url_reading refused(std::string problem) {
  return {{}, std::move(problem)};
}

bool names_this_machine(std::string_view host) {
  const auto name = lower(host);
  return name == "localhost" || name.ends_with(".localhost") || name == "localhost.localdomain" ||
         name == "localhost6" || name == "localhost6.localdomain6" || name == "ip6-localhost" || name == "ip6-loopback";
}

bool allows_loopback(const address_guard& guard) {
  return guard.allows(*ip_address::parse("127.0.0.1")) || guard.allows(*ip_address::parse("::1"));
}

} // namespace

url_reading read_url(std::string_view text) {
  if (text.size() > longest_url)
    return refused("must not be longer than " + std::to_string(longest_url) + " bytes");
  const auto scheme = lower(text.substr(0, text.find("://")));
  if (scheme.size() == text.size() || (scheme != "https" && scheme != "http"))
    return refused("must begin with https://");
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f' && c != '\\'; }))
    return refused("holds a character that a URL cannot hold: write it as %XX, a host in another script as xn--…");
  if (text.find('#') != std::string_view::npos)
    return refused("must not have a fragment (#…)");
  const auto behind = text.substr(scheme.size() + 3);
  const auto host_and_port = behind.substr(0, behind.find_first_of("/?"));
  if (host_and_port.find('@') != std::string_view::npos)
    return refused("must not hold a user or a password");
  if (host_and_port.find('%') != std::string_view::npos)
    return refused("must write its host without %: no percent-encoding, no zone");
  const auto parts = split(host_and_port);
  if (parts.good && parts.host.empty())
    return refused("must name a host");
  if (!parts.good)
    return refused("must name a host, and behind it nothing but a port (host:8443)");

  url_reading out{{scheme == "https", std::string(parts.host), 0}, {}};
  const auto literal = ip_address::parse(parts.host);
  const bool written_as_v6 = parts.host.find(':') != std::string_view::npos;
  if (parts.bracketed && !(literal && written_as_v6))
    return refused("must have an IPv6 address between [ and ]");
  if (!literal)
    if (auto problem = problem_of_name(parts.host); !problem.empty())
      return refused(std::move(problem));
  if (!curl_agrees(std::string(text), out.url, literal))
    return refused("cannot be read as a URL");
  if (out.url.port < 1 || out.url.port > 65535)
    return refused("must have a port from 1 to 65535");
  return out;
}

std::optional<std::string> problem_of(std::string_view url, const address_guard& guard) {
  const auto read = read_url(url);
  if (!read.problem.empty())
    return read.problem;
  if (!read.url.encrypted && guard.allows_nothing())
    return "must begin with https://: http is for addresses in webhooks.allowed_networks only, and there are none";
  if (const auto literal = ip_address::parse(read.url.host)) {
    const auto problem = guard.problem_of(*literal, read.url.encrypted);
    return problem ? std::optional("must not lead to " + literal->text() + ": " + *problem) : std::nullopt;
  }
  if (names_this_machine(read.url.host) && !allows_loopback(guard))
    return "must not lead to this machine: its addresses are in none of webhooks.allowed_networks";
  return std::nullopt;
}

} // namespace rdev::webhook_sending
