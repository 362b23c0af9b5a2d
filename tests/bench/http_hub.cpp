// Event streams at the hub: 10,000 readers of one command over real sockets, a client of its own process that reads
// them all, pages of frames of 256 bytes published as fast as the fastest reader takes them. Every reader must get
// every byte. Bars: 400,000 frames a second delivered (with pages of 10 frames), less than 2,000 bytes of the heap for
// each idle stream.
#include "adapters/http/event_frames.hpp"
#include "adapters/http/server.hpp"
#include "tests/bench/support/figures.hpp"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <malloc.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <iostream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace rdev::bench {

namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr std::size_t readers = 10'000;
constexpr int repetitions = 5;
constexpr std::uint64_t frames_of_a_run = 4'000'000; // delivered, all readers together
constexpr std::uint32_t most_pages = 50;
constexpr std::size_t frame_bytes = 256; // on the wire, about
constexpr std::size_t around_line = 110; // of a frame: id, names, offset
constexpr double least_rate = 400'000;
constexpr double most_idle_bytes = 2'000;

void must(bool good, const std::string& what) {
  if (!good)
    throw std::runtime_error(what);
}

// ---- the house: one command whose output never ends, in pages of the same size

class house final : public api {
public:
  house() : answering_([this](const std::stop_token& end) { answer_all(end); }) {
  }
  house(const house&) = delete;
  house& operator=(const house&) = delete;
  ~house() override {
    stop();
  }

  static constexpr event_position start{seq_first_chunk, 0};

  // How large pages are from now on. Only while every reader waits.
  void set_page(std::size_t frames) {
    std::lock_guard guard(mutex_);
    page_ = std::make_shared<std::string>();
    for (std::size_t i = 0; i < frames; ++i)
      *page_ += line_ + "\n";
  }
  event_page page_behind(event_position position) const {
    event_page out;
    out.command = command;
    chunk c;
    c.seq = position.seq + 1;
    c.offset = 1'000'000;
    c.bytes = page_;
    out.chunks.push_back(c);
    out.next = {c.seq, static_cast<std::uint32_t>(page_->size())};
    return out;
  }
  void publish(std::uint32_t pages) {
    std::lock_guard guard(mutex_);
    last_ += pages;
    more_.notify_all();
  }
  // Whoever still waits is answered, and nobody later.
  void stop() {
    answering_.request_stop();
    if (answering_.joinable())
      answering_.join();
  }

  void perform(api_request request, std::function<void(api_reply)> done) override {
    stream_opened opened;
    opened.project = request.project.value_or("demo");
    opened.command = command;
    opened.from = start;
    done(api_reply{answer<outcome>(outcome(std::move(opened))), {}, {}});
  }
  void note_refused(const request_context&, const refusal&) override {
  }
  void next(const stream_opened&, event_position position, std::chrono::milliseconds,
            std::function<void(answer<stream_news>)> done) override {
    std::lock_guard guard(mutex_);
    asked_.push_back({position, std::move(done)});
    more_.notify_all();
  }
  void read_on(const read_output&, std::function<void(answer<output_bytes>)> done) override {
    done(refusal{});
  }
  std::vector<health_check> ready() override {
    return {};
  }

  const command_id command = command_id::make();

private:
  struct question {
    event_position position;
    std::function<void(answer<stream_news>)> done;
  };

  void answer_all(const std::stop_token& end) {
    const auto answerable = [this](const question& q) { return q.position.seq < last_; };
    std::unique_lock lock(mutex_);
    while (more_.wait(lock, end, [&] { return std::any_of(asked_.begin(), asked_.end(), answerable); })) {
      const auto found = std::find_if(asked_.begin(), asked_.end(), answerable);
      const auto one = std::move(*found);
      asked_.erase(found);
      stream_news news;
      news.events = page_behind(one.position);
      lock.unlock();
      one.done(std::move(news));
      lock.lock();
    }
  }

  const std::string line_ = std::string(frame_bytes - around_line, 'x');
  std::mutex mutex_;
  std::condition_variable_any more_;
  std::deque<question> asked_;
  std::shared_ptr<std::string> page_ = std::make_shared<std::string>();
  std::uint32_t last_ = start.seq;
  std::jthread answering_; // last: it uses all of the above
};

class no_log final : public log {
public:
  [[nodiscard]] bool enabled(log_level) const override {
    return false;
  }
  void write(log_level, log_message, std::span<const log_field>) override {
  }
};

class no_metrics final : public metrics {
public:
  void request_started(std::string_view, std::string_view) override {
  }
  void request_finished(std::string_view, std::string_view, int, std::chrono::nanoseconds) override {
  }
  void stream_opened() override {
  }
  void stream_closed() override {
  }
  void auth_accepted() override {
  }
  void auth_refused(refusal_code) override {
  }
  void rate_limited(std::string_view) override {
  }
  void would_limit(std::string_view) override {
  }
  void locked_out(bool) override {
  }
  void anomaly_seen(anomaly_kind) override {
  }
  void command_ended(std::string_view, command_type, command_status, std::chrono::milliseconds) override {
  }
  void commands_active(std::int64_t) override {
  }
  void queue(const queue_view&) override {
  }
  void circuit(std::string_view, std::optional<int>) override {
  }
  void audit_records(std::int64_t) override {
  }
  void output_stored(std::uint64_t) override {
  }
  void webhook_attempted(std::string_view) override {
  }
  void webhooks_pending(std::int64_t) override {
  }
  void dependency(std::string_view, bool) override {
  }
  void fault_seen(std::string_view) override {
  }
  void actor_restarted(std::string_view) override {
  }
  void redacted(std::string_view, std::size_t) override {
  }
  std::string text() override {
    return {};
  }
};

// ---- the client, in a process of its own

// A hash of a stream of bytes that does not depend on how it is cut, and is cheap: the client is not what is measured.
class stream_hash {
public:
  void add(std::string_view bytes) {
    size_ += bytes.size();
    while (held_ > 0 && held_ < word_bytes && !bytes.empty()) {
      word_.at(held_++) = bytes.front();
      bytes.remove_prefix(1);
    }
    if (held_ == word_bytes)
      mix(word_.data());
    for (; bytes.size() >= word_bytes; bytes.remove_prefix(word_bytes))
      mix(bytes.data());
    for (const char c : bytes)
      word_.at(held_++) = c;
  }
  [[nodiscard]] std::uint64_t size() const {
    return size_;
  }
  friend bool operator==(const stream_hash& a, const stream_hash& b) {
    return a.size_ == b.size_ && a.sum_ == b.sum_ &&
           std::equal(a.word_.begin(), a.word_.begin() + a.held_, b.word_.begin());
  }

private:
  static constexpr std::size_t word_bytes = 8;
  void mix(const char* at) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, word_bytes);
    sum_ = (sum_ ^ word) * 0x9e3779b97f4a7c15U;
    held_ = 0;
  }

  std::uint64_t size_ = 0;
  std::uint64_t sum_ = 0;
  std::array<char, word_bytes> word_{};
  std::uint8_t held_ = 0;
};

struct listener {
  int fd = -1;
  stream_hash got;     // behind the greeting
  int empty_lines = 0; // passed so far: behind the head, retry, connected
  std::string greeting;
};

int connect_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  must(fd >= 0 && ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0, "connect");
  return fd;
}

class client {
public:
  client(std::uint16_t port, const std::string& target) : epoll_(::epoll_create1(EPOLL_CLOEXEC)), all_(readers) {
    const auto text = "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n";
    for (std::size_t i = 0; i < all_.size(); ++i) {
      all_[i].fd = connect_to(port);
      must(::send(all_[i].fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()), "send");
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, all_[i].fd, &event);
    }
  }

  // Until `count` readers fulfil what `done` asks.
  template <class Done>
  void read_until(Done done) {
    std::size_t left = 0;
    for (const auto& one : all_)
      left += done(one) ? 0 : 1;
    std::array<epoll_event, 512> events{};
    while (left > 0) {
      const int n = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 30'000);
      must(n > 0, std::to_string(left) + " readers get nothing more");
      for (int i = 0; i < n; ++i) {
        auto& one = all_[events.at(static_cast<std::size_t>(i)).data.u64];
        const bool before = done(one);
        read(one);
        left -= !before && done(one) ? 1 : 0;
      }
    }
  }

  void greet() {
    read_until([](const listener& one) { return one.empty_lines == 3; });
  }
  // What every reader must have got by now.
  void take(const stream_hash& all) {
    read_until([&](const listener& one) { return one.got.size() >= all.size(); });
    for (const auto& one : all_)
      must(one.got == all, "a reader got something else than was published");
  }

private:
  void read(listener& one) {
    const auto n = ::recv(one.fd, buffer_.data(), buffer_.size(), 0);
    must(n > 0, "a stream ended");
    const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(n));
    if (one.empty_lines == 3)
      return one.got.add(bytes);
    one.greeting += bytes;
    while (one.empty_lines < 3) {
      const std::string_view mark = one.empty_lines == 0 ? "\r\n\r\n" : "\n\n";
      const auto end = one.greeting.find(mark);
      if (end == std::string::npos)
        return;
      one.greeting.erase(0, end + mark.size());
      ++one.empty_lines;
    }
    one.got.add(std::exchange(one.greeting, {}));
  }

  int epoll_;
  std::vector<listener> all_;
  std::array<char, 256 * 1024> buffer_{};
};

// ---- between the two processes

template <class T>
void tell(int to, const T& what) {
  static_assert(std::is_trivially_copyable_v<T>);
  must(::write(to, &what, sizeof what) == sizeof what, "the other process has gone");
}

template <class T>
T told(int from) {
  T out{};
  must(::read(from, &out, sizeof out) == sizeof out, "the other process has gone");
  return out;
}

void run_client(int in, int out) {
  const auto port = told<std::uint16_t>(in);
  client crowd(port, "/projects/demo/events?stream_id=" + told<command_id>(in).text());
  crowd.greet();
  tell(out, 'g');
  for (;;) {
    const auto wanted = told<stream_hash>(in);
    if (wanted.size() == 0)
      return;
    crowd.take(wanted);
    tell(out, 't');
  }
}

double heap_bytes() {
  return static_cast<double>(::mallinfo2().uordblks);
}

int run_server(int in, int out) {
  house rdev;
  no_log quiet;
  no_metrics uncounted;
  http::request_handler handler(rdev, quiet, uncounted, {{}, std::chrono::hours(1)});
  http::server_config config;
  config.listen = "127.0.0.1:0";
  config.threads = 1;
  auto front = http::server::start(handler, config);
  must(static_cast<bool>(front), "the server listens");
  const auto& address = (*front)->address();

  const auto before = heap_bytes();
  tell(out, static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  tell(out, rdev.command);
  (void)told<char>(in);
  const auto idle = (heap_bytes() - before) / static_cast<double>(readers);
  std::printf("%zu idle streams: %.0f bytes of the heap each\n", readers, idle);

  int missed = 0;
  stream_hash all;
  event_position at = house::start;
  for (const std::size_t frames : {1U, 10U, 64U}) {
    const auto pages = std::min(most_pages, static_cast<std::uint32_t>(frames_of_a_run / readers / frames));
    std::vector<double> rates;
    rdev.set_page(frames);
    for (int i = 0; i < repetitions; ++i) {
      for (std::uint32_t page = 0; page < pages; ++page)
        for (const auto& made : http::parts_of(rdev.page_behind(at), at, framing::line, SIZE_MAX)) {
          all.add(*made.bytes);
          at = made.to;
        }
      tell(out, all);
      const auto began = clock::now();
      rdev.publish(pages);
      (void)told<char>(in);
      const std::chrono::duration<double> took = clock::now() - began;
      rates.push_back(static_cast<double>(readers) * pages * static_cast<double>(frames) / took.count());
    }
    print_series("pages of " + std::to_string(frames) + " frames", rates, "frames/s");
    if (frames == 10)
      missed += judge_at_least("frames/s, pages of 10", median(rates), least_rate);
  }
  missed += judge_at_least("bytes left of 2000, idle", most_idle_bytes - idle, 0);
  tell(out, stream_hash());
  rdev.stop();
  return missed;
}

int run() {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  std::array<int, 2> down{};
  std::array<int, 2> up{};
  must(::pipe(down.data()) == 0 && ::pipe(up.data()) == 0, "pipes");
  const auto child = ::fork(); // before there are threads
  must(child >= 0, "fork");
  if (child == 0) {
    ::close(down[1]);
    ::close(up[0]);
    try {
      run_client(down[0], up[1]);
    } catch (const std::exception& e) {
      std::cerr << "the client: " << e.what() << '\n';
      ::_exit(1);
    }
    ::_exit(0);
  }
  ::close(down[0]);
  ::close(up[1]);
  const int missed = run_server(up[0], down[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return missed == 0 && status == 0 ? 0 : 1;
}

} // namespace

} // namespace rdev::bench

int main() {
  try {
    return rdev::bench::run();
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
