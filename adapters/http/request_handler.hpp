// From a request to its reply: route, credential, the house behind adapters/api.hpp, log line and counters.
#pragma once

#include "adapters/api.hpp"
#include "adapters/http/reply.hpp"
#include "adapters/http/request.hpp"
#include "adapters/http/server_rules.hpp"
#include "adapters/http/stream_hub.hpp"
#include "adapters/log.hpp"
#include "adapters/metrics.hpp"
#include "adapters/redaction.hpp"
#include "messages/values/addresses.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace rdev::http {

struct handler_config {
  std::vector<ip_network> trusted_proxies;    // whose X-Forwarded-For is believed
  std::chrono::milliseconds heartbeat{15000}; // of event streams
  std::shared_ptr<const server_rules> allowed = std::make_shared<const server_rules>(); // or less; never null
  // Hides the environment of a command until its request is logged; or none.
  std::optional<redactor> hidden_by = std::nullopt;
};

// Thread-safe. Outlives every request that it was given.
class request_handler {
public:
  using answer_to = std::function<void(reply)>;

  request_handler(api& house, log& out, metrics& counters, handler_config config);

  // `done` is called exactly once, from any thread.
  void handle(request asked, const ip_address& peer, answer_to done);
  // For what was refused before there was a whole request. `asked` holds what could be understood of it.
  reply refuse(const refusal& why, const ip_address& peer, const request& asked);

private:
  struct wish;
  struct secrets;
  struct exchange;
  using under_way = std::shared_ptr<exchange>;
  under_way take_in(const request& asked, const ip_address& peer) const;
  void answer_open_route(const under_way& x);
  void ask_house(const under_way& x);
  reply reply_to(const under_way& x, api_reply answered);
  reply success(const under_way& x, outcome what);
  reply event_reply(const under_way& x, const stream_opened& opened);
  reply byte_reply(const under_way& x, output_bytes first);
  reply refused(const under_way& x, const refusal& why);
  static reply failure_reply(const under_way& x, const refusal& why);
  // The one way out: from here on the end of the reply is the end of the request.
  void send(const under_way& x, reply r);
  void watch_end(const under_way& x, reply& r);

  api& house_;
  log& log_;
  metrics& metrics_;
  handler_config config_;
  stream_hub streams_;
};

} // namespace rdev::http
