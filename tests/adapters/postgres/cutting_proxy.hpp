// Stands between a client and the server's Unix socket, and on demand swallows the answer to the next request: the
// server has done its work by then, and the client sees its connection break.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace rdev::test {

class cutting_proxy {
public:
  // `conninfo`: keywords with `host=<socket directory>`.
  explicit cutting_proxy(const std::string& conninfo);
  ~cutting_proxy();
  cutting_proxy(const cutting_proxy&) = delete;
  cutting_proxy& operator=(const cutting_proxy&) = delete;
  [[nodiscard]] const std::string& conninfo() const {
    return conninfo_;
  }
  void swallow_the_next_answer() {
    swallow_ = true;
  }

private:
  void accept_clients(const std::stop_token& stop);
  void carry(const std::stop_token& stop, int client);

  std::string server_path_;
  std::string folder_;
  std::string conninfo_;
  int listener_ = -1;
  std::atomic<bool> swallow_{false};
  std::vector<std::jthread> carriers_;
  std::jthread acceptor_;
};

} // namespace rdev::test
