// An endpoint of raw sockets that does exactly what a test wants, on a free port of 127.0.0.1, with or without TLS.
#pragma once

#include <openssl/ssl.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace rdev::test {

struct seen_request {
  std::string line;
  std::map<std::string, std::string> fields; // names in lower case
  std::string body;
};

// One connection, as a script sees it. Closed when the script ends.
class wire {
public:
  wire(int socket, SSL_CTX* tls);
  ~wire();
  wire(const wire&) = delete;
  wire& operator=(const wire&) = delete;

  bool begin_tls(); // true without TLS
  std::optional<seen_request> read_request();
  // That were read from it.
  [[nodiscard]] int requests() const {
    return requests_;
  }
  bool write(std::string_view bytes); // false: nobody takes it
  // Whether nobody takes anything any more; waits for so long.
  bool closed_within(int milliseconds);
  void reset();
  void close();
  // The name that was asked for by TLS (SNI).
  std::string asked_name() const;
  void end(); // from another thread

private:
  long read(char* into, std::size_t size);

  std::mutex mutex_;
  int socket_;
  std::unique_ptr<SSL, decltype(&SSL_free)> tls_;
  std::string rest_;
  int requests_ = 0;
};

struct certificate_files {
  std::string certificate;
  std::string key;
};

class endpoint {
public:
  using script = std::function<void(wire&, const seen_request&)>; // for each request

  // `greeting` is said before anything was asked.
  explicit endpoint(script what, const certificate_files& tls = {}, std::string greeting = {});
  ~endpoint();
  endpoint(const endpoint&) = delete;
  endpoint& operator=(const endpoint&) = delete;

  [[nodiscard]] std::string url(const std::string& path = "/hook") const; // http, of its address
  [[nodiscard]] std::string url_of(const std::string& scheme, const std::string& host) const;
  [[nodiscard]] int port() const {
    return port_;
  }
  [[nodiscard]] int connections() const;
  [[nodiscard]] int ended_connections() const;
  [[nodiscard]] std::vector<seen_request> requests() const;
  [[nodiscard]] std::vector<std::string> asked_names() const;

private:
  void accept_all();
  void serve(wire& w);

  script what_;
  std::string greeting_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls_;
  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<seen_request> requests_;
  std::vector<std::string> names_;
  int ended_ = 0;
  std::vector<std::unique_ptr<wire>> wires_;
  std::vector<std::jthread> threads_;
  std::jthread acceptor_;
};

// An answer with a length.
std::string answer(const std::string& status, const std::string& body = {}, const std::string& more_fields = {});
// Gives each request this answer and keeps the connection.
endpoint::script always(std::string text);

} // namespace rdev::test
