// Request line and fields (RFC 9112, sections 2 to 5): where they end, what they say, and what is wrong with them.
#pragma once

#include "adapters/http/request.hpp"
#include "messages/values/refusal.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::http {

struct request_limits {
  std::size_t head_bytes = 16 * 1024; // request line and fields, the empty line included
  std::size_t body_bytes = 1024 * 1024;
  std::size_t target_bytes = 8 * 1024; // of the request line's target
};

refusal malformed(const std::string& why);
refusal head_too_large(const request_limits& limits);
refusal body_too_large(const request_limits& limits);

// Looks for the end of a head in bytes that come bit by bit. Goes by their order: what it finds does not depend on
// where they were cut.
class head_scanner {
public:
  explicit head_scanner(const request_limits& limits) : limits_(limits) {
  }
  // `bytes` = all of the head so far, those of earlier calls included. The size of the head once it is whole; 0 before.
  answer<std::size_t> scan(std::string_view bytes);

private:
  std::optional<refusal> step(char c);

  request_limits limits_;
  std::size_t seen_ = 0;
  std::size_t line_bytes_ = 0; // of the line under way, its CR not counted
  std::size_t target_bytes_ = 0;
  int lines_ = 0;
  int blanks_ = 0; // in the request line
  bool after_cr_ = false;
  bool over_ = false;
};

enum class body_framing : std::uint8_t { none, sized, chunked };

struct parsed_head {
  request what; // without a body
  body_framing framing = body_framing::none;
  std::uint64_t body_bytes = 0;  // of a sized body
  bool expects_continue = false; // `Expect: 100-continue`, of HTTP/1.1
};

// What a head says. `out` holds what could be understood even when the answer is a refusal.
std::optional<refusal> parse_head(std::vector<char> head, const request_limits& limits, parsed_head& out);

} // namespace rdev::http
