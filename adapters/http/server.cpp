#include "adapters/http/server.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <arpa/inet.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace rdev::http {

namespace {

constexpr int backlog = 4096;
constexpr std::size_t most_turned_away = 256; // with a reason, at once; others are just closed
constexpr int most_unsent = 128 * 1024;       // bytes that the system takes beyond what the client has room for
constexpr int pause_ms = 50;                  // when the process is out of descriptors

failure wrong(const std::string& listen, const std::string& why) {
  return {fault::invalid, "server.listen: cannot listen on " + listen + ": " + why};
}

std::string text_of(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> host{};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, host.data(), host.size());
    return std::string(host.data()) + ":" + std::to_string(ntohs(v4.sin_port));
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  ::inet_ntop(AF_INET6, &v6.sin6_addr, host.data(), host.size());
  return "[" + std::string(host.data()) + "]:" + std::to_string(ntohs(v6.sin6_port));
}

ip_address peer_of(const sockaddr_storage& address) {
  ip_address out;
  if (address.ss_family == AF_INET) {
    std::array<char, INET_ADDRSTRLEN> host{};
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, host.data(), host.size());
    return ip_address::parse(host.data()).value_or(out);
  }
  std::array<char, INET6_ADDRSTRLEN> host{};
  ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, host.data(), host.size());
  return ip_address::parse(host.data()).value_or(out);
}

struct free_addresses {
  void operator()(addrinfo* list) const {
    ::freeaddrinfo(list);
  }
};

// Without SO_REUSEPORT: a second server on the same port must fail, not share.
result<descriptor> listen_on(const std::string& listen) {
  const auto colon = listen.rfind(':');
  auto host = listen.substr(0, colon);
  if (host.size() > 2 && host.front() == '[')
    host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* raw = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), listen.substr(colon + 1).c_str(), &hints, &raw);
  const std::unique_ptr<addrinfo, free_addresses> found(raw);
  if (failed != 0)
    return wrong(listen, ::gai_strerror(failed));
  descriptor out(::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int yes = 1;
  ::setsockopt(out.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (!out || ::bind(out.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(out.get(), backlog) != 0)
    return wrong(listen, std::strerror(errno));
  return out;
}

} // namespace

result<std::unique_ptr<server>> server::start(request_handler& handler, const server_config& config) {
  auto listener = listen_on(config.listen);
  if (!listener)
    return std::move(listener.error());
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(listener->get(), reinterpret_cast<sockaddr*>(&address), &size);
  return std::make_unique<server>(passkey{}, handler, config, std::move(*listener), text_of(address));
}

server::server(passkey, request_handler& handler, server_config config, descriptor listener, std::string address)
    : handler_(handler), config_(std::move(config)), listener_(std::move(listener)),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), address_(std::move(address)) {
  for (int i = 0; i < config_.threads; ++i)
    loops_.push_back(std::make_unique<event_loop>(handler_, config_.loop));
  acceptor_ = std::jthread([this](const std::stop_token& stop) { accept_all(stop); });
}

server::~server() {
  drain();
}

void server::drain() {
  acceptor_.request_stop();
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(wake_.get(), &one, sizeof one);
  if (acceptor_.joinable())
    acceptor_.join();
  listener_ = {};
  for (const auto& loop : loops_)
    loop->drain();
}

std::size_t server::connections() const {
  std::size_t n = 0;
  for (const auto& loop : loops_)
    n += loop->connections();
  return n;
}

void server::accept_all(const std::stop_token& stop) {
  std::array<pollfd, 2> fds{{{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
  while (!stop.stop_requested()) {
    ::poll(fds.data(), fds.size(), -1);
    while (!stop.stop_requested()) {
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      descriptor socket(
          ::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket) {
        place(std::move(socket), peer_of(peer));
        continue;
      }
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        ::poll(nullptr, 0, pause_ms); // others may close theirs
      if (errno != EINTR && errno != ECONNABORTED)
        break;
    }
  }
}

void server::place(descriptor socket, const ip_address& peer) {
  const int yes = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most_unsent, sizeof most_unsent);
  auto& loop = *loops_[next_loop_++ % loops_.size()];
  const auto open = connections();
  if (open < config_.max_connections)
    return loop.adopt(std::move(socket), peer);
  if (open < config_.max_connections + most_turned_away)
    loop.turn_away(std::move(socket), peer,
                   {refusal_code::service_unavailable,
                    "too many connections (http.max_connections)",
                    {},
                    std::chrono::seconds(1)});
}

} // namespace rdev::http
