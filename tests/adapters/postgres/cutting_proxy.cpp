#include "tests/adapters/postgres/cutting_proxy.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <stdexcept>

namespace rdev::test {

namespace {

constexpr const char* socket_name = "/.s.PGSQL.5432";
constexpr int look_ms = 20;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  path.copy(out.sun_path, sizeof out.sun_path - 1);
  return out;
}

bool pass(int from, int to) {
  std::array<char, 65536> piece{};
  const auto n = ::recv(from, piece.data(), piece.size(), 0);
  return n > 0 && ::send(to, piece.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL) == n;
}

} // namespace

cutting_proxy::cutting_proxy(const std::string& conninfo) {
  const auto at = conninfo.find("host=") + 5;
  const auto host = conninfo.substr(at, conninfo.find(' ', at) - at);
  server_path_ = host + socket_name;
  folder_ = "/tmp/rdev-proxy-XXXXXX";
  if (::mkdtemp(folder_.data()) == nullptr)
    throw std::runtime_error("no folder for the proxy");
  conninfo_ = conninfo;
  conninfo_.replace(at, host.size(), folder_);
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto here = address_of(folder_ + socket_name);
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0 || ::listen(listener_, 8) != 0)
    throw std::runtime_error("no socket for the proxy");
  acceptor_ = std::jthread([this](const std::stop_token& stop) { accept_clients(stop); });
}

cutting_proxy::~cutting_proxy() {
  acceptor_.request_stop();
  acceptor_.join();
  carriers_.clear();
  ::close(listener_);
  std::error_code none;
  std::filesystem::remove_all(folder_, none);
}

void cutting_proxy::accept_clients(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    pollfd fd{listener_, POLLIN, 0};
    if (::poll(&fd, 1, look_ms) <= 0)
      continue;
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0)
      carriers_.emplace_back([this, client](const std::stop_token& end) { carry(end, client); });
  }
}

void cutting_proxy::carry(const std::stop_token& stop, int client) {
  const int server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto there = address_of(server_path_);
  bool open = ::connect(server, reinterpret_cast<const sockaddr*>(&there), sizeof there) == 0;
  while (open && !stop.stop_requested()) {
    std::array<pollfd, 2> fds{{{client, POLLIN, 0}, {server, POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), look_ms) <= 0)
      continue;
    if (fds[0].revents != 0)
      open = pass(client, server);
    if (open && fds[1].revents != 0) {
      if (swallow_.exchange(false))
        break; // the answer is here, so the work is done
      open = pass(server, client);
    }
  }
  ::close(client);
  ::close(server);
}

} // namespace rdev::test
