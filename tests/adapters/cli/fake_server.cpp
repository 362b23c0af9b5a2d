#include "fake_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <sstream>
#include <stdexcept>

namespace rdev::cli {

namespace {

seen_request parse_head(const std::string& head) {
  std::istringstream lines(head);
  seen_request out;
  std::string line;
  std::getline(lines, line);
  std::istringstream(line) >> out.method >> out.target;
  while (std::getline(lines, line)) {
    const auto colon = line.find(": ");
    if (colon == std::string::npos)
      continue;
    auto name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto end = line.find('\r');
    out.fields[name] = line.substr(colon + 2, end - colon - 2);
  }
  return out;
}

bool read_more(int connection, std::string& into) {
  char piece[4096];
  const auto n = ::recv(connection, piece, sizeof piece, 0);
  if (n > 0)
    into.append(piece, static_cast<std::size_t>(n));
  return n > 0;
}

} // namespace

fake_server::fake_server(handler answer) : answer_(std::move(answer)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, plain, size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, plain, &size) != 0)
    throw std::runtime_error("no port for the fake server");
  port_ = ntohs(address.sin_port);
  thread_ = std::jthread([this] { accept_all(); });
}

fake_server::~fake_server() {
  ::shutdown(listener_, SHUT_RDWR);
  thread_.join();
  connections_.clear();
  ::close(listener_);
}

std::string fake_server::url() const {
  return "http://127.0.0.1:" + std::to_string(port_);
}

std::vector<seen_request> fake_server::requests() const {
  const std::lock_guard held(mutex_);
  return requests_;
}

void fake_server::accept_all() {
  for (;;) {
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0)
      return;
    connections_.emplace_back([this, connection] { serve(connection); });
  }
}

void fake_server::serve(int connection) {
  std::string text;
  while (text.find("\r\n\r\n") == std::string::npos && read_more(connection, text)) {
  }
  const auto head_end = text.find("\r\n\r\n");
  if (head_end != std::string::npos) {
    auto request = parse_head(text.substr(0, head_end));
    const auto length = request.fields.contains("content-length") ? std::stoul(request.fields["content-length"]) : 0UL;
    while (text.size() < head_end + 4 + length && read_more(connection, text)) {
    }
    request.body = text.substr(head_end + 4);
    {
      const std::lock_guard held(mutex_);
      requests_.push_back(request);
    }
    std::string_view answer;
    const auto whole = answer_(request);
    answer = whole;
    while (!answer.empty()) {
      const auto n = ::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
      if (n <= 0)
        break;
      answer.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  ::shutdown(connection, SHUT_WR);
  ::close(connection);
}

std::string json_answer(int status, const std::string& body, const std::string& more_headers) {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: application/json\r\n" + more_headers +
         "Connection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string event_stream(const std::string& frames) {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + frames;
}

} // namespace rdev::cli
