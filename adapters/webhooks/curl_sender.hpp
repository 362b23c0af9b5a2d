// Sends messages over libcurl: one thread for all endpoints, connections that are kept alive, and no connection to an
// address that the guard refuses, whatever a name leads to at that moment.
#pragma once

#include "adapters/webhook_sender.hpp"
#include "messages/values/addresses.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace rdev::webhook_sending {

struct sender_config {
  std::vector<ip_network> allowed_networks;       // besides the public internet; the only ones for http
  std::chrono::milliseconds time_limit{15'000};   // from send() to the end of the answer
  std::chrono::milliseconds connect_limit{5'000}; // within it: until the name is resolved, TCP and TLS are up
  std::size_t max_answer_bytes = 64 * 1024;       // of a body; of what is longer no more is read
  std::size_t max_head_bytes = 32 * 1024;         // of the heads of an answer together; longer: a failure
  std::chrono::seconds idle_limit{60};            // after which a connection without a request is not used any more
  std::chrono::seconds name_limit{5};             // for which a resolved name is not asked for again
  long kept_connections = 512;                    // without a request, at most
  std::string authority_file;                     // PEM, instead of the system's authorities; empty = those
};

// Once the head of an answer has come its status counts, also when the body is too long, breaks off or does not end in
// time. The last owner must not let go of it in `done`; a call that runs already when the destructor begins is waited
// for.
std::shared_ptr<webhook_sender> make_webhook_sender(sender_config config);

} // namespace rdev::webhook_sending
