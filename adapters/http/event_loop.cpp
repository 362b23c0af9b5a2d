#include "adapters/http/event_loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

namespace rdev::http {

namespace {

constexpr std::uint64_t wake_id = 0;
constexpr int most_events = 256;
constexpr auto never = std::chrono::steady_clock::time_point::max();
constexpr auto linger_limit = std::chrono::milliseconds(2000); // for a client that still sends what nobody will read
constexpr std::size_t read_bytes = 64 * 1024;
constexpr std::size_t most_slices = 64; // in one system call
constexpr int most_in_a_row = 16;       // requests of one connection before the others have their turn
constexpr int most_tasks = 32;          // between two looks at the sockets, and as many overdue connections
constexpr std::string_view continue_line = "HTTP/1.1 100 Continue\r\n\r\n";

} // namespace

struct event_loop::connection {
  enum class phase : std::uint8_t { reading, waiting, sending, lingering, closed };

  connection(std::uint64_t number, descriptor fd, const ip_address& from, const request_limits& limits)
      : id(number), socket(std::move(fd)), peer(from), reader(limits) {
  }
  ~connection() {
    if (finished)
      finished();
  }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  [[nodiscard]] bool all_sent() const {
    return text.empty() && next_slice == slices.size();
  }

  std::uint64_t id;
  descriptor socket;
  ip_address peer;
  request_reader reader;
  phase now = phase::reading;
  bool in_request = false; // some of a request has come
  bool head_only = false;  // of the request under way
  bool keep_alive = false; // after the reply under way
  bool asked_for_piece = false;
  std::uint32_t wanted = EPOLLIN;      // what epoll looks for
  clock::time_point until = never;     // when patience ends in this phase
  clock::time_point looked_at = never; // its place in `looked_at_`: not later than `until`

  // Of the reply under way, what is still to be sent: `text` from `sent` on, then the slices from `next_slice` on, of
  // which `sent` bytes are gone when there is no text.
  std::string text;
  std::vector<slice> slices;
  std::size_t next_slice = 0;
  std::size_t sent = 0;
  std::shared_ptr<feed> rest;
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
  if (std::this_thread::get_id() == thread_.get_id()) {
    due_.push_back(std::move(what));
    return;
  }
  bool first = false;
  {
    std::lock_guard guard(mutex_);
    first = tasks_.empty();
    tasks_.push_back(std::move(what));
  }
  if (!first)
    return; // the loop has been woken
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(wake_.get(), &one, sizeof one);
}

event_loop::connection* event_loop::find(std::uint64_t id) {
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second.get();
}

event_loop::connection* event_loop::take(descriptor socket, const ip_address& peer) {
  const auto id = ++last_id_;
  auto c = std::make_unique<connection>(id, std::move(socket), peer, config_.limits);
  epoll_event event{};
  event.events = c->wanted;
  event.data.u64 = id;
  if (draining_ || ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, c->socket.get(), &event) != 0) {
    --count_;
    return nullptr;
  }
  auto& there = *connections_.emplace(id, std::move(c)).first->second;
  be_patient(there, clock::now() + config_.keep_alive);
  return &there;
}

void event_loop::adopt(descriptor socket, const ip_address& peer) {
  ++count_;
  post([this, fd = std::make_shared<descriptor>(std::move(socket)), peer] { take(std::move(*fd), peer); });
}

void event_loop::turn_away(descriptor socket, const ip_address& peer, refusal why) {
  ++count_;
  post([this, fd = std::make_shared<descriptor>(std::move(socket)), peer, why = std::move(why)] {
    if (auto* c = take(std::move(*fd), peer))
      begin_reply(*c, handler_.refuse(why, c->peer, {}));
  });
}

void event_loop::drain() {
  post([this] {
    draining_ = true;
    std::vector<connection*> idle;
    for (const auto& [id, c] : connections_)
      if (c->now == connection::phase::reading && c->reader.idle())
        idle.push_back(c.get());
    for (auto* c : idle)
      close(*c);
  });
}

void event_loop::run(const std::stop_token& stop) {
  std::array<epoll_event, most_events> events{};
  while (!stop.stop_requested()) {
    const int n = ::epoll_wait(epoll_.get(), events.data(), most_events, milliseconds_to_wait());
    for (int i = 0; i < n; ++i)
      on_event(events.at(static_cast<std::size_t>(i)).data.u64, events.at(static_cast<std::size_t>(i)).events);
    run_tasks();
    look_at_overdue();
    closed_.clear();
  }
  do
    run_tasks();
  while (!due_.empty());
  connections_.clear();
}

// A few at a time: whoever has a request waits for no crowd of readers.
void event_loop::run_tasks() {
  {
    std::lock_guard guard(mutex_);
    for (auto& what : tasks_)
      due_.push_back(std::move(what));
    tasks_.clear();
  }
  for (int n = 0; n < most_tasks && !due_.empty(); ++n) {
    const auto what = std::move(due_.front());
    due_.pop_front();
    what();
  }
}

void event_loop::on_event(std::uint64_t id, std::uint32_t events) {
  if (id == wake_id) {
    std::uint64_t n = 0;
    [[maybe_unused]] const auto got = ::read(wake_.get(), &n, sizeof n);
    return;
  }
  auto* c = find(id);
  if (c == nullptr)
    return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0)
    return close(*c);
  if ((events & EPOLLIN) != 0)
    on_readable(*c);
  if ((events & EPOLLOUT) != 0)
    go_on(*c);
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
  const bool lingering = c.now == connection::phase::lingering;
  if (c.now != connection::phase::reading && !lingering)
    return on_unasked(c);
  thread_local std::array<char, read_bytes> buffer;
  const auto n = ::recv(c.socket.get(), buffer.data(), buffer.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0)
    return close(c); // no request is under way: nobody waits for an answer
  if (lingering)
    return;
  c.reader.feed({buffer.data(), static_cast<std::size_t>(n)});
  serve(c);
}

// What comes while a request is under way waits in the socket. Most clients send nothing then, so that epoll is told
// only of those that do. The end of what a client sends is no reason not to answer it, but most of those that have a
// stream then have gone: what is sent to them comes back as an error.
void event_loop::on_unasked(connection& c) {
  want(c, c.wanted & ~static_cast<std::uint32_t>(EPOLLIN));
  char first = 0;
  if (c.asked_for_piece && c.all_sent() && ::recv(c.socket.get(), &first, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
    send_heartbeat(c);
}

// From wherever it stands, as far as it gets.
void event_loop::go_on(connection& c) {
  if (c.now == connection::phase::sending)
    write_on(c);
  serve(c);
}

void event_loop::go_on_later(connection& c) {
  post([this, id = c.id] {
    if (auto* there = find(id))
      go_on(*there);
  });
}

// Answers what has come, request by request. Before all of it is answered nothing more is read.
void event_loop::serve(connection& c) {
  for (int n = 0; c.now == connection::phase::reading; ++n) {
    if (n == most_in_a_row) {
      want(c, c.wanted & ~static_cast<std::uint32_t>(EPOLLIN));
      return go_on_later(c);
    }
    if (!take_request(c))
      return;
  }
}

bool event_loop::take_request(connection& c) {
  auto got = c.reader.next();
  if (auto* wrong = std::get_if<request_reader::refused>(&got)) {
    c.head_only = wrong->what.method == "HEAD";
    c.keep_alive = false;
    begin_reply(c, handler_.refuse(wrong->why, c.peer, wrong->what));
    return true;
  }
  if (auto* whole = std::get_if<request>(&got)) {
    answer(c, std::move(*whole));
    return true;
  }
  if (draining_ && c.reader.idle()) {
    close(c);
    return false;
  }
  want(c, EPOLLIN);
  if (!c.in_request && !c.reader.idle()) {
    c.in_request = true;
    be_patient(c, clock::now() + config_.request_timeout);
  }
  if (c.reader.wants_continue())
    ::send(c.socket.get(), continue_line.data(), continue_line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return false;
}

void event_loop::answer(connection& c, request whole) {
  c.now = connection::phase::waiting;
  c.in_request = false;
  be_patient(c, never);
  c.head_only = whole.method == "HEAD";
  c.keep_alive = whole.keep_alive;
  asking_for_ = c.id;
  handler_.handle(std::move(whole), c.peer, [this, id = c.id](reply r) {
    if (std::this_thread::get_id() == thread_.get_id() && asking_for_ == id)
      early_reply_ = std::move(r);
    else
      post([this, id, r = std::move(r)]() mutable { on_reply(id, std::move(r)); });
  });
  asking_for_ = 0;
  if (early_reply_)
    begin_reply(c, *std::exchange(early_reply_, std::nullopt));
}

void event_loop::on_reply(std::uint64_t id, reply r) {
  if (auto* c = find(id)) {
    begin_reply(*c, std::move(r));
    serve(*c);
  } else if (r.finished) {
    r.finished();
  }
}

void event_loop::begin_reply(connection& c, reply r) {
  c.now = connection::phase::sending;
  c.keep_alive = c.keep_alive && !r.close && !draining_;
  c.finished = std::move(r.finished);
  c.text = head_of(r, c.keep_alive);
  c.sent = 0;
  if (!c.head_only) {
    c.text += r.body;
    c.rest = std::move(r.rest);
  }
  be_patient(c, clock::now() + config_.write_timeout);
  write_on(c);
}

void event_loop::on_piece(std::uint64_t id, feed::piece p) {
  auto* c = find(id);
  if (c == nullptr)
    return;
  c->asked_for_piece = false;
  c->slices = std::move(p.slices); // behind what may be left of a heartbeat
  c->next_slice = 0;
  if (p.last)
    c->rest.reset();
  if (p.broken)
    c->keep_alive = false;
  be_patient(*c, clock::now() + config_.write_timeout);
}

// Sends what there is, and asks for more when it is gone.
void event_loop::write_on(connection& c) {
  for (int n = 0; flush(c); ++n) {
    if (c.asked_for_piece) {
      want(c, c.wanted & EPOLLIN);
      be_patient(c, next_heartbeat(c));
      return;
    }
    if (!c.rest)
      return end_reply(c);
    if (n > 0)
      return go_on_later(c); // a piece may be large
    if (!take_piece(c))
      return;
  }
}

// False: the client takes no more for now, or is gone.
bool event_loop::flush(connection& c) {
  while (!c.all_sent()) {
    std::array<iovec, most_slices> parts{};
    std::size_t count = 0;
    auto skip = c.sent;
    const auto add = [&](std::string_view bytes) {
      bytes.remove_prefix(std::exchange(skip, 0));
      // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): sendmsg() only reads what an iovec points to
      parts.at(count++) = {const_cast<char*>(bytes.data()), bytes.size()};
    };
    if (!c.text.empty())
      add(c.text);
    for (auto i = c.next_slice; i < c.slices.size() && count < parts.size(); ++i)
      add(c.slices[i].bytes);
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const auto n = ::sendmsg(c.socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN) {
      want(c, (c.wanted & EPOLLIN) | EPOLLOUT);
      return false;
    }
    if (n < 0) {
      close(c);
      return false;
    }
    c.sent += static_cast<std::size_t>(n);
    if (!c.text.empty() && c.sent >= c.text.size()) {
      c.sent -= c.text.size();
      std::string().swap(c.text); // gives the memory back, as no assignment does
    }
    while (c.text.empty() && c.next_slice < c.slices.size() && c.sent >= c.slices[c.next_slice].bytes.size()) {
      c.sent -= c.slices[c.next_slice].bytes.size();
      c.slices[c.next_slice++] = {}; // others may be the last who need it no more
    }
    be_patient(c, clock::now() + config_.write_timeout);
  }
  c.slices = std::vector<slice>();
  c.next_slice = 0;
  c.sent = 0;
  return true;
}

// False: it will come later.
bool event_loop::take_piece(connection& c) {
  want(c, c.wanted & EPOLLIN);
  c.asked_for_piece = true;
  be_patient(c, next_heartbeat(c));
  asking_for_ = c.id;
  c.rest->next([this, id = c.id](feed::piece p) {
    if (std::this_thread::get_id() == thread_.get_id() && asking_for_ == id) {
      early_piece_ = std::move(p);
      return;
    }
    post([this, id, p = std::move(p)]() mutable {
      on_piece(id, std::move(p));
      if (auto* there = find(id))
        go_on(*there);
    });
  });
  asking_for_ = 0;
  if (!early_piece_)
    return false;
  on_piece(c.id, *std::exchange(early_piece_, std::nullopt));
  return true;
}

void event_loop::end_reply(connection& c) {
  if (auto finished = std::exchange(c.finished, {}))
    finished();
  if (!c.keep_alive || draining_)
    return linger(c);
  want(c, c.wanted & EPOLLIN);
  c.now = connection::phase::reading;
  c.in_request = false;
  be_patient(c, clock::now() + config_.keep_alive);
}

// Spread over the second half of the interval: those that got something together do not get a heartbeat together.
event_loop::clock::time_point event_loop::next_heartbeat(const connection& c) {
  const auto interval = c.rest->heartbeat_interval();
  if (interval.count() == 0)
    return never;
  return clock::now() + interval -
         std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(0, interval.count() / 2)(dice_));
}

void event_loop::send_heartbeat(connection& c) {
  c.text = c.rest->heartbeat();
  be_patient(c, clock::now() + config_.write_timeout);
  write_on(c);
}

// Closing while the client still sends would throw away the reply before the client has read it (RFC 9112,
// section 9.6).
void event_loop::linger(connection& c) {
  ::shutdown(c.socket.get(), SHUT_WR);
  c.now = connection::phase::lingering;
  be_patient(c, clock::now() + linger_limit);
  want(c, EPOLLIN);
}

void event_loop::close(connection& c) {
  const auto found = connections_.find(c.id);
  if (found == connections_.end())
    return;
  c.now = connection::phase::closed;
  looked_at_.erase({c.looked_at, &c});
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, c.socket.get(), nullptr);
  closed_.push_back(std::move(found->second));
  connections_.erase(found);
  --count_;
}

// A deadline that moves on costs nothing: the connection is looked at when the old one has come, and again later.
void event_loop::be_patient(connection& c, clock::time_point until) {
  c.until = until;
  if (until >= c.looked_at)
    return;
  looked_at_.erase({c.looked_at, &c});
  c.looked_at = until;
  looked_at_.emplace(until, &c);
}

int event_loop::milliseconds_to_wait() const {
  if (!due_.empty())
    return 0;
  if (looked_at_.empty())
    return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(looked_at_.begin()->first - clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, std::numeric_limits<int>::max()));
}

void event_loop::look_at_overdue() {
  const auto now = clock::now();
  for (int n = 0; n < most_tasks && !looked_at_.empty() && looked_at_.begin()->first <= now; ++n) {
    auto& c = *looked_at_.begin()->second;
    looked_at_.erase(looked_at_.begin());
    c.looked_at = clock::time_point::min(); // its new place is found once, at the end
    if (c.until <= now)
      on_overdue(c);
    if (c.now == connection::phase::closed)
      continue;
    c.looked_at = never;
    be_patient(c, c.until);
  }
}

void event_loop::on_overdue(connection& c) {
  if (c.asked_for_piece && c.all_sent())
    return send_heartbeat(c);
  const bool half_sent = c.now == connection::phase::reading && c.in_request;
  if (!half_sent)
    return close(c);
  c.keep_alive = false;
  c.head_only = false;
  begin_reply(
      c, handler_.refuse({refusal_code::request_timeout, "the request did not arrive in time", {}, {}}, c.peer, {}));
}

} // namespace rdev::http
