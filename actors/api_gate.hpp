// The driving port on the side of the actors: the one place where code that is no actor asks one.
#pragma once

#include "actors/reply_port.hpp"
#include "actors/surroundings.hpp"
#include "adapters/api.hpp"

#include <caf/actor_system.hpp>

namespace rdev {

class api_gate final : public api {
public:
  // `deadline` = how long a request may take; INGRESS ends overdue requests a little earlier.
  api_gate(caf::actor_system& system, surroundings around, std::chrono::milliseconds deadline);
  ~api_gate() override;
  // From now on every call is answered at once, with a refusal that says so; no other thread is in a `done` any more.
  void close();

  void perform(api_request request, std::function<void(api_reply)> done) override;
  void note_refused(const request_context& from, const refusal& why) override;
  void next(const stream_opened& opened, event_position position, std::chrono::milliseconds wait,
            std::function<void(answer<stream_news>)> done) override;
  void read_on(const read_output& what, std::function<void(answer<output_bytes>)> done) override;
  std::vector<health_check> ready() override;

private:
  [[nodiscard]] caf::strong_actor_ptr door() const;
  // The reply of type T, or nothing after a fault, which is logged and counted here.
  template <class T>
  std::optional<T> taken(caf::message& reply) const;

  surroundings around_;
  std::chrono::milliseconds deadline_;
  caf::actor port_handle_;
  reply_port* port_;
};

} // namespace rdev
