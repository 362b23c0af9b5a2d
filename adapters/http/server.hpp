// The HTTP server: listens, spreads connections over event loops, drains.
#pragma once

#include "adapters/http/event_loop.hpp"
#include "messages/values/result.hpp"

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace rdev::http {

struct server_config {
  std::string listen;                  // `host:port`; `[…]:port` for IPv6; port 0 = a free one
  int threads = 2;                     // event loops
  std::size_t max_connections = 16384; // beyond that a connection gets 503 and is closed
  loop_config loop;
};

class server {
  struct passkey {};

public:
  // Fault `invalid`: the address cannot be listened on, with the reason.
  static result<std::unique_ptr<server>> start(request_handler& handler, const server_config& config);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  // Where it listens, as `host:port`.
  [[nodiscard]] const std::string& address() const {
    return address_;
  }
  // Accepts nothing more; connections end with their reply.
  void drain();
  // How many connections are left.
  [[nodiscard]] std::size_t connections() const;

  server(passkey, request_handler& handler, server_config config, descriptor listener, std::string address);

private:
  void accept_all(const std::stop_token& stop);
  void place(descriptor socket, const ip_address& peer);

  request_handler& handler_;
  server_config config_;
  descriptor listener_;
  descriptor wake_;
  std::string address_;
  std::vector<std::unique_ptr<event_loop>> loops_;
  std::size_t next_loop_ = 0;
  std::jthread acceptor_; // last: it uses all of the above
};

} // namespace rdev::http
