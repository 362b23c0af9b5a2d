// An HTTP client without library types; other adapters may use it. Blocking, one connection, not thread-safe.
#pragma once

#include "messages/values/result.hpp"
#include "messages/values/secret.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace rdev::http {

using headers = std::map<std::string, std::string>; // names in lower case when received

struct response {
  int status = 0;
  headers fields;
  std::string body;
};

// A server that is not verified by the system's authorities alone, or that wants to know by certificate who asks.
struct trust {
  std::string authority;   // PEM; empty = the system's
  std::string certificate; // PEM, ours; empty = none
  secret private_key;      // PEM
};

class client {
public:
  // `base_url`: `http://host:port` or `https://host`; certificates are verified. Connecting may take 5 s, an answer 60
  // s.
  explicit client(const std::string& base_url);
  client(const std::string& base_url, const trust& whom);
  ~client();
  client(client&&) noexcept;
  client& operator=(client&&) noexcept;

  // Fault `unavailable`: not connected, or cut before an answer; the server may have acted on the request. `invalid`:
  // a certificate that cannot be verified; nothing was sent.
  result<response> request(const std::string& method, const std::string& path, const headers& fields,
                           const std::string& body);
  // GET whose body is handed out in pieces as it comes, as long as `on_data` answers true. For another status than 200
  // the body is in the response. Faults as above.
  result<response> stream(const std::string& path, const headers& fields,
                          const std::function<bool(std::string_view)>& on_data);
  // Breaks off a request under way; may be called from another thread.
  void stop();

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace rdev::http
