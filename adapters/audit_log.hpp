// Port of the audit log for records that have no transaction of their own (refusals, node start and stop). Records of
// a command, key or project are written by the store in the transaction of the thing itself.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/values/result.hpp"

#include <span>

namespace rdev {

class audit_log {
public:
  virtual ~audit_log() = default;
  virtual result<done> append(std::span<const audit_record> batch) = 0;
};

} // namespace rdev
