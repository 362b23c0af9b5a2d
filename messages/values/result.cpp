#include "messages/values/result.hpp"

namespace rdev {

const char* to_string(fault x) {
  switch (x) {
  case fault::unavailable:
    return "unavailable";
  case fault::unknown_outcome:
    return "unknown_outcome";
  case fault::deadline:
    return "deadline";
  case fault::stale_token:
    return "stale_token";
  case fault::no_space:
    return "no_space";
  case fault::invalid:
    return "invalid";
  case fault::key_changed:
    return "key_changed";
  case fault::internal:
    return "internal";
  }
  return "internal";
}

} // namespace rdev
