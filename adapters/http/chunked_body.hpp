// The chunked transfer coding of a request's body (RFC 9112, section 7.1), byte by byte, without I/O. Extensions and
// trailers are read and thrown away; what is not exactly the grammar is refused.
#pragma once

#include "adapters/http/request_head.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rdev::http {

class chunked_body {
public:
  // Takes from the front of `bytes` what belongs to the body and appends its content to `out`. Extensions and trailers
  // together may be as large as a head.
  std::optional<refusal> take(std::string_view& bytes, const request_limits& limits, std::string& out);
  [[nodiscard]] bool whole() const {
    return now_ == state::whole;
  }

private:
  enum class state : std::uint8_t {
    size,
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer_name,
    trailer_value,
    trailer_lf,
    last_lf,
    whole,
  };
  std::optional<refusal> step(char c, const request_limits& limits, std::size_t so_far);
  std::optional<refusal> size_is_known(const request_limits& limits, std::size_t so_far);

  state now_ = state::size;
  std::uint64_t left_ = 0; // of the chunk under way
  int digits_ = 0;
  std::size_t extra_ = 0; // bytes of extensions and trailers
};

} // namespace rdev::http
