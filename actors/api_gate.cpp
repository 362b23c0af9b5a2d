#include "actors/api_gate.hpp"

#include "actors/circuit_board.hpp"
#include "actors/refusal_record.hpp"

#include <caf/actor_cast.hpp>
#include <caf/make_actor.hpp>

#include <algorithm>

namespace rdev {

namespace {

constexpr auto slack = std::chrono::milliseconds(1500); // INGRESS is to be the one that ends what is overdue

refusal too_late() {
  return {refusal_code::service_unavailable,
          "the outcome is unknown: repeat with the same Idempotency-Key",
          {},
          std::chrono::seconds(1)};
}

} // namespace

api_gate::api_gate(caf::actor_system& system, surroundings around, std::chrono::milliseconds deadline)
    : around_(around), deadline_(deadline + slack) {
  caf::actor_config config;
  port_handle_ = caf::make_actor<reply_port, caf::actor>(system.next_actor_id(), system.node(), &system, config);
  port_ = static_cast<reply_port*>(caf::actor_cast<caf::abstract_actor*>(port_handle_));
}

api_gate::~api_gate() {
  close();
}

void api_gate::close() {
  port_->close();
}

caf::strong_actor_ptr api_gate::door() const {
  return caf::actor_cast<caf::strong_actor_ptr>(around_.peers->get<ingress::actor>());
}

template <class T>
std::optional<T> api_gate::taken(caf::message& reply) const {
  if (reply.match_elements<T>())
    return std::move(reply.get_mutable_as<T>(0));
  around_.fault("api_gate", reply.match_elements<caf::error>() ? to_failure(reply.get_as<caf::error>(0))
                                                               : failure{fault::internal, "an answer of another type"});
  return std::nullopt;
}

void api_gate::perform(api_request request, std::function<void(api_reply)> done) {
  around_.trace(request.from, "api_gate", "ingress", "perform");
  port_->ask(door(), deadline_, ingress::perform{std::move(request)},
             [this, done = std::move(done)](caf::message reply) {
               auto answered = taken<api_reply>(reply);
               done(answered ? std::move(*answered) : api_reply{answer<outcome>(too_late()), {}, {}});
             });
}

void api_gate::note_refused(const request_context& from, const refusal& why) {
  around_.trace(from, "api_gate", "refusals", "refused");
  caf::anon_send(around_.peers->get<refusals::actor>(), refusals::refused{refusal_record(around_, from, why, {}, {})});
}

void api_gate::next(const stream_opened& opened, event_position position, std::chrono::milliseconds wait,
                    std::function<void(answer<stream_news>)> done) {
  port_->ask(door(), wait + deadline_, ingress::read_stream{opened, position, wait},
             [this, done = std::move(done)](caf::message reply) {
               auto news = taken<answer<stream_news>>(reply);
               done(news ? std::move(*news) : answer<stream_news>(too_late()));
             });
}

void api_gate::read_on(const read_output& what, std::function<void(answer<output_bytes>)> done) {
  port_->ask(door(), deadline_, ingress::read_bytes{what}, [this, done = std::move(done)](caf::message reply) {
    auto bytes = taken<output_bytes>(reply);
    done(bytes ? answer<output_bytes>(std::move(*bytes)) : answer<output_bytes>(too_late()));
  });
}

std::vector<health_check> api_gate::ready() {
  constexpr std::string_view of_pods = "pod:";
  auto out = around_.health->all();
  if (around_.circuits == nullptr)
    return out;
  // Commands are taken while the cluster is away: none of these makes us unready.
  int pods = 0;
  for (const auto& broken : around_.circuits->broken())
    if (broken.first.starts_with(of_pods))
      ++pods;
    else if (std::none_of(out.begin(), out.end(), [&](const auto& check) { return check.name == broken.first; }))
      out.push_back({broken.first, true, to_string(broken.second)});
  if (pods > 0)
    out.push_back({"pods", true, std::to_string(pods) + " left alone"});
  return out;
}

} // namespace rdev
