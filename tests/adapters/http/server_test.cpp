#include "adapters/http/server.hpp"

#include "tests/values/seeded.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace rdev::http {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto patience = 30s; // with everything that must happen some time

// ---- the house, the log and the counters

api_reply good() {
  return {answer<outcome>(outcome(queue_view{})), {}, {}};
}

refusal away() {
  return {refusal_code::service_unavailable, "away", {}, {}};
}

// Answers as the test tells it: at once, or when the test says so.
class scripted_house final : public api {
public:
  struct question {
    api_request asked;
    std::function<void(api_reply)> done;
  };
  using reader = std::function<void(answer<output_bytes>)>;
  using listener = std::function<void(answer<stream_news>)>;

  // Set before the server starts. Empty answer: the question is held.
  std::function<std::optional<api_reply>(const api_request&)> at_once;
  bool hold_reads = false;
  std::uint64_t output_size = 0; // of every command; a multiple of a block's
  std::atomic<int> performed{0};
  std::atomic<int> reads{0};

  void perform(api_request asked, std::function<void(api_reply)> done) override {
    ++performed;
    if (at_once)
      if (auto now = at_once(asked))
        return done(std::move(*now));
    if (hold(questions_, question{std::move(asked), done}))
      return;
    done({answer<outcome>(away()), {}, {}});
  }
  void note_refused(const request_context& from, const refusal& why) override {
    std::lock_guard guard(mutex_);
    noted_.push_back(from.method + " " + from.path + " " + std::string(name_of(why.code)));
  }
  std::vector<std::string> noted() {
    std::lock_guard guard(mutex_);
    return noted_;
  }
  void next(const stream_opened&, event_position, std::chrono::milliseconds,
            std::function<void(answer<stream_news>)> done) override {
    if (!hold(listeners_, done))
      done(away());
  }
  void read_on(const read_output& what, std::function<void(answer<output_bytes>)> done) override {
    ++reads;
    if (!hold_reads)
      return done(page_at(what.offset));
    if (!hold(readers_, done))
      done(away());
  }
  std::vector<health_check> ready() override {
    return {};
  }

  question take_question() {
    return take(questions_);
  }
  reader take_read() {
    return take(readers_);
  }
  listener take_listener() {
    return take(listeners_);
  }
  // Waits for the next question; empty when the house has been closed.
  std::optional<question> next_question() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [this] { return closed_ || !questions_.empty(); });
    if (questions_.empty())
      return std::nullopt;
    auto out = std::move(questions_.front());
    questions_.pop_front();
    return out;
  }

  // Everybody who waits, and whoever comes, hears that the house is away.
  void close() {
    std::deque<question> questions;
    std::deque<reader> readers;
    std::deque<listener> listeners;
    {
      std::lock_guard guard(mutex_);
      closed_ = true;
      questions.swap(questions_);
      readers.swap(readers_);
      listeners.swap(listeners_);
    }
    changed_.notify_all();
    for (auto& one : questions)
      one.done({answer<outcome>(away()), {}, {}});
    for (auto& one : readers)
      one(away());
    for (auto& one : listeners)
      one(away());
  }

  // ---- what every command has put out
  static const std::string& block() {
    return *shared_block();
  }
  [[nodiscard]] output_bytes page_at(std::uint64_t offset) const {
    const std::uint64_t size = block().size();
    output_bytes out;
    out.end = output_size;
    out.finished = true;
    out.skip = offset % size;
    for (auto at = offset - out.skip; at < output_size && out.chunks.size() < 16; at += size) {
      chunk c;
      c.offset = at;
      c.bytes = shared_block();
      out.chunks.push_back(std::move(c));
    }
    return out;
  }
  // A download of it.
  [[nodiscard]] api_reply output() const {
    return {answer<outcome>(outcome(page_at(0))), {}, {}};
  }

private:
  static std::shared_ptr<const std::string> shared_block() {
    static const auto bytes = std::make_shared<const std::string>([] {
      std::string out;
      while (out.size() < max_chunk_bytes)
        out += static_cast<char>('a' + out.size() % 23);
      return out;
    }());
    return bytes;
  }
  template <class T>
  bool hold(std::deque<T>& where, T what) {
    {
      std::lock_guard guard(mutex_);
      if (closed_)
        return false;
      where.push_back(std::move(what));
    }
    changed_.notify_all();
    return true;
  }
  template <class T>
  T take(std::deque<T>& from) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience, [&] { return !from.empty(); }))
      throw std::runtime_error("nobody has asked");
    auto out = std::move(from.front());
    from.pop_front();
    return out;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  std::deque<question> questions_;
  std::vector<std::string> noted_;
  std::deque<reader> readers_;
  std::deque<listener> listeners_;
};

using log_line = std::map<std::string, std::string>;

class kept_log final : public log {
public:
  [[nodiscard]] bool enabled(log_level) const override {
    return true;
  }
  void write(log_level, log_message message, std::span<const log_field> fields) override {
    log_line line{{"message", std::string(message)}};
    for (const auto& f : fields) {
      if (const auto* text = std::get_if<std::string>(&f.value))
        line[std::string(f.name)] = *text;
      else if (const auto* number = std::get_if<std::int64_t>(&f.value))
        line[std::string(f.name)] = std::to_string(*number);
    }
    {
      std::lock_guard guard(mutex_);
      lines_.push_back(std::move(line));
    }
    changed_.notify_all();
  }
  // All lines, once there are so many.
  std::vector<log_line> lines(std::size_t at_least) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience, [&] { return lines_.size() >= at_least; }))
      throw std::runtime_error("the log has only " + std::to_string(lines_.size()) + " lines");
    return lines_;
  }
  std::map<std::string, int> requests() {
    std::lock_guard guard(mutex_);
    std::map<std::string, int> out;
    for (const auto& line : lines_)
      ++out[line.contains("request_id") ? line.at("request_id") : ""];
    return out;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<log_line> lines_;
};

class counted final : public metrics {
public:
  std::atomic<int> started{0};
  std::atomic<int> finished{0};
  std::atomic<int> streams{0};

  void request_started(std::string_view, std::string_view) override {
    ++started;
  }
  void request_finished(std::string_view, std::string_view, int, std::chrono::nanoseconds) override {
    ++finished;
  }
  void stream_opened() override {
    ++streams;
  }
  void stream_closed() override {
    --streams;
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

// ---- a client that sends what it is told to

struct response {
  int status = 0;
  std::string head;
  std::string body;

  // Of a field as the server writes its name.
  [[nodiscard]] std::string field(const std::string& name) const {
    const auto at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos)
      return "";
    const auto begin = at + name.size() + 4;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
};

class client {
public:
  // `receive_buffer` = of the system; 0 = as it likes.
  explicit client(const std::string& address, int receive_buffer = 0)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0)
      set(SO_RCVBUF, receive_buffer);
    set(SO_RCVTIMEO, timeval{patience.count(), 0});
    set(SO_SNDTIMEO, timeval{patience.count(), 0});
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }
  [[nodiscard]] bool connected() const {
    return connected_;
  }

  void send(std::string_view text) {
    while (!text.empty()) {
      const auto n = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (n < 0)
        throw std::runtime_error(std::string("the server takes nothing: ") + std::strerror(errno));
      text.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  // Sends no more, but still reads.
  void end() {
    ::shutdown(socket_.get(), SHUT_WR);
  }
  void close() {
    socket_ = {};
  }
  // Closes in a way that the server notices at once.
  void vanish() {
    set(SO_LINGER, linger{1, 0});
    close();
  }

  // The next answer. `head_only` = to a HEAD.
  response read(bool head_only = false) {
    auto end = std::string::npos;
    while ((end = come_.find("\r\n\r\n")) == std::string::npos)
      if (!more())
        throw std::runtime_error("no answer, but the end");
    response out;
    out.head = come_.substr(0, end + 2);
    come_.erase(0, end + 4);
    if (!out.head.starts_with("HTTP/1.1 "))
      throw std::runtime_error("no answer: " + out.head);
    out.status = std::stoi(out.head.substr(9, 3));
    if (head_only || out.status < 200 || out.status == 204)
      return out;
    const auto size = out.field("Content-Length");
    if (size.empty()) {
      out.body = rest();
      return out;
    }
    out.body = take(static_cast<std::size_t>(std::stoull(size)));
    return out;
  }
  // Everything up to the end.
  std::string rest() {
    while (more())
      ;
    return std::exchange(come_, {});
  }
  // What has come, once `wanted` is in it; it is taken.
  std::string until(std::string_view wanted) {
    auto at = std::string::npos;
    while ((at = come_.find(wanted)) == std::string::npos)
      if (!more())
        throw std::runtime_error("the end instead of " + std::string(wanted));
    auto out = come_.substr(0, at + wanted.size());
    come_.erase(0, out.size());
    return out;
  }
  // The next `n` bytes.
  std::string take(std::size_t n) {
    while (come_.size() < n)
      if (!more())
        throw std::runtime_error("the end comes too early");
    auto out = come_.substr(0, n);
    come_.erase(0, n);
    return out;
  }

private:
  template <class T>
  void set(int option, T value) {
    ::setsockopt(socket_.get(), SOL_SOCKET, option, &value, sizeof value);
  }
  // False: the server has sent its last byte.
  bool more() {
    std::array<char, 16 * 1024> buffer{};
    const auto n = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0)
      throw std::runtime_error(std::string("nothing comes: ") + std::strerror(errno));
    come_.append(buffer.data(), static_cast<std::size_t>(n));
    return n > 0;
  }

  descriptor socket_;
  bool connected_ = false;
  std::string come_;
};

std::string request_text(const std::string& method, const std::string& target, const std::string& id,
                         const std::string& fields = "") {
  return method + " " + target + " HTTP/1.1\r\nHost: x\r\nX-Request-ID: " + id + "\r\n" + fields + "\r\n";
}

std::string get(const std::string& target, const std::string& id = "x") {
  return request_text("GET", target, id);
}

std::string download(const std::string& id = "x") {
  return request_text("GET", "/commands/" + command_id::make().text() + "/output?stream=stdout", id,
                      "Accept: application/octet-stream\r\n");
}

bool is_output(const std::string& body) {
  const auto& block = scripted_house::block();
  if (body.size() % block.size() != 0)
    return false;
  for (std::size_t at = 0; at < body.size(); at += block.size())
    if (body.compare(at, block.size(), block) != 0)
      return false;
  return true;
}

// Until it holds; false when it does not within `patience`.
template <class Condition>
bool at_last(Condition holds) {
  for (const auto end = std::chrono::steady_clock::now() + patience; !holds(); std::this_thread::yield())
    if (std::chrono::steady_clock::now() > end)
      return false;
  return true;
}

class HttpServer : public testing::Test {
protected:
  void start(server_config config = {}, handler_config how = {}) {
    config.listen = "127.0.0.1:0";
    handler.emplace(house, journal, counters, std::move(how));
    auto got = server::start(*handler, config);
    ASSERT_TRUE(static_cast<bool>(got)) << got.error().message;
    running = std::move(*got);
  }
  // One event loop: all connections share a thread.
  static server_config single() {
    server_config out;
    out.threads = 1;
    return out;
  }
  [[nodiscard]] std::unique_ptr<client> connect(int receive_buffer = 0) const {
    auto out = std::make_unique<client>(running->address(), receive_buffer);
    EXPECT_TRUE(out->connected());
    return out;
  }
  [[nodiscard]] bool comes_to(std::size_t connections) const {
    return at_last([&] { return running->connections() == connections; });
  }
  // Of every test: what begins is finished once, and has one line in the log.
  void TearDown() override {
    house.close();
    running.reset();
    EXPECT_EQ(counters.started.load(), counters.finished.load());
    EXPECT_EQ(journal.lines(0).size(), static_cast<std::size_t>(counters.finished.load()));
    EXPECT_EQ(counters.streams.load(), 0);
  }

  scripted_house house;
  kept_log journal;
  counted counters;
  std::optional<request_handler> handler;
  std::unique_ptr<server> running;
};

// A thread that answers whatever is asked.
class answering_thread {
public:
  explicit answering_thread(scripted_house& house)
      : thread_([&house] {
          while (auto one = house.next_question())
            one->done(good());
        }) {
  }

private:
  std::jthread thread_; // ends when the house is closed
};

// ---- order

TEST_F(HttpServer, KeepsAConnectionAndAnswersAtOnce) {
  house.at_once = [](const api_request&) { return good(); };
  start();
  const auto c = connect();
  for (const auto* id : {"one", "two", "three"}) {
    c->send(get("/queue", id));
    const auto answer = c->read();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.field("X-Request-ID"), id);
    EXPECT_EQ(answer.field("Connection"), "keep-alive");
  }
  EXPECT_EQ(house.performed.load(), 3);
  EXPECT_EQ(running->connections(), 1U);
  c->send(request_text("GET", "/queue", "four", "Connection: close\r\n"));
  EXPECT_EQ(c->read().field("Connection"), "close");
  EXPECT_EQ(c->rest(), "");
}

TEST_F(HttpServer, AnswersPipelinedRequestsInOrderHoweverTheHouseAnswers) {
  std::atomic<int> n{0};
  house.at_once = [&](const api_request&) -> std::optional<api_reply> {
    if (n++ % 3 == 0)
      return std::nullopt; // another thread will
    return good();
  };
  start();
  const auto c = connect();
  std::string all;
  constexpr int many = 200;
  for (int i = 0; i < many; ++i)
    all += i % 5 == 0 ? get("/health", std::to_string(i)) : get("/queue", std::to_string(i));
  const answering_thread other(house);
  c->send(all);
  for (int i = 0; i < many; ++i) {
    const auto answer = c->read();
    ASSERT_EQ(answer.status, 200);
    ASSERT_EQ(answer.field("X-Request-ID"), std::to_string(i));
  }
  for (const auto& [id, lines] : journal.requests())
    EXPECT_EQ(lines, 1) << id;
  house.close();
}

TEST_F(HttpServer, AsksOnlyForTheFirstOfPipelinedRequests) {
  start();
  const auto c = connect();
  c->send(get("/queue", "one") + get("/queue", "two"));
  auto one = house.take_question();
  EXPECT_EQ(one.asked.from.request_id, "one");
  EXPECT_EQ(house.performed.load(), 1);
  one.done(good());
  EXPECT_EQ(c->read().field("X-Request-ID"), "one");
  house.take_question().done(good());
  EXPECT_EQ(c->read().field("X-Request-ID"), "two");
}

TEST_F(HttpServer, TakesRequestsThatComeInPieces) {
  house.at_once = [](const api_request&) { return good(); };
  start();
  const auto c = connect();
  const auto text = request_text("POST", "/keys", "slow", "Transfer-Encoding: chunked\r\n") +
                    "5\r\nhello\r\n0\r\n\r\n" + get("/queue", "next");
  for (const char byte : text)
    c->send({&byte, 1});
  EXPECT_EQ(c->read().field("X-Request-ID"), "slow");
  EXPECT_EQ(c->read().field("X-Request-ID"), "next");
}

TEST_F(HttpServer, RefusesWhatIsWrongWithHeadQueryAndBodyAtOnce) {
  house.at_once = [](const api_request& asked) {
    auto made = asked.recipe();
    return made ? good() : api_reply{std::move(made.why()), std::nullopt, std::nullopt};
  };
  start();
  const auto c = connect();
  const auto refused = [&](const std::string& method, const std::string& target, const std::string& fields,
                           const std::string& body = "") {
    c->send(request_text(method, target, "x",
                         fields + "Idempotency-Key: a b\r\nContent-Length: " + std::to_string(body.size()) + "\r\n") +
            body);
    return c->read();
  };
  const std::string json = "Content-Type: application/json\r\n";
  const auto all = refused("POST", "/projects/demo/shell?a=%", json, R"({"workdir":"..","priority":"urgent"})");
  EXPECT_EQ(all.status, 400);
  for (const auto* field : {"Idempotency-Key", "query", "command", "workdir", "priority"})
    EXPECT_NE(all.body.find("\"field\":\"" + std::string(field) + "\""), std::string::npos) << field << all.body;
  EXPECT_NE(all.body.find("5 problems"), std::string::npos) << all.body;
  const auto head = refused("POST", "/projects/demo/shell", json, R"({"command":"true"})");
  EXPECT_EQ(head.status, 400);
  EXPECT_NE(head.body.find("1 problem;"), std::string::npos) << head.body;
  EXPECT_EQ(refused("POST", "/projects/demo/shell", "Content-Type: text/plain\r\n", "{}").status, 415) << "comes first";
  EXPECT_EQ(refused("POST", "/commands/nonsense/cancel", "").status, 400) << "comes before whether it is there";
  const auto unread = refused("GET", "/commands?limit=0&a=%", "");
  EXPECT_EQ(unread.status, 400);
  EXPECT_EQ(unread.body.find("\"limit\""), std::string::npos) << "what cannot be read is not looked at";
}

TEST_F(HttpServer, TellsAClientToContinue) {
  house.at_once = [](const api_request&) { return good(); };
  start();
  const auto c = connect();
  for (int i = 0; i < 2; ++i) {
    c->send(request_text("POST", "/keys", "x", "Expect: 100-continue\r\nContent-Length: 5\r\n"));
    EXPECT_EQ(c->read().status, 100);
    c->send("hello");
    EXPECT_EQ(c->read().status, 200);
  }
}

// ---- HEAD

TEST_F(HttpServer, AnswersHeadWithoutABody) {
  house.output_size = 16 * scripted_house::block().size();
  house.at_once = [&](const api_request& asked) {
    return asked.from.path.ends_with("/output") ? house.output() : good();
  };
  start();
  const auto c = connect();
  for (const auto& target : {"/health"s, "/queue"s, "/openapi.json"s, "/nothing"s, "/projects/%"s}) {
    c->send(get(target) + request_text("HEAD", target, "head") + get("/health", "behind"));
    const auto whole = c->read();
    const auto head = c->read(true);
    EXPECT_EQ(head.status, whole.status) << target;
    EXPECT_EQ(head.field("X-Request-ID"), "head");
    EXPECT_EQ(head.field("Content-Type"), whole.field("Content-Type"));
    EXPECT_NE(head.field("Content-Length"), "");
    EXPECT_EQ(c->read().field("X-Request-ID"), "behind") << target;
  }
  auto of_output = download("head");
  of_output.replace(0, 3, "HEAD");
  c->send(of_output + get("/health", "behind"));
  EXPECT_EQ(c->read(true).field("Content-Length"), std::to_string(house.output_size));
  EXPECT_EQ(c->read().field("X-Request-ID"), "behind");
  EXPECT_EQ(house.reads.load(), 0) << "nobody reads what nobody sends";
}

TEST_F(HttpServer, RefusesAHeadWithoutABody) {
  start();
  const auto c = connect();
  c->send(request_text("HEAD", "/queue", "big", "Content-Length: 99999999\r\n"));
  const auto head = c->read(true);
  EXPECT_EQ(head.status, 413);
  EXPECT_EQ(head.field("Connection"), "close");
  EXPECT_EQ(c->rest(), "");
}

TEST_F(HttpServer, EndsAHeadOfAStreamAtOnce) {
  house.at_once = [](const api_request&) {
    stream_opened opened;
    opened.project = "demo";
    return api_reply{answer<outcome>(outcome(std::move(opened))), {}, {}};
  };
  start();
  const auto c = connect();
  c->send(request_text("HEAD", "/projects/demo/events", "x"));
  EXPECT_EQ(c->read(true).field("Content-Type"), "text/event-stream");
  EXPECT_EQ(c->rest(), "");
  journal.lines(1);
  EXPECT_EQ(counters.streams.load(), 0);
}

// ---- refusals

TEST_F(HttpServer, LogsWhatIsKnownOfARefusedRequest) {
  start();
  for (const auto& [text, method, path, status] : std::vector<std::array<std::string, 4>>{
           {request_text("POST", "/projects/demo/shell?a=b", "big", "Content-Length: 99999999\r\n"), "POST",
            "/projects/demo/shell", "413"},
           {request_text("PUT", "/a%20b", "bad", "Content-Length: 1\r\nContent-Length: 1\r\n"), "PUT", "/a b", "400"},
           {"GARBAGE\r\n\r\n", "-", "", "400"},
           {"GET /" + std::string(9000, 'a'), "-", "", "414"},
           {get("/").substr(0, get("/").size() - 2) + "A: " + std::string(20'000, 'a'), "-", "", "431"}}) {
    const auto lines_before = journal.lines(0).size();
    const auto c = connect();
    c->send(text);
    c->end();
    const auto answer = c->read();
    EXPECT_EQ(std::to_string(answer.status), status);
    EXPECT_EQ(answer.field("Connection"), "close");
    EXPECT_EQ(c->rest(), "");
    const auto line = journal.lines(lines_before + 1).back();
    EXPECT_EQ(line.at("method"), method);
    EXPECT_EQ(line.at("path"), path);
    EXPECT_EQ(line.at("status"), status);
    EXPECT_EQ(line.at("request_id"), answer.field("X-Request-ID"));
  }
  EXPECT_EQ(house.performed.load(), 0);
}

TEST_F(HttpServer, ReadsNothingBehindARefusal) {
  house.at_once = [](const api_request&) { return good(); };
  start();
  const auto c = connect();
  c->send(get("/queue", "good") + request_text("GET", "/queue", "bad", "Content-Length: x\r\n") +
          get("/queue", "hidden"));
  EXPECT_EQ(c->read().status, 200);
  EXPECT_EQ(c->read().status, 400);
  EXPECT_EQ(c->rest(), "");
  EXPECT_EQ(house.performed.load(), 1);
}

TEST_F(HttpServer, GivesUpOnARequestThatStops) {
  auto config = single();
  config.loop.request_timeout = 1ms;
  start(config);
  const auto c = connect();
  c->send("GET /queue HTTP/1.1\r\nHost");
  const auto answer = c->read();
  EXPECT_EQ(answer.status, 408);
  EXPECT_EQ(answer.field("Connection"), "close");
  EXPECT_EQ(c->rest(), "");
  EXPECT_EQ(journal.lines(1).back().at("code"), "REQUEST_TIMEOUT");
}

TEST_F(HttpServer, ClosesAConnectionThatIsIdleForLong) {
  auto config = single();
  config.loop.keep_alive = 1ms;
  start(config);
  const auto c = connect();
  EXPECT_EQ(c->rest(), "");
  EXPECT_TRUE(comes_to(0));
  EXPECT_EQ(counters.started.load(), 0);
}

TEST_F(HttpServer, HidesASecretInAPathBeforeThatIsCut) {
  auto by = *redactor::make({});
  const auto hidden = by.hide(secret("swordfish-and-chips"));
  start({}, {{}, 15s, std::make_shared<const server_rules>(), by});
  for (const std::size_t ahead : {493U, 497U, 500U, 505U}) { // the cut is at 512 bytes, within it
    const auto lines_before = journal.lines(0).size();
    connect()->send(get("/" + std::string(ahead, 'x') + "swordfish-and-chips" + std::string(100, 'y')));
    const auto path = journal.lines(lines_before + 1).back().at("path");
    EXPECT_LE(path.size(), 512U);
    EXPECT_EQ(path.find('s'), std::string::npos) << path;
  }
}

TEST_F(HttpServer, TellsTheHouseWhatItHasRefusedWithoutIt) {
  start();
  const auto c = connect();
  c->send(get("/nowhere"));
  EXPECT_EQ(c->read().status, 404);
  c->send("DELETE /queue HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(c->read().status, 405);
  c->send("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(c->read().status, 400);
  c->send("GET /queue HTTP/1.1\r\n\r\n"); // without a Host
  EXPECT_EQ(c->read().status, 400);
  EXPECT_THAT(house.noted(), testing::ElementsAre("GET /nowhere NOT_FOUND", "DELETE /queue METHOD_NOT_ALLOWED",
                                                  "GET /%zz BAD_REQUEST", "GET /queue BAD_REQUEST"));
  EXPECT_EQ(house.performed.load(), 0);
}

// ---- clients that go

TEST_F(HttpServer, FinishesARequestWhoseClientHasGone) {
  start();
  auto c = connect();
  c->send(get("/queue", "lost"));
  const auto question = house.take_question();
  c->vanish();
  EXPECT_TRUE(comes_to(0));
  EXPECT_EQ(counters.finished.load(), 0) << "the house is still at it";
  std::jthread late([&] { question.done(good()); });
  const auto line = journal.lines(1).back();
  EXPECT_EQ(line.at("request_id"), "lost");
  EXPECT_EQ(line.at("status"), "200");
  EXPECT_EQ(counters.finished.load(), 1);
}

TEST_F(HttpServer, FinishesADownloadWhoseClientHasGone) {
  house.output_size = 1024 * scripted_house::block().size();
  house.at_once = [this](const api_request&) { return house.output(); };
  start();
  auto c = connect();
  c->send(download("lost"));
  c->take(100'000);
  c->vanish();
  EXPECT_EQ(journal.lines(1).back().at("request_id"), "lost");
  EXPECT_TRUE(comes_to(0));
  EXPECT_EQ(counters.finished.load(), 1);
}

TEST_F(HttpServer, HoldsOutWhenAPieceComesForAClientThatHasGone) {
  house.output_size = 32 * scripted_house::block().size();
  house.hold_reads = true;
  house.at_once = [this](const api_request&) { return house.output(); };
  start(single());
  auto c = connect();
  c->send(download("lost"));
  c->read(true);
  c->take(16 * scripted_house::block().size());
  const auto piece = house.take_read();
  c->vanish();
  EXPECT_EQ(journal.lines(1).back().at("request_id"), "lost") << "finished, though a piece is to come";
  piece(house.page_at(16 * scripted_house::block().size()));
  const auto other = connect();
  other->send(get("/health"));
  EXPECT_EQ(other->read().status, 200);
  EXPECT_EQ(counters.started.load(), 2);
}

TEST_F(HttpServer, GivesUpOnAClientThatTakesNothing) {
  auto config = single();
  config.loop.write_timeout = 1ms;
  house.output_size = 1024 * scripted_house::block().size();
  house.at_once = [this](const api_request&) { return house.output(); };
  start(config);
  const auto c = connect(4096);
  c->send(download("stuck"));
  EXPECT_EQ(journal.lines(1).back().at("request_id"), "stuck");
  EXPECT_TRUE(comes_to(0));
}

// ---- half-closed connections

TEST_F(HttpServer, AnswersAClientThatSendsNoMore) {
  house.output_size = 128 * scripted_house::block().size();
  start();
  const auto c = connect();
  c->send(get("/queue", "one") + download("two") + get("/health", "three"));
  c->end();
  house.take_question().done(good());
  EXPECT_EQ(c->read().field("X-Request-ID"), "one");
  house.take_question().done(house.output());
  const auto bytes = c->read();
  EXPECT_EQ(bytes.field("X-Request-ID"), "two");
  EXPECT_EQ(bytes.body.size(), house.output_size);
  EXPECT_TRUE(is_output(bytes.body));
  EXPECT_EQ(c->read().field("X-Request-ID"), "three");
  EXPECT_EQ(c->rest(), "");
  EXPECT_TRUE(comes_to(0));
}

// More than the server answers before it looks at the socket again.
TEST_F(HttpServer, AnswersAllThatAClientHasPipelinedBeforeItSentNoMore) {
  start(single());
  constexpr int many = 1800; // they fit into one read of the server
  std::string all;
  for (int i = 0; i < many; ++i)
    all += "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
  const auto c = connect();
  c->send(all);
  c->end();
  int answered = 0;
  const auto answers = c->rest();
  for (std::size_t at = 0; (at = answers.find("HTTP/1.1 200 OK", at)) != std::string::npos; ++at)
    ++answered;
  EXPECT_EQ(answered, many);
}

// ---- slow clients

TEST_F(HttpServer, LetsNobodyWaitForASlowReader) {
  constexpr std::size_t blocks = 1024; // much more than the system buffers
  house.output_size = blocks * scripted_house::block().size();
  house.at_once = [this](const api_request& asked) {
    return asked.from.path.ends_with("/output") ? house.output() : good();
  };
  start(single());
  const auto slow = connect(4096);
  slow->send(download("slow"));
  slow->until("\r\n\r\n"); // it has begun
  const auto quick = connect();
  for (int i = 0; i < 200; ++i) {
    quick->send(get("/queue", std::to_string(i)));
    ASSERT_EQ(quick->read().field("X-Request-ID"), std::to_string(i));
  }
  EXPECT_LT(static_cast<std::size_t>(house.reads.load()), blocks / 16 / 2) << "what it does not take is not asked for";
  EXPECT_TRUE(at_last([this] { return counters.finished == 200; }));
  EXPECT_TRUE(is_output(slow->take(2 * scripted_house::block().size()))) << "slow, but served";
  slow->vanish();
}

TEST_F(HttpServer, SendsALargeFeedWhole) {
  house.output_size = 512 * scripted_house::block().size();
  house.at_once = [this](const api_request&) { return house.output(); };
  start();
  const auto c = connect();
  c->send(download("one") + get("/health", "two"));
  const auto bytes = c->read();
  EXPECT_EQ(bytes.status, 200);
  EXPECT_EQ(bytes.body.size(), house.output_size);
  EXPECT_TRUE(is_output(bytes.body));
  EXPECT_EQ(c->read().field("X-Request-ID"), "two");
}

TEST_F(HttpServer, EndsAFeedTooEarlyWhenThePiecesDoNotCome) {
  house.output_size = 32 * scripted_house::block().size();
  house.hold_reads = true;
  house.at_once = [this](const api_request&) { return house.output(); };
  start();
  const auto c = connect();
  c->send(download() + get("/health", "hidden"));
  EXPECT_EQ(c->read(true).field("Content-Length"), std::to_string(house.output_size));
  c->take(16 * scripted_house::block().size());
  house.take_read()(away());
  EXPECT_EQ(c->rest(), "") << "what follows would be taken for the missing bytes";
}

// ---- event streams

TEST_F(HttpServer, ShowsThatASilentStreamLives) {
  house.at_once = [](const api_request&) {
    stream_opened opened;
    opened.project = "demo";
    opened.command = command_id::make();
    opened.from = {seq_running, 0};
    return api_reply{answer<outcome>(outcome(std::move(opened))), {}, {}};
  };
  start({}, {{}, 2ms, std::make_shared<const server_rules>(), std::nullopt});
  const auto c = connect();
  c->send(get("/projects/demo/events", "stream"));
  EXPECT_EQ(c->read(true).field("Content-Type"), "text/event-stream");
  c->until("event: connected\n");
  const auto listener = house.take_listener();
  c->until("event: heartbeat\n");
  c->until("event: heartbeat\n");
  EXPECT_EQ(counters.streams.load(), 1);
  stream_news end;
  end.events.emplace();
  end.events->completed.emplace();
  end.events->next = {3, 0};
  listener(end);
  EXPECT_THAT(c->rest(), HasSubstr("id: 3-0\nevent: complete\n"));
  EXPECT_EQ(journal.lines(1).back().at("request_id"), "stream");
}

TEST_F(HttpServer, FinishesAStreamWhoseClientHasGone) {
  house.at_once = [](const api_request&) {
    stream_opened opened;
    opened.project = "demo";
    return api_reply{answer<outcome>(outcome(std::move(opened))), {}, {}};
  };
  start();
  std::vector<std::unique_ptr<client>> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(connect());
    all.back()->send(get("/projects/demo/events", std::to_string(i)));
    all.back()->until("event: connected\n");
  }
  const auto listener = house.take_listener();
  for (std::size_t i = 0; i < 3; ++i)
    all.at(i)->vanish();
  journal.lines(3);
  EXPECT_TRUE(comes_to(1));
  house.close();
  listener(away());
  EXPECT_THAT(all.back()->rest(), EndsWith("retry: 1000\n\n"));
}

// ---- room

TEST_F(HttpServer, TellsAClientForWhomThereIsNoRoom) {
  auto config = single();
  config.max_connections = 1;
  start(config);
  auto first = connect();
  first->send(get("/health"));
  EXPECT_EQ(first->read().status, 200);
  for (const bool asks : {true, false}) {
    const auto second = connect();
    if (asks)
      second->send(get("/health", "turned-away"));
    const auto answer = second->read();
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(answer.field("Connection"), "close");
    EXPECT_EQ(answer.field("Retry-After"), "1");
    EXPECT_THAT(answer.body, HasSubstr("SERVICE_UNAVAILABLE"));
    EXPECT_EQ(second->rest(), "") << "no request of it is served";
  }
  EXPECT_TRUE(comes_to(1)) << "those who were turned away are gone";
  first->send(get("/health"));
  EXPECT_EQ(first->read().status, 200);
  first->close();
  EXPECT_TRUE(comes_to(0));
  const auto third = connect();
  third->send(get("/health"));
  EXPECT_EQ(third->read().status, 200) << "there is room again";
  for (const auto& line : journal.lines(5))
    EXPECT_EQ(line.at("message"), "request completed");
}

TEST_F(HttpServer, CountsThoseWhoAreTurnedAwayUntilTheyAreGone) {
  auto config = single();
  config.max_connections = 1;
  start(config);
  const auto first = connect();
  first->send(get("/health"));
  EXPECT_EQ(first->read().status, 200);
  // The server does not wait long for such a client to go: one of many is seen.
  EXPECT_TRUE(at_last([&] {
    const auto second = connect();
    EXPECT_EQ(second->read().status, 503);
    return running->connections() > 1;
  }));
  EXPECT_TRUE(comes_to(1));
}

// ---- the end

TEST_F(HttpServer, DrainsInOrder) {
  house.output_size = 32 * scripted_house::block().size();
  house.hold_reads = true;
  start();
  const auto fresh = connect();
  const auto idle = connect();
  idle->send(get("/health"));
  EXPECT_EQ(idle->read().status, 200);
  const auto busy = connect();
  busy->send(get("/queue", "busy") + get("/queue", "behind"));
  const auto question = house.take_question();
  const auto loading = connect();
  loading->send(download());
  house.take_question().done(house.output());
  EXPECT_EQ(loading->read(true).status, 200);
  const auto first = 16 * scripted_house::block().size();
  EXPECT_TRUE(is_output(loading->take(first)));
  const auto piece = house.take_read();
  const auto half = connect();
  half->send(request_text("POST", "/keys", "half", "Expect: 100-continue\r\nContent-Length: 5\r\n"));
  EXPECT_EQ(half->read().status, 100);

  running->drain();
  EXPECT_EQ(idle->rest(), "");
  EXPECT_EQ(fresh->rest(), "");
  EXPECT_FALSE(client(running->address()).connected());
  EXPECT_TRUE(comes_to(3));

  question.done(good());
  auto answer = busy->read();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.field("Connection"), "close");
  EXPECT_EQ(busy->rest(), "") << "it was told to close: what lies behind is not served";

  piece(house.page_at(first));
  const auto bytes = loading->rest();
  EXPECT_EQ(bytes.size(), house.output_size - first);
  EXPECT_TRUE(is_output(bytes));

  half->send("hello");
  house.take_question().done(good());
  answer = half->read();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.field("Connection"), "close");
  EXPECT_EQ(half->rest(), "");

  for (auto* c : {busy.get(), loading.get(), half.get()})
    c->close();
  EXPECT_TRUE(comes_to(0));
  running->drain(); // does no harm
}

TEST_F(HttpServer, EndsWithConnectionsOfEveryKind) {
  house.output_size = 1024 * scripted_house::block().size();
  house.at_once = [this](const api_request& asked) -> std::optional<api_reply> {
    if (asked.from.path.ends_with("/output"))
      return house.output();
    return std::nullopt;
  };
  start();
  const auto idle = connect();
  const auto half = connect();
  half->send("GET /");
  const auto stuck = connect(4096);
  stuck->send(download());
  stuck->until("\r\n\r\n");
  const auto waiting = connect();
  waiting->send(get("/queue"));
  house.take_question().done(good());
  EXPECT_EQ(waiting->read().status, 200);
  running.reset();
  EXPECT_EQ(counters.finished.load(), 2);
  EXPECT_EQ(waiting->rest(), "");
}

TEST_F(HttpServer, SaysWhyItCannotListen) {
  start();
  server_config taken;
  taken.listen = running->address();
  const auto got = server::start(*handler, taken);
  ASSERT_FALSE(static_cast<bool>(got)) << "two servers on one port";
  EXPECT_EQ(got.error().code, fault::invalid);
  EXPECT_THAT(got.error().message, HasSubstr(taken.listen));
  EXPECT_THAT(running->address(), StartsWith("127.0.0.1:"));
}

// ---- many at once

TEST_F(HttpServer, ServesManyClientsOfWhichSomeVanish) {
  house.output_size = 20 * scripted_house::block().size();
  std::atomic<int> n{0};
  house.at_once = [&](const api_request& asked) -> std::optional<api_reply> {
    if (asked.from.path.ends_with("/output"))
      return house.output();
    if (n++ % 2 == 0)
      return good();
    return std::nullopt;
  };
  start();
  const answering_thread one(house);
  const answering_thread other(house);
  const auto visit = [this](test::seeded& random) {
    const auto c = connect();
    const auto requests = 1 + random.below(8);
    std::string text;
    for (std::size_t r = 0; r < requests; ++r)
      text += random.one_in(4) ? download(std::to_string(r)) : get("/queue", std::to_string(r));
    c->send(text);
    const auto wanted = random.one_in(3) ? random.below(requests) : requests;
    for (std::size_t r = 0; r < wanted; ++r) {
      const auto answer = c->read();
      EXPECT_EQ(answer.status, 200);
      EXPECT_EQ(answer.field("X-Request-ID"), std::to_string(r));
    }
    if (wanted < requests)
      c->vanish();
  };
  std::vector<std::jthread> clients;
  for (std::uint64_t t = 0; t < 4; ++t)
    clients.emplace_back([&visit, random = test::seeded(31 + t)]() mutable {
      try {
        for (int i = 0; i < 40; ++i)
          visit(random);
      } catch (const std::exception& e) {
        ADD_FAILURE() << e.what();
      }
    });
  clients.clear();
  EXPECT_TRUE(comes_to(0));
  EXPECT_TRUE(at_last([this] { return counters.finished == counters.started; }));
  house.close();
}

} // namespace
} // namespace rdev::http
