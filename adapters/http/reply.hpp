// What a request is answered with: a whole body, or a feed that brings it piece by piece.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rdev::http {

// Bytes that somebody keeps: they may be shared with other connections.
struct slice {
  std::shared_ptr<const std::string> owner;
  std::string_view bytes;
};

inline slice slice_of(std::shared_ptr<const std::string> text) {
  const std::string_view bytes(*text);
  return {std::move(text), bytes};
}

// A body that comes in pieces. The connection asks for the next piece when it has sent the one before, so that a slow
// reader holds one piece and no more.
class feed {
public:
  struct piece {
    std::vector<slice> slices;
    bool last = false;
    bool broken = false; // the last one, and bytes are missing: the connection ends, so that the client sees it
  };
  using deliver = std::function<void(piece)>;

  virtual ~feed() = default;
  // `done` is called exactly once, from any thread. Not asked again before that.
  virtual void next(deliver done) = 0;
  // For feeds that may be silent for long: after at most `heartbeat_interval()` between two pieces the connection sends
  // `heartbeat()`. 0 = never.
  [[nodiscard]] virtual std::chrono::milliseconds heartbeat_interval() const {
    return std::chrono::milliseconds(0);
  }
  [[nodiscard]] virtual std::string heartbeat() const {
    return {};
  }
};

struct reply {
  int status = 200;
  std::string type = "application/json"; // Content-Type; empty = no body at all
  std::vector<std::pair<std::string_view, std::string>> fields;
  std::string body;
  std::shared_ptr<feed> rest;        // instead of a body
  std::optional<std::uint64_t> size; // of what the feed brings; none = until the connection is closed
  bool close = false;                // the connection is of no more use
  std::function<void()> finished;    // called once when the last byte has been given to the system, or never will be
};

// Status line and fields. `keep_alive` = what the connection does afterwards.
std::string head_of(const reply& r, bool keep_alive);

} // namespace rdev::http
