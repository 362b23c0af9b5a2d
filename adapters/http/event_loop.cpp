#include "adapters/http/event_loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace rdev::http {

namespace {

using clock = std::chrono::steady_clock;

constexpr std::uint64_t wake_id = 0;
constexpr int most_events = 256;
constexpr auto sweep_interval = std::chrono::milliseconds(250);
constexpr auto linger_limit = std::chrono::milliseconds(2000); // for a client that still sends what nobody will read
constexpr std::size_t read_bytes = 64 * 1024;
constexpr std::size_t kept_buffer = 64 * 1024; // what a connection may keep of a large reply's memory
constexpr const char* go_on = "HTTP/1.1 100 Continue\r\n\r\n";

} // namespace

struct event_loop::connection {
  enum class phase : std::uint8_t { reading, waiting, sending, lingering };

  connection(std::uint64_t number, descriptor fd, const ip_address& from, const request_limits& limits)
      : id(number), socket(std::move(fd)), peer(from), reader(limits) {
  }
  ~connection() {
    if (finished)
      finished();
  }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  std::uint64_t id;
  descriptor socket;
  ip_address peer;
  request_reader reader;
  phase now = phase::reading;
  std::uint32_t wanted = EPOLLIN;
  clock::time_point until; // when patience ends in this phase
  bool in_request = false; // some of a request has come
  bool head_only = false;  // of the request under way
  bool keep_alive = false; // after the reply under way
  bool at_eof = false;     // the client sends no more

  std::string out; // of the reply under way: what is still to be sent, from `sent` on
  std::size_t sent = 0;
  std::shared_ptr<feed> rest;
  bool asked_for_piece = false;
  std::function<void()> finished;
};

event_loop::event_loop(request_handler& handler, loop_config config)
    : handler_(handler), config_(config), epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = wake_id;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

event_loop::~event_loop() {
  thread_.request_stop();
  post([] {});
  thread_.join();
}

void event_loop::post(task what) {
  bool first = false;
  {
    std::lock_guard guard(mutex_);
    first = tasks_.empty();
    tasks_.push_back(std::move(what));
  }
  if (!first || std::this_thread::get_id() == thread_.get_id())
    return; // the loop is awake, or has been woken
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(wake_.get(), &one, sizeof one);
}

template <class What>
void event_loop::post_to(std::uint64_t id, What what) {
  post([this, id, what = std::move(what)]() mutable {
    if (const auto found = connections_.find(id); found != connections_.end())
      what(*found->second);
  });
}

void event_loop::adopt(descriptor socket, const ip_address& peer) {
  ++count_;
  post([this, fd = std::make_shared<descriptor>(std::move(socket)), peer] {
    const auto id = ++last_id_;
    auto c = std::make_unique<connection>(id, std::move(*fd), peer, config_.limits);
    c->until = clock::now() + config_.keep_alive;
    epoll_event event{};
    event.events = c->wanted;
    event.data.u64 = id;
    if (draining_ || ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, c->socket.get(), &event) != 0)
      --count_;
    else
      connections_.emplace(id, std::move(c));
  });
}

void event_loop::drain() {
  post([this] {
    draining_ = true;
    std::vector<std::uint64_t> idle;
    for (const auto& [id, c] : connections_)
      if (c->now == connection::phase::reading && !c->in_request)
        idle.push_back(id);
    for (const auto id : idle)
      close(*connections_.at(id));
  });
}

void event_loop::run(const std::stop_token& stop) {
  std::array<epoll_event, most_events> events{};
  auto next_sweep = clock::now() + sweep_interval;
  while (!stop.stop_requested()) {
    const int n = ::epoll_wait(epoll_.get(), events.data(), most_events, static_cast<int>(sweep_interval.count()));
    for (int i = 0; i < n; ++i)
      on_event(events.at(static_cast<std::size_t>(i)).data.u64, events.at(static_cast<std::size_t>(i)).events);
    run_tasks();
    if (clock::now() >= next_sweep) {
      close_overdue();
      next_sweep = clock::now() + sweep_interval;
    }
    closed_.clear();
  }
  run_tasks();
  connections_.clear();
}

void event_loop::run_tasks() {
  // Tasks may post further ones: those of a pipelined request, for example.
  for (;;) {
    std::vector<task> now;
    {
      std::lock_guard guard(mutex_);
      now.swap(tasks_);
    }
    if (now.empty())
      return;
    for (auto& what : now)
      what();
  }
}

void event_loop::on_event(std::uint64_t id, std::uint32_t events) {
  if (id == wake_id) {
    std::uint64_t n = 0;
    [[maybe_unused]] const auto got = ::read(wake_.get(), &n, sizeof n);
    return;
  }
  const auto found = connections_.find(id);
  if (found == connections_.end())
    return;
  auto& c = *found->second;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0)
    return close(c);
  if ((events & EPOLLRDHUP) != 0 && c.rest) // a reader of a feed has gone; others may still want their answer
    return close(c);
  if ((events & EPOLLIN) != 0)
    on_readable(c);
  if ((events & EPOLLOUT) != 0 && connections_.contains(id))
    flush(c);
}

void event_loop::want(connection& c, std::uint32_t events) {
  if (c.wanted == events)
    return;
  c.wanted = events;
  epoll_event event{};
  event.events = events;
  event.data.u64 = c.id;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, c.socket.get(), &event);
}

void event_loop::on_readable(connection& c) {
  thread_local std::array<char, read_bytes> buffer;
  const auto n = ::recv(c.socket.get(), buffer.data(), buffer.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0) {
    c.at_eof = true;
    return close(c); // no request is under way: nobody waits for an answer
  }
  if (c.now == connection::phase::lingering)
    return;
  c.reader.feed({buffer.data(), static_cast<std::size_t>(n)});
  look_for_request(c);
}

void event_loop::look_for_request(connection& c) {
  auto got = c.reader.next();
  if (auto* why = std::get_if<refusal>(&got)) {
    c.head_only = false;
    c.keep_alive = false;
    return begin_reply(c, handler_.refuse(*why, c.peer));
  }
  if (auto* whole = std::get_if<request>(&got)) {
    c.now = connection::phase::waiting;
    c.in_request = false;
    c.until = clock::time_point::max();
    c.head_only = whole->method == "HEAD";
    c.keep_alive = whole->keep_alive;
    want(c, EPOLLRDHUP);
    return handler_.handle(std::move(*whole), c.peer, [this, id = c.id](reply r) {
      post_to(id, [this, r = std::move(r)](connection& there) mutable { begin_reply(there, std::move(r)); });
    });
  }
  want(c, EPOLLIN);
  if (!c.in_request) {
    c.in_request = !c.reader.idle();
    c.until = clock::now() + (c.in_request ? config_.request_timeout : config_.keep_alive);
  }
  if (c.reader.wants_continue())
    ::send(c.socket.get(), go_on, std::char_traits<char>::length(go_on), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void event_loop::begin_reply(connection& c, reply r) {
  c.now = connection::phase::sending;
  c.keep_alive = c.keep_alive && !r.close && !draining_;
  c.finished = std::move(r.finished);
  c.out = head_of(r, c.keep_alive);
  c.sent = 0;
  if (!c.head_only) {
    c.out += r.body;
    c.rest = std::move(r.rest);
  }
  c.until = clock::now() + config_.write_timeout;
  flush(c);
}

void event_loop::on_piece(connection& c, feed::piece p) {
  c.asked_for_piece = false;
  if (c.sent == c.out.size()) {
    c.out = std::move(p.bytes);
    c.sent = 0;
  } else {
    c.out += p.bytes;
  }
  if (p.last)
    c.rest.reset();
  c.until = clock::now() + config_.write_timeout;
  flush(c);
}

void event_loop::flush(connection& c) {
  while (c.sent < c.out.size()) {
    const auto n = ::send(c.socket.get(), c.out.data() + c.sent, c.out.size() - c.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      return want(c, EPOLLOUT | EPOLLRDHUP);
    if (n < 0)
      return close(c);
    c.sent += static_cast<std::size_t>(n);
    c.until = clock::now() + config_.write_timeout;
  }
  if (c.out.capacity() > kept_buffer)
    c.out = {};
  c.out.clear();
  c.sent = 0;
  c.rest ? ask_for_piece(c) : end_reply(c);
}

void event_loop::ask_for_piece(connection& c) {
  want(c, EPOLLRDHUP);
  if (c.asked_for_piece)
    return;
  c.asked_for_piece = true;
  c.until = clock::time_point::max(); // the feed sends a sign of life in time
  c.rest->next([this, id = c.id](feed::piece p) {
    post_to(id, [this, p = std::move(p)](connection& there) mutable { on_piece(there, std::move(p)); });
  });
}

void event_loop::end_reply(connection& c) {
  if (auto finished = std::exchange(c.finished, {}))
    finished();
  if (!c.keep_alive || draining_)
    return linger(c);
  c.now = connection::phase::reading;
  c.in_request = false;
  look_for_request(c);
}

// Closing while the client still sends would throw away the reply before the client has read it (RFC 9112,
// section 9.6).
void event_loop::linger(connection& c) {
  ::shutdown(c.socket.get(), SHUT_WR);
  c.now = connection::phase::lingering;
  c.until = clock::now() + linger_limit;
  want(c, EPOLLIN);
}

void event_loop::close(connection& c) {
  const auto found = connections_.find(c.id);
  if (found == connections_.end())
    return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, c.socket.get(), nullptr);
  closed_.push_back(std::move(found->second));
  connections_.erase(found);
  --count_;
}

void event_loop::close_overdue() {
  const auto now = clock::now();
  std::vector<std::uint64_t> late;
  for (const auto& [id, c] : connections_)
    if (c->until <= now)
      late.push_back(id);
  for (const auto id : late) {
    auto& c = *connections_.at(id);
    const bool half_sent = c.now == connection::phase::reading && c.in_request;
    if (!half_sent) {
      close(c);
      continue;
    }
    c.keep_alive = false;
    c.head_only = false;
    begin_reply(c,
                handler_.refuse({refusal_code::request_timeout, "the request did not arrive in time", {}, {}}, c.peer));
  }
}

} // namespace rdev::http
