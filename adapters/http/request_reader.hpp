// Cuts the bytes of one connection into requests (RFC 9112). Whatever could be read in two ways is refused, and nothing
// after it is looked at: that is how requests are smuggled. Pure, without I/O; the parser is Boost.Beast's.
#pragma once

#include "adapters/http/request.hpp"
#include "messages/values/refusal.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace rdev::http {

struct request_limits {
  std::size_t head_bytes = 16 * 1024; // request line and fields
  std::size_t body_bytes = 1024 * 1024;
  std::size_t target_bytes = 8 * 1024; // of the request line's target
};

class request_reader {
public:
  explicit request_reader(request_limits limits);
  ~request_reader();
  request_reader(request_reader&&) noexcept;
  request_reader& operator=(request_reader&&) noexcept;

  // More bytes have come. They wait until next() asks for them.
  void feed(std::string_view bytes);

  struct incomplete {};
  // The next request, if it is whole; or why the connection is of no more use.
  std::variant<incomplete, request, refusal> next();

  // Nothing of a further request has come: the connection is idle.
  [[nodiscard]] bool idle() const;
  // The client waits for `100 Continue` before it sends the body. True once for each request.
  bool wants_continue();

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace rdev::http
