// What a verifier keeps outside of the database, read from files.
#pragma once

#include "messages/values/audit_chain.hpp"
#include "messages/values/result.hpp"

#include <string>
#include <vector>

namespace rdev::audit_chain {

// Checkpoints, one JSON object a line with `seq`, `hash`, `at`, `first_seq`, `kept_from`, `key` and `signature`: the
// log lines `audit checkpoint`, as they are. Lines of other messages are passed over; none may be longer than 64 KiB.
// Fault `invalid`: names the line and what is wrong with it.
result<std::vector<audit_checkpoint>> read_checkpoints(const std::string& path);

// Public keys, one a line in base64 (32 bytes); empty lines and those with `#` in front are passed over.
result<std::vector<audit_public_key>> read_public_keys(const std::string& path);

} // namespace rdev::audit_chain
