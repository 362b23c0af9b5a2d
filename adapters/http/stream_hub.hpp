// Where readers of event streams meet. Those who read the same stream with the same key share what is asked of the
// house and the frames that are made of it; one who falls behind is served out of the store, at its own pace, and holds
// nothing but the part it is sending.
#pragma once

#include "adapters/api.hpp"
#include "adapters/http/reply.hpp"

#include <chrono>
#include <memory>

namespace rdev::http {

class stream_hub {
public:
  // `heartbeat` = at most so long between signs of life while there is nothing new; more than 0.
  stream_hub(api& house, std::chrono::milliseconds heartbeat);
  ~stream_hub();
  stream_hub(const stream_hub&) = delete;
  stream_hub& operator=(const stream_hub&) = delete;

  // One reader. Its feed lives as long as it is asked; it ends after `complete`, at a refusal, and when the server goes
  // away. Thread-safe.
  std::shared_ptr<feed> open(const stream_opened& opened, framing how);

private:
  struct topic;
  struct directory;
  class reader;

  api& house_;
  std::chrono::milliseconds heartbeat_;
  std::shared_ptr<directory> topics_;
};

} // namespace rdev::http
