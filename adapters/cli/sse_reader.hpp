// Cuts a byte stream into server-sent events (WHATWG HTML, 9.2.6). Pure: it knows nothing of connections.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace rdev::cli {

// Views live until the handler returns.
struct sse_event {
  std::optional<std::string_view> id; // only if this very event carried one
  std::string_view name;              // `message` when the server gave none
  std::string_view data;
};

class sse_reader {
public:
  enum class outcome { hungry, stopped, too_long };

  // An event may take `max_bytes` and no more: a server must not be able to fill the memory.
  explicit sse_reader(std::size_t max_bytes = std::size_t{1024} * 1024) : max_bytes_(max_bytes) {
  }

  // Hands out what has become whole, as long as the handler answers true.
  outcome feed(std::string_view piece, const std::function<bool(const sse_event&)>& on_event);
  // A new connection begins: an unfinished event is never handed out.
  void restart();
  // How long the server wants a client to wait before it comes again, if it has said so.
  [[nodiscard]] std::optional<std::chrono::milliseconds> retry() const {
    return retry_;
  }

private:
  bool take_line(std::string_view line, const std::function<bool(const sse_event&)>& on_event);
  void take_field(std::string_view name, std::string_view value);
  bool dispatch(const std::function<bool(const sse_event&)>& on_event);

  std::size_t max_bytes_;
  std::string line_; // an unfinished line
  std::string name_;
  std::string data_;
  std::optional<std::string> id_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool at_start_ = true;
  std::optional<std::chrono::milliseconds> retry_;
};

} // namespace rdev::cli
