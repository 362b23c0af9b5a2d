#include "endpoint.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace rdev::test {

namespace {

seen_request parse_head(const std::string& head) {
  std::istringstream lines(head);
  seen_request out;
  std::string line;
  std::getline(lines, out.line);
  out.line.pop_back();
  while (std::getline(lines, line)) {
    const auto colon = line.find(": ");
    if (colon == std::string::npos)
      continue;
    auto name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    out.fields[name] = line.substr(colon + 2, line.find('\r') - colon - 2);
  }
  return out;
}

} // namespace

wire::wire(int socket, SSL_CTX* tls) : socket_(socket), tls_(tls == nullptr ? nullptr : ::SSL_new(tls), &::SSL_free) {
}

wire::~wire() {
  if (socket_ >= 0)
    ::close(socket_);
}

bool wire::begin_tls() {
  return !tls_ || (::SSL_set_fd(tls_.get(), socket_) == 1 && ::SSL_accept(tls_.get()) == 1);
}

long wire::read(char* into, std::size_t size) {
  if (tls_)
    return ::SSL_read(tls_.get(), into, static_cast<int>(size));
  return ::recv(socket_, into, size, 0);
}

std::optional<seen_request> wire::read_request() {
  std::array<char, 4096> piece{};
  const auto more = [&] {
    const auto n = read(piece.data(), piece.size());
    if (n > 0)
      rest_.append(piece.data(), static_cast<std::size_t>(n));
    return n > 0;
  };
  while (rest_.find("\r\n\r\n") == std::string::npos)
    if (!more())
      return std::nullopt;
  const auto end = rest_.find("\r\n\r\n") + 4;
  auto out = parse_head(rest_.substr(0, end));
  const auto length = out.fields.contains("content-length") ? std::stoul(out.fields["content-length"]) : 0UL;
  while (rest_.size() < end + length)
    if (!more())
      return std::nullopt;
  out.body = rest_.substr(end, length);
  rest_.erase(0, end + length);
  ++requests_;
  return out;
}

bool wire::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = tls_ ? static_cast<long>(::SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size())))
                        : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0)
      return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool wire::closed_within(int milliseconds) {
  pollfd look{socket_, POLLRDHUP, 0};
  return ::poll(&look, 1, milliseconds) > 0;
}

void wire::reset() {
  const std::lock_guard held(mutex_);
  const linger at_once{1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(std::exchange(socket_, -1));
}

void wire::close() {
  end();
}

std::string wire::asked_name() const {
  const auto* name = tls_ ? ::SSL_get_servername(tls_.get(), TLSEXT_NAMETYPE_host_name) : nullptr;
  return name == nullptr ? std::string{} : name;
}

void wire::end() {
  const std::lock_guard held(mutex_);
  if (socket_ >= 0)
    ::shutdown(socket_, SHUT_RDWR);
}

endpoint::endpoint(script what, const certificate_files& tls, std::string greeting)
    : what_(std::move(what)), greeting_(std::move(greeting)), tls_(nullptr, &::SSL_CTX_free) {
  if (!tls.certificate.empty()) {
    tls_.reset(::SSL_CTX_new(::TLS_server_method()));
    if (::SSL_CTX_use_certificate_chain_file(tls_.get(), tls.certificate.c_str()) != 1 ||
        ::SSL_CTX_use_PrivateKey_file(tls_.get(), tls.key.c_str(), SSL_FILETYPE_PEM) != 1)
      throw std::runtime_error("no certificate for the endpoint");
  }
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, plain, size) != 0 || ::listen(listener_, 1024) != 0 ||
      ::getsockname(listener_, plain, &size) != 0)
    throw std::runtime_error("no port for the endpoint");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::jthread([this] { accept_all(); });
}

endpoint::~endpoint() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (const auto& w : wires_)
    w->end();
  threads_.clear();
  ::close(listener_);
}

std::string endpoint::url(const std::string& path) const {
  return url_of("http", "127.0.0.1") + path;
}

std::string endpoint::url_of(const std::string& scheme, const std::string& host) const {
  return scheme + "://" + host + ":" + std::to_string(port_);
}

int endpoint::connections() const {
  const std::lock_guard held(mutex_);
  return static_cast<int>(wires_.size());
}

int endpoint::ended_connections() const {
  const std::lock_guard held(mutex_);
  return ended_;
}

std::vector<seen_request> endpoint::requests() const {
  const std::lock_guard held(mutex_);
  return requests_;
}

std::vector<std::string> endpoint::asked_names() const {
  const std::lock_guard held(mutex_);
  return names_;
}

void endpoint::accept_all() {
  for (;;) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0)
      return;
    const std::lock_guard held(mutex_);
    auto& w = *wires_.emplace_back(std::make_unique<wire>(socket, tls_.get()));
    threads_.emplace_back([this, &w] { serve(w); });
  }
}

void endpoint::serve(wire& w) {
  // OpenSSL writes without MSG_NOSIGNAL. Only here: the sender must need nothing of the kind from its process.
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  if (w.begin_tls() && w.write(greeting_)) {
    {
      const std::lock_guard held(mutex_);
      names_.push_back(w.asked_name());
    }
    while (auto request = w.read_request()) {
      {
        const std::lock_guard held(mutex_);
        requests_.push_back(*request);
      }
      what_(w, *request);
    }
  }
  w.end();
  const std::lock_guard held(mutex_);
  ++ended_;
}

std::string answer(const std::string& status, const std::string& body, const std::string& more_fields) {
  return "HTTP/1.1 " + status + "\r\ncontent-length: " + std::to_string(body.size()) + "\r\n" + more_fields + "\r\n" +
         body;
}

endpoint::script always(std::string text) {
  return [text = std::move(text)](wire& w, const seen_request&) { w.write(text); };
}

} // namespace rdev::test
