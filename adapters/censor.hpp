// A redactor for one place: what it takes out there is counted. Thread-safe; copies share what is registered.
#pragma once

#include "adapters/metrics.hpp"
#include "adapters/redaction.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace rdev {

class censor {
public:
  // `where` is a place of metrics::redacted(); `counters` must live longer.
  censor(redactor by, metrics& counters, std::string_view where)
      : by_(std::move(by)), counters_(&counters), where_(where) {
  }

  // None: nothing is to be hidden, and the text can be used as it is.
  [[nodiscard]] std::optional<std::string> redact(std::string_view text) const {
    auto found = by_.redact(text);
    if (!found)
      return std::nullopt;
    counters_->redacted(where_, found->hits);
    return std::move(found->text);
  }
  [[nodiscard]] redactor::registration hide(const secret& value) const {
    return by_.hide(value);
  }

private:
  redactor by_;
  metrics* counters_;
  std::string_view where_;
};

// `by` may be none: then nothing is hidden.
[[nodiscard]] inline std::string cleaned(const censor* by, std::string text) {
  auto clean = by != nullptr ? by->redact(text) : std::nullopt;
  return clean ? std::move(*clean) : std::move(text);
}

} // namespace rdev
