// What URL an endpoint may have.
#pragma once

#include "adapters/webhooks/address_guard.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace rdev::webhook_sending {

inline constexpr std::size_t longest_url = 2048;

struct endpoint_url {
  bool encrypted = false;
  std::string host; // a name, or an address without brackets
  long port = 0;
};

// What curl will connect to, or what is wrong with the URL. Taken is only what every reader of URLs reads alike: an
// address that is written in another way than its usual one (octal, hexadecimal, short, as one number, percent-encoded,
// by digits of other scripts, with a zone or a dot behind it) is refused, whichever address it is.
struct url_reading {
  endpoint_url url;
  std::string problem; // empty: there is none
};
url_reading read_url(std::string_view text);

// What is wrong with a URL (`must …`, `holds …`), as far as that can be told without asking the network. Where a name
// leads to is seen when a connection is made; for `http` it must lead into an allowed network. The names of the machine
// itself (`localhost`) are refused unless loopback addresses are allowed.
std::optional<std::string> problem_of(std::string_view url, const address_guard& guard);

} // namespace rdev::webhook_sending
