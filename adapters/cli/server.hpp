// The server as the client sees it: requests that are repeated until there is an answer or no patience left.
#pragma once

#include "adapters/cli/answers.hpp"
#include "adapters/cli/clock.hpp"
#include "adapters/cli/patience.hpp"
#include "adapters/cli/server_url.hpp"
#include "adapters/http/client.hpp"
#include "messages/values/secret.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <variant>

namespace rdev::cli {

// Whom to ask, and as whom.
struct account {
  server_url url;
  secret key;
};

class server {
public:
  // `budget`: for how long a request is repeated; zero = it is not.
  server(account who, clock& time, milliseconds budget);

  // A POST carries an Idempotency-Key, the same one in every repeat. `body` is JSON or empty.
  std::variant<reply, trouble> ask(const std::string& method, const std::string& path, const std::string& body = {});
  // One attempt at an event stream, not repeated; see http::client::stream.
  result<http::response> stream(const std::string& path, const std::string& last_event_id,
                                const std::function<bool(std::string_view)>& on_data);
  // Fresh patience, for those who repeat by themselves.
  [[nodiscard]] patience new_patience() const;
  [[nodiscard]] clock& time() const {
    return time_;
  }
  [[nodiscard]] const std::string& origin() const {
    return who_.url.origin;
  }
  // Breaks off a request under way; may be called from another thread.
  void stop() {
    http_.stop();
  }

private:
  [[nodiscard]] http::headers base_headers() const;

  account who_;
  clock& time_;
  milliseconds budget_;
  http::client http_;
};

// For a person who would otherwise look at a silent screen: said once an outage has lasted a while, once per outage.
class outage_notice {
public:
  void failing(milliseconds so_far, const std::string& origin, const std::string& why);
  void over() {
    said_ = false;
  }

private:
  bool said_ = false;
};

} // namespace rdev::cli
