// A process in a container: its input and output over one connection, which may break at any time. The process knows
// nothing of that and goes on.
#pragma once

#include "adapters/kubernetes/access.hpp"
#include "messages/values/output.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::kubernetes {

struct exec_target {
  std::string name_space;
  std::string pod;
  std::string container;
  std::vector<std::string> argv; // visible to whoever may read the API server's log: no text of a user
};

struct exec_end {
  // Of a connection that was never made. `http_status` says more; 0 = not even an answer.
  bool refused = false;
  int http_status = 0;
  std::string why;
};

// Called by one thread, never two calls at once.
class exec_listener {
public:
  virtual ~exec_listener() = default;
  virtual void on_open() = 0;
  // False: no more before resume() is called.
  virtual bool on_bytes(stream which, std::string_view bytes) = 0;
  // Once, and nothing after it.
  virtual void on_end(const exec_end& how) = 0;
};

// Calls are thread-safe and return at once.
class exec_session {
public:
  virtual ~exec_session() = default;
  // To the standard input of the process.
  virtual void send(std::string bytes) = 0;
  virtual void resume() = 0;
  // Lets go of the process. on_end() follows, if it has not been called.
  virtual void close() = 0;
};

class exec_transport {
public:
  virtual ~exec_transport() = default;
  // Once this is destroyed no listener is called any more.
  virtual std::shared_ptr<exec_session> open(const exec_target& target, std::shared_ptr<exec_listener> listener) = 0;
};

// Over WebSocket (RFC 6455) with Kubernetes' channels, `v5.channel.k8s.io` or `v4.channel.k8s.io`: the first byte of a
// message names its channel. Faults `invalid`: certificates or keys that cannot be read.
result<std::unique_ptr<exec_transport>> make_websocket_transport(const cluster_access& access);

} // namespace rdev::kubernetes
