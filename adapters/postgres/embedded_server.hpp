// A private PostgreSQL of a data dir: initialised, started, watched, stopped. It speaks over a Unix socket only, in a
// directory that only its user and root can enter, and knows its clients by who they are (peer authentication).
#pragma once

#include "adapters/log.hpp"
#include "adapters/redaction.hpp"
#include "messages/values/result.hpp"

#include <memory>
#include <optional>
#include <string>

namespace rdev::postgres {

struct embedded_config {
  std::string data_dir; // of rdev; the server's files are in <data_dir>/postgres
  std::string user;     // it runs as this user when we are root, since PostgreSQL refuses root
  std::optional<redactor> hidden_by = std::nullopt; // takes secrets out of what of its log comes into ours
};

class embedded_server {
public:
  virtual ~embedded_server() = default;
  // Ends it in order (`fast` shutdown), within ten seconds.
  virtual void stop() = 0;
};

// libpq keywords of a data dir's server; no secret in them.
std::string embedded_conninfo(const std::string& data_dir);

// Makes the server if need be, adopts one that runs already, and returns when it accepts connections. From then on a
// thread starts it again when it dies. Fault `invalid`: the set-up is wrong, with the remedy in the message.
result<std::unique_ptr<embedded_server>> start_embedded(const embedded_config& config, log& out);

} // namespace rdev::postgres
