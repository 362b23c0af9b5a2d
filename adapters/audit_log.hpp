// Port of the audit log for records that have no transaction of their own (refusals, node start and stop). Records of
// a command, key or project are written by the store in the transaction of the thing itself.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/values/audit_chain.hpp"
#include "messages/values/result.hpp"

#include <span>

namespace rdev {

struct new_audit_record {
  audit_id id; // of whoever writes it, so that a repeat of a write whose answer was lost writes nothing twice
  audit_record what;
};

class audit_log {
public:
  virtual ~audit_log() = default;
  // An id that is more than a day from the store's own time is replaced.
  virtual result<done> append(std::span<const new_audit_record> batch) = 0;
};

} // namespace rdev
