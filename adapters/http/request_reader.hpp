// Cuts the bytes of one connection into requests (RFC 9112). Whatever could be read in two ways is refused, and nothing
// after it is looked at: that is how requests are smuggled. Pure, without I/O, and blind to how the bytes were cut.
#pragma once

#include "adapters/http/chunked_body.hpp"
#include "adapters/http/request.hpp"
#include "adapters/http/request_head.hpp"
#include "messages/values/refusal.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace rdev::http {

class request_reader {
public:
  explicit request_reader(request_limits limits);

  // More bytes have come. They wait until next() asks for them.
  void feed(std::string_view bytes);

  struct incomplete {};
  // The connection is of no more use.
  struct refused {
    refusal why;
    request what; // method, target and fields, as far as they were understood; no body
  };
  // The next request, if it is whole. Behind a refusal nothing is read any more: its like comes again.
  std::variant<incomplete, request, refused> next();

  // Nothing of a further request has come: the connection is idle.
  [[nodiscard]] bool idle() const {
    return at_ == buffer_.size() && !under_way_ && !scanner_;
  }
  // The client waits for `100 Continue` before it sends the body. True once for each request.
  bool wants_continue();

private:
  struct in_body {
    parsed_head head;
    chunked_body chunks;
    bool told_to_continue = false;
  };
  [[nodiscard]] std::string_view unread() const {
    return std::string_view(buffer_).substr(at_);
  }
  void pass(std::size_t n);
  bool skip_empty_lines();
  std::optional<refusal> read_head();
  std::optional<refusal> read_body();
  refused refuse(refusal why);

  request_limits limits_;
  std::string buffer_; // what has come; taken up to `at_`
  std::size_t at_ = 0;
  int empty_lines_ = 0;                 // before the request under way
  std::optional<head_scanner> scanner_; // while a head is under way
  std::unique_ptr<in_body> under_way_;  // while a body is under way
  std::unique_ptr<refusal> over_;       // the refusal behind which nothing is read
};

} // namespace rdev::http
