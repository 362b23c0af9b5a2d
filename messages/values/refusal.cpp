#include "messages/values/refusal.hpp"

namespace rdev {

std::string_view name_of(refusal_code code) {
  switch (code) {
  case refusal_code::bad_request:
    return "BAD_REQUEST";
  case refusal_code::unauthorized:
    return "UNAUTHORIZED";
  case refusal_code::key_revoked:
    return "KEY_REVOKED";
  case refusal_code::key_expired:
    return "KEY_EXPIRED";
  case refusal_code::ip_not_allowed:
    return "IP_NOT_ALLOWED";
  case refusal_code::forbidden:
    return "FORBIDDEN";
  case refusal_code::not_found:
    return "NOT_FOUND";
  case refusal_code::method_not_allowed:
    return "METHOD_NOT_ALLOWED";
  case refusal_code::request_timeout:
    return "REQUEST_TIMEOUT";
  case refusal_code::conflict:
    return "CONFLICT";
  case refusal_code::gone:
    return "GONE";
  case refusal_code::length_required:
    return "LENGTH_REQUIRED";
  case refusal_code::payload_too_large:
    return "PAYLOAD_TOO_LARGE";
  case refusal_code::uri_too_long:
    return "URI_TOO_LONG";
  case refusal_code::unsupported_media_type:
    return "UNSUPPORTED_MEDIA_TYPE";
  case refusal_code::too_many_requests:
    return "TOO_MANY_REQUESTS";
  case refusal_code::headers_too_large:
    return "HEADERS_TOO_LARGE";
  case refusal_code::internal_error:
    return "INTERNAL_ERROR";
  case refusal_code::service_unavailable:
    return "SERVICE_UNAVAILABLE";
  case refusal_code::range_not_satisfiable:
    return "RANGE_NOT_SATISFIABLE";
  }
  return "INTERNAL_ERROR";
}

} // namespace rdev
