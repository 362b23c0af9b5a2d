// The driving port: what the outside may ask of rdev. Implemented by actors/api_gate, called by adapters/http.
// All calls are thread-safe, return at once and never throw.
#pragma once

#include "messages/values/operations.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace rdev {

struct health_check {
  std::string name;
  bool ok = true;
  std::string status; // `ok`, or what is wrong, in words that may be shown
};

class api {
public:
  virtual ~api() = default;

  // Carries out one request. `done` is called exactly once, from any thread, at the latest after the request deadline.
  virtual void perform(api_request request, std::function<void(api_reply)> done) = 0;

  // What was refused without the house: it is put on record like its own refusals, or counted.
  virtual void note_refused(const request_context& from, const refusal& why) = 0;

  // What lies behind `position` of an opened stream; held back for up to `wait` while there is nothing. `done` as
  // above, at the latest after `wait` and the request deadline.
  virtual void next(const stream_opened& opened, event_position position, std::chrono::milliseconds wait,
                    std::function<void(answer<stream_news>)> done) = 0;

  // Goes on with a read of stored bytes that perform() has begun.
  virtual void read_on(const read_output& what, std::function<void(answer<output_bytes>)> done) = 0;

  // The state of every dependency, from memory: never waits for one.
  virtual std::vector<health_check> ready() = 0;
};

} // namespace rdev
