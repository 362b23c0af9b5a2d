// An HTTP server of raw sockets that says exactly what a test wants, cuts included. One connection at a time per
// request; each is closed after its answer.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace rdev::cli {

struct seen_request {
  std::string method;
  std::string target;
  std::map<std::string, std::string> fields; // names in lower case
  std::string body;
};

class fake_server {
public:
  // Gives the whole answer as it goes over the wire; the connection is closed behind it. Runs on the connection's
  // thread, one after the other unless `parallel` answers do wait.
  using handler = std::function<std::string(const seen_request&)>;

  explicit fake_server(handler answer);
  ~fake_server();
  fake_server(const fake_server&) = delete;
  fake_server& operator=(const fake_server&) = delete;

  [[nodiscard]] std::string url() const;
  // What has been asked so far, in order.
  [[nodiscard]] std::vector<seen_request> requests() const;

private:
  void accept_all();
  void serve(int connection);

  handler answer_;
  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<seen_request> requests_;
  std::vector<std::jthread> connections_;
  std::jthread thread_;
};

std::string json_answer(int status, const std::string& body, const std::string& more_headers = {});
std::string event_stream(const std::string& frames);

} // namespace rdev::cli
