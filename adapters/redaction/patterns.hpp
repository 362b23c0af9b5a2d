// What looks like a credential, whoever wrote it: rdev's own, those of HTTP and of URLs, and what the operator says.
// The library stays in this folder. Thread-safe.
#pragma once

#include "adapters/redaction/spans.hpp"
#include "messages/values/result.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::redaction {

// Of a match that is longer the rest may stay.
constexpr std::size_t longest_match = 4096;

class patterns {
public:
  static result<patterns> make(const std::vector<std::string>& configured);
  patterns(patterns&&) noexcept;
  patterns& operator=(patterns&&) noexcept;
  patterns(const patterns&) = delete;
  patterns& operator=(const patterns&) = delete;
  ~patterns();

  // Adds the matches from `from` on, where an earlier call has stopped, in no order. Answers where it stopped: all
  // matches that begin before it are known. That is the end, or, unless the text has ended, in its last line.
  std::size_t find(std::string_view text, std::size_t from, bool ended, std::vector<span>& hits) const;

private:
  struct programs;
  explicit patterns(std::unique_ptr<programs> made);
  [[nodiscard]] bool may_match(std::string_view line) const;
  void find_in_line(std::string_view line, std::size_t offset, std::vector<span>& hits) const;

  std::unique_ptr<programs> programs_;
};

} // namespace rdev::redaction
