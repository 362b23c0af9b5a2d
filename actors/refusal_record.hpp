// The record of a refused request.
#pragma once

#include "actors/surroundings.hpp"
#include "messages/values/audit.hpp"
#include "messages/values/keys.hpp"
#include "messages/values/refusal.hpp"

#include <optional>
#include <string>

namespace rdev {

// Secrets of a request are known only until it is answered, so they go out of its record at once. `who` and `project`:
// as far as they are known.
audit_record refusal_record(const surroundings& around, const request_context& from, const refusal& why,
                            const std::optional<principal>& who, const std::optional<std::string>& project);

} // namespace rdev
