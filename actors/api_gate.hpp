// The driving port on the side of the actors: the one place where a thread that is no actor asks one.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/api.hpp"

#include <caf/actor_system.hpp>

namespace rdev {

class api_gate final : public api {
public:
  // `deadline` = how long perform() may take; INGRESS ends overdue requests a little earlier.
  api_gate(caf::actor_system& system, surroundings around, std::chrono::milliseconds deadline)
      : system_(system), around_(around), deadline_(deadline) {
  }

  api_reply perform(api_request request) override;
  answer<stream_news> next(const stream_opened& opened, event_position position, std::chrono::milliseconds wait) override;
  std::vector<health_check> ready() override;

private:
  caf::actor_system& system_;
  surroundings around_;
  std::chrono::milliseconds deadline_;
};

} // namespace rdev
