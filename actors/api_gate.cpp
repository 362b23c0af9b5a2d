#include "actors/api_gate.hpp"

#include <caf/scoped_actor.hpp>

namespace rdev {

namespace {

refusal too_late() {
  return {refusal_code::service_unavailable, "the outcome is unknown: repeat with the same Idempotency-Key", {},
          std::chrono::seconds(1)};
}

} // namespace

// An asker of its own for each call: a long-lived one would keep every time-out of its former requests in its mailbox.
api_reply api_gate::perform(api_request request) {
  api_reply out{answer<outcome>(too_late()), {}, {}};
  around_.trace(request.from, "api_gate", "ingress", "perform");
  caf::scoped_actor self(system_);
  self->request(around_.peers->get<ingress::actor>(), deadline_, ingress::perform{std::move(request)})
      .receive([&](api_reply& reply) { out = std::move(reply); },
               [&](const caf::error& e) { around_.fault("api_gate", to_failure(e)); });
  return out;
}

answer<stream_news> api_gate::next(const stream_opened& opened, event_position position, std::chrono::milliseconds wait) {
  answer<stream_news> out{too_late()};
  caf::scoped_actor self(system_);
  self->request(around_.peers->get<ingress::actor>(), wait + deadline_, ingress::read_stream{opened, position, wait})
      .receive([&](answer<stream_news>& news) { out = std::move(news); },
               [&](const caf::error& e) { around_.fault("api_gate", to_failure(e)); });
  return out;
}

std::vector<health_check> api_gate::ready() {
  return around_.health->all();
}

} // namespace rdev
