// Addresses that are locked out because they tried too many keys.
#pragma once

#include "messages/values/addresses.hpp"
#include "messages/values/ids.hpp"
#include "messages/values/time.hpp"

#include <chrono>

namespace rdev {

// Who is to be locked out from now on.
struct new_ban {
  ip_network network;
  std::chrono::milliseconds for_so_long{0};
  int strikes = 1;
  int failures = 0; // that led to it
};

struct ban {
  ban_id id;
  ip_network network; // one address of IPv4, a /64 of IPv6
  timestamp since{};
  timestamp until{};
  int strikes = 1;                   // how many bans in a row this is: each lasts twice as long as the one before
  std::chrono::milliseconds left{0}; // until its end when it was read, by the store's clock; below zero: it has ended
};

} // namespace rdev
