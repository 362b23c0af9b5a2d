// Port: sends signed requests to the endpoints of webhooks (Standard Webhooks, https://www.standardwebhooks.com).
#pragma once

#include "messages/values/webhooks.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace rdev {

struct outgoing_message {
  webhook_id webhook;
  std::string url;
  signing_secrets secrets;
  std::int64_t sequence = 0;
  event_fact what;
};

// How an attempt ended.
struct sent_message {
  std::optional<int> status;                       // of HTTP; none: there was no answer
  std::string error;                               // empty = delivered (a status of 200 to 299); else why not
  std::string body;                                // the first KiB of the answer, made valid UTF-8 without NUL
  std::chrono::milliseconds latency{0};            // until the answer or the failure
  std::optional<std::chrono::seconds> retry_after; // the endpoint's wish (RFC 9110, 10.2.3), 0 or more
};

class webhook_sender {
public:
  virtual ~webhook_sender() = default;

  // What is wrong with a URL, in words for who wants to register it; none: nothing that can be seen without asking
  // the network. Names are resolved and checked when a connection is made.
  [[nodiscard]] virtual std::optional<std::string> problem_of(std::string_view url) const = 0;
  // Sends in the background, and calls `done` once, from a thread of its own, within the time limit; never before
  // send() has returned. Any number at once; never blocks, never throws. Refused without a present secret, and when the
  // resolved address may not be connected to.
  virtual void send(outgoing_message message, std::function<void(sent_message)> done) = 0;
  // Breaks off what is under way. Nothing is called any more when this has returned, and nothing is sent.
  virtual void stop() = 0;
};

} // namespace rdev
