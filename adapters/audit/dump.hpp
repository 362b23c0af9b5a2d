// The log as `rdev audit export` writes it, one sealed record a line, verified without any database.
#pragma once

#include "adapters/audit_verification.hpp"

#include <streambuf>
#include <string>
#include <string_view>

namespace rdev::audit_chain {

// A record as it was hashed, with its link under `seal`. Fault `invalid`: says what is wrong with the line.
result<sealed_record> read_sealed_record(std::string_view line);

struct dump_verification {
  audit_verification seen;
  std::int64_t first = 0;   // the number of the first record; 0 = there is none
  std::size_t bad_line = 0; // where `seen.first_bad` is; 0 = in no line
  std::string why;          // that line is no record
};

// In memory for one line, whatever the length of the dump. A dump that begins later than the log is believed to have
// come behind what it says, unless a checkpoint is on that. The keys are those of `evidence` alone. Throws
// std::ios_base::failure when the lines cannot be read.
dump_verification verify_dump(std::streambuf& lines, outside_evidence evidence);
// `-` = stdin. Fault `invalid`: it cannot be read, or is empty although nothing says that it should not be.
result<dump_verification> verify_dump(const std::string& path, outside_evidence evidence);

} // namespace rdev::audit_chain
