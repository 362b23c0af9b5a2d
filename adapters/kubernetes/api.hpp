// The API server over REST. Blocking, one connection, not thread-safe but for stop().
#pragma once

#include "adapters/http/client.hpp"
#include "adapters/json/json.hpp"
#include "adapters/kubernetes/access.hpp"
#include "adapters/kubernetes/pace.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace rdev::kubernetes {

// Of the API server.
inline constexpr std::string_view api_circuit = "kubernetes";

class api {
public:
  explicit api(cluster_access access);

  struct answer {
    int status = 0;
    json::value body;
  };
  // Any answer of the API server, refusals included. Fault `unavailable`: it did not answer, and may have acted; or it
  // was asked more often than 50 times a second (100 at once), and was not asked.
  result<answer> request(const std::string& method, const std::string& path, const std::string& body = {});
  // The same, but what is no success is a fault whose message names what is missing: the verb of a 403, for example.
  result<json::value> get(const std::string& path);
  // Events of a watch, each a JSON object, until `take` answers false, the API server ends it, or stop(). Fault
  // `invalid`: the place to begin at is too old (410).
  result<done> watch(const std::string& path, const std::function<bool(const json::value&)>& take);
  // Breaks off what is under way; from another thread.
  void stop();

private:
  result<http::headers> fields() const;

  cluster_access access_;
  http::client http_;
  pace pace_;
};

// What a refusal says, for logs: code, reason and message of the Status object.
std::string explained(const api::answer& refusal);

} // namespace rdev::kubernetes
