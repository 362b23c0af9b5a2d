// `rdev audit export`: the audit log in the order of its chain, one record a line, without a gap and without a repeat.
#pragma once

#include "adapters/cli/server.hpp"

#include <cstdint>
#include <string>
#include <variant>

namespace rdev::cli {

struct export_request {
  std::int64_t after = 0; // behind this number of the chain, unless the file knows better
  std::string file;       // empty = stdout
  bool follow = false;    // goes on with what comes
  std::string actor;      // these choose among the records; empty = all
  std::string action;
  std::string project;
  std::string from;
  std::string to;
};

struct export_page {
  std::string lines;
  std::int64_t through = 0; // the next page goes on behind this number
  bool more = false;        // there is more already
};

// What came behind `after`. Trouble if that would be a repeat, or would not go on.
std::variant<export_page, trouble> page_from(const reply& answer, std::int64_t after);

// Gives the exit code.
int export_audit(const account& who, const export_request& what);

} // namespace rdev::cli
