// Server-sent events of a command or of a project, as the contract's section Events has them.
#pragma once

#include "adapters/api.hpp"
#include "adapters/http/reply.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace rdev::http {

struct event_feed_config {
  framing how = framing::line;
  std::chrono::milliseconds heartbeat{15000}; // between signs of life while there is nothing new
};

// Lives as long as it is asked; ends after `complete`, at a refusal, and when the server goes away.
std::shared_ptr<feed> make_event_feed(api& house, stream_opened opened, const event_feed_config& config);

// The frames of one page, in order.
std::string frames_of(const event_page& page, framing how);

} // namespace rdev::http
