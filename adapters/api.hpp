// The driving port: what the outside may ask of rdev. Implemented by actors/api_gate, called by adapters/http.
// All calls are thread-safe, block at most for the time stated and never throw.
#pragma once

#include "messages/values/operations.hpp"

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace rdev {

// What a reader of a stream gets next.
struct stream_news {
  std::optional<event_page> events;      // none: nothing new within the time
  std::optional<project> project_status; // of a stream of a project's own events
  bool draining = false;                 // the server goes away: tell the client to resume elsewhere
};

struct health_check {
  std::string name;
  bool ok = true;
  std::string status; // `ok`, or what is wrong, in words that may be shown
};

class api {
public:
  virtual ~api() = default;

  // Carries out one request; within the request deadline (10 s).
  virtual api_reply perform(api_request request) = 0;

  // What lies behind `position` of an opened stream; waits up to `wait` for something to come.
  virtual answer<stream_news> next(const stream_opened& opened, event_position position,
                                   std::chrono::milliseconds wait) = 0;

  // The state of every dependency, from memory: never waits for one.
  virtual std::vector<health_check> ready() = 0;
};

} // namespace rdev
