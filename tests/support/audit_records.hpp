// Records that stand in the audit log for a test.
#pragma once

#include "adapters/audit_log.hpp"

#include <gtest/gtest.h>

#include <span>
#include <utility>

namespace rdev::test {

inline void put(audit_log& in, audit_record what) {
  const new_audit_record one{audit_id::make(), std::move(what)};
  EXPECT_TRUE(in.append(std::span(&one, 1)));
}

} // namespace rdev::test
