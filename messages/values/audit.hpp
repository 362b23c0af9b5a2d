#pragma once

#include "messages/values/ids.hpp"
#include "messages/values/keys.hpp"

#include <map>
#include <optional>
#include <string>

namespace rdev {

// Who asked from where, under which ids. Travels with every message of a request.
struct request_context {
  std::string request_id; // `req_…`, or the client's own X-Request-ID
  std::string trace_id;   // 32 hex digits
  std::string client_ip;
  std::string method;
  std::string path; // decoded, without query, at most 512 bytes
};

// One row of audit_log. The store adds id and time.
struct audit_record {
  std::optional<key_id> actor;
  std::string actor_name; // key name or prefix; `system` for rdev itself
  std::string action;     // `command.submit`, `key.create`, `request.refused`, …
  std::string target;     // id of what it was done to
  std::optional<std::string> project;
  std::string outcome; // `allowed`, `refused`, `done`
  std::string reason;  // refusal code, or empty
  request_context from;
  std::map<std::string, std::string> detail;
};

} // namespace rdev
