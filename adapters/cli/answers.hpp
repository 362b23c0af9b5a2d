// What an HTTP answer, or the lack of one, means for the next step. Pure.
#pragma once

#include "adapters/cli/trouble.hpp"
#include "adapters/http/client.hpp"
#include "adapters/json/json.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <variant>

namespace rdev::cli {

struct reply {
  json::value data;
  json::value meta;
};

// Worth another try: nothing has happened (429), or it is not known what has (503, a cut).
struct try_again {
  std::optional<std::chrono::seconds> retry_after;
  std::string why;
  bool in_doubt = false; // the server may have done what was asked
};

using meaning = std::variant<reply, try_again, trouble>;

meaning meaning_of(const result<http::response>& answer);
// The same for no answer at all, and for one that is no success.
std::variant<try_again, trouble> meaning_of_failure(const failure& why);
std::variant<try_again, trouble> refusal_in(const http::response& answer);

} // namespace rdev::cli
