// What can go wrong for a client, as a value with one clear sentence for the person who reads it.
#pragma once

#include <string>

namespace rdev::cli {

enum class trouble_kind {
  refused,       // the server said no
  unreachable,   // no answer for as long as there was patience, or cut for good
  unreadable,    // the server said something that cannot be right
  interrupted,   // a signal came before there was an answer
  output_closed, // nobody reads our output any more
  output_failed, // our output cannot be written (a full disk)
  misuse,        // what was asked for cannot be asked
};

struct trouble {
  trouble_kind kind = trouble_kind::misuse;
  std::string message;
};

} // namespace rdev::cli
