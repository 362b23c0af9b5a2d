// The one file that knows Boost.Beast's WebSocket. One thread drives all connections.
#include "adapters/kubernetes/exec.hpp"

#include "adapters/json/json.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>
#include <thread>
#include <type_traits>

namespace rdev::kubernetes {

namespace {

namespace beast = boost::beast;
namespace net = boost::asio;
namespace websocket = beast::websocket;
using tcp = net::ip::tcp;
using error = beast::error_code;

constexpr auto connect_limit = std::chrono::seconds(10); // for each step until the process runs
constexpr auto silence_limit = std::chrono::seconds(12); // then the connection counts as dead
constexpr auto ping_interval = silence_limit / 3;
constexpr std::size_t largest_message = 16 * 1024 * 1024;
constexpr std::string_view both_protocols = "v5.channel.k8s.io, v4.channel.k8s.io";
constexpr std::string_view old_protocol = "v4.channel.k8s.io";

std::string escaped(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '_')
      out += c;
    else
      (out += '%').append({digits[byte >> 4U], digits[byte & 15U]});
  }
  return out;
}

std::string path_of(const cluster_access& access, const exec_target& target) {
  auto out = access.base_path + "/api/v1/namespaces/" + escaped(target.name_space) + "/pods/" + escaped(target.pod) +
             "/exec?stdin=1&stdout=1&stderr=1&container=" + escaped(target.container);
  for (const auto& part : target.argv)
    out += "&command=" + escaped(part);
  return out;
}

// The Status object (meta/v1) on channel 3.
std::string verdict_of(std::string_view text) {
  auto parsed = json::parse(text);
  const auto* status = std::get_if<json::value>(&parsed);
  if (status == nullptr)
    return "the API server says something of the process that is no JSON";
  if ((*status)["status"].as_string() == "Success")
    return {};
  const auto message = (*status)["message"].as_string();
  return message.empty() ? "the process failed" : std::string(message);
}

bool is_address(const std::string& host) {
  error no;
  net::ip::make_address(host, no);
  return !no;
}

// What all connections of a transport share; touched by its thread, but for the context, which does not change.
struct hub {
  explicit hub(cluster_access a) : access(std::move(a)) {
  }
  cluster_access access;
  net::ssl::context tls{net::ssl::context::tls_client};
  net::io_context loop{1};
  std::atomic<bool> only_old{false}; // this API server knows no v5
};

class session final : public exec_session, public std::enable_shared_from_this<session> {
  using stream_type = websocket::stream<beast::ssl_stream<beast::tcp_stream>>;

  // A step that fails ends the session.
  template <class Step>
  auto then(Step step) {
    return
        [self = shared_from_this(), step = std::move(step), attempt = attempt_](error e, const auto&... what) mutable {
          if (!self->listener_ || attempt != self->attempt_)
            return;
          if (e)
            return self->fail(e);
          if constexpr (std::is_invocable_v<Step&, session&, decltype(what)...>)
            step(*self, what...);
          else if constexpr (std::is_invocable_v<Step&, session&>)
            step(*self);
        };
  }

public:
  session(std::shared_ptr<hub> h, exec_target target, std::shared_ptr<exec_listener> listener)
      : shared_(std::move(h)), hub_(*shared_), target_(std::move(target)), listener_(std::move(listener)),
        resolver_(hub_.loop), beat_(hub_.loop) {
  }

  void start() {
    open_stream();
    const auto& host = hub_.access.host;
    resolver_.async_resolve(host, std::to_string(hub_.access.port),
                            then([](session& s, const tcp::resolver::results_type& found) {
                              s.lowest().expires_after(connect_limit);
                              s.lowest().async_connect(found, s.then([](session& me) { me.shake_hands(); }));
                            }));
  }

  void send(std::string bytes) override {
    net::post(hub_.loop, [self = shared_from_this(), text = '\0' + std::move(bytes)]() mutable {
      self->unsent_.push_back(std::move(text));
      if (self->unsent_.size() == 1 && self->open_)
        self->write();
    });
  }

  void resume() override {
    net::post(hub_.loop, [self = shared_from_this()] {
      if (self->paused_ && self->listener_) {
        self->paused_ = false;
        self->read();
      }
    });
  }

  void close() override {
    net::post(hub_.loop, [self = shared_from_this()] { self->end({false, 0, "closed by us"}); });
  }

private:
  beast::tcp_stream& lowest() {
    return beast::get_lowest_layer(*stream_);
  }

  void open_stream() {
    ++attempt_;
    stream_ = std::make_unique<stream_type>(hub_.loop, hub_.tls);
    auto& tls = stream_->next_layer();
    const auto& host = hub_.access.host;
    if (!is_address(host))
      SSL_set_tlsext_host_name(tls.native_handle(), host.c_str());
    tls.set_verify_mode(net::ssl::verify_peer);
    tls.set_verify_callback(net::ssl::host_name_verification(host));
  }

  void shake_hands() {
    error no;
    lowest().socket().set_option(tcp::no_delay(true), no);
    lowest().expires_after(connect_limit);
    stream_->next_layer().async_handshake(net::ssl::stream_base::client, then([](session& s) { s.upgrade(); }));
  }

  void upgrade() {
    const auto token = token_of(hub_.access);
    if (!token)
      return end({true, 0, token.error().message});
    lowest().expires_never();
    websocket::stream_base::timeout limits{};
    limits.handshake_timeout = connect_limit;
    limits.idle_timeout = websocket::stream_base::none();
    limits.keep_alive_pings = false; // Beast's own do not keep the stream alive that they are sent on
    stream_->set_option(limits);
    stream_->control_callback([this](websocket::frame_type, beast::string_view) { heard(); });
    stream_->read_message_max(largest_message);
    stream_->binary(true);
    stream_->auto_fragment(false); // API servers take each frame for a message of its own
    stream_->set_option(websocket::stream_base::decorator([this, bearer = *token](websocket::request_type& r) {
      if (!bearer.empty())
        r.set(beast::http::field::authorization, "Bearer " + std::string(bearer.reveal()));
      const auto offer = hub_.only_old ? old_protocol : both_protocols;
      r.set(beast::http::field::sec_websocket_protocol, beast::string_view(offer.data(), offer.size()));
    }));
    answer_ = {};
    stream_->async_handshake(answer_, hub_.access.host, path_of(hub_.access, target_), then([](session& s) {
                               s.stream_->set_option(
                                   websocket::stream_base::decorator([](websocket::request_type&) {}));
                               s.open_ = true;
                               s.heard();
                               s.beat();
                               s.listener_->on_open();
                               if (!s.unsent_.empty())
                                 s.write();
                               s.read();
                             }));
  }

  void write() {
    stream_->async_write(net::buffer(unsent_.front()), then([](session& s) {
                           s.unsent_.pop_front();
                           if (!s.unsent_.empty())
                             s.write();
                         }));
  }

  void heard() {
    heard_at_ = std::chrono::steady_clock::now();
  }

  // Notices a connection on which nothing comes any more, by pings. Who is paused hears nothing.
  void beat() {
    beat_.expires_after(ping_interval);
    beat_.async_wait(then([](session& s) {
      if (s.paused_)
        s.heard();
      if (std::chrono::steady_clock::now() - s.heard_at_ > silence_limit)
        return s.end({false, 0, "nothing comes on the connection any more"});
      if (!s.pinging_) {
        s.pinging_ = true;
        s.stream_->async_ping({}, s.then([](session& me) { me.pinging_ = false; }));
      }
      s.beat();
    }));
  }

  void read() {
    stream_->async_read(come_, then([](session& s) { s.take(); }));
  }

  void take() {
    heard();
    const auto data = come_.data();
    const std::string_view message(static_cast<const char*>(data.data()), data.size());
    bool more = true;
    if (message.size() > 1 && (message[0] == 1 || message[0] == 2))
      more = listener_->on_bytes(message[0] == 1 ? rdev::stream::out : rdev::stream::err, message.substr(1));
    else if (message.size() > 1 && message[0] == 3)
      verdict_ = verdict_of(message.substr(1));
    come_.consume(come_.size());
    if (!listener_)
      return;
    if (more)
      read();
    else
      paused_ = true;
  }

  void fail(error e) {
    if (e == websocket::error::upgrade_declined) {
      // An old API server refuses an offer that begins with what it does not know.
      if (answer_.result_int() == 403 && answer_.body().empty() && !hub_.only_old.exchange(true))
        return start();
      return end({true, static_cast<int>(answer_.result_int()), answer_.body()});
    }
    end({!open_, 0, verdict_.empty() ? e.message() : verdict_});
  }

  void end(const exec_end& how) {
    if (!listener_)
      return;
    const auto listener = std::move(listener_);
    listener_ = nullptr;
    resolver_.cancel();
    beat_.cancel();
    if (stream_)
      lowest().close(); // what is under way is broken off
    listener->on_end(how);
  }

  std::shared_ptr<hub> shared_;
  hub& hub_;
  exec_target target_;
  std::shared_ptr<exec_listener> listener_; // none: it is over
  tcp::resolver resolver_;
  net::steady_timer beat_;
  std::chrono::steady_clock::time_point heard_at_{};
  bool pinging_ = false;
  std::unique_ptr<stream_type> stream_;
  int attempt_ = 0;
  websocket::response_type answer_;
  beast::flat_buffer come_;
  std::deque<std::string> unsent_; // the first one is on its way
  std::string verdict_; // of the API server on how the process ended; empty: it has not spoken, or all is well
  bool open_ = false;
  bool paused_ = false;
};

class websocket_transport final : public exec_transport {
public:
  explicit websocket_transport(std::shared_ptr<hub> h)
      : hub_(std::move(h)), work_(hub_->loop.get_executor()), thread_([this] { hub_->loop.run(); }) {
  }
  // Connections end in order: what waits for them holds them.
  ~websocket_transport() override {
    for (const auto& one : open_)
      if (const auto there = one.lock())
        there->close();
    work_.reset();
    thread_.join();
  }
  websocket_transport(const websocket_transport&) = delete;
  websocket_transport& operator=(const websocket_transport&) = delete;

  std::shared_ptr<exec_session> open(const exec_target& target, std::shared_ptr<exec_listener> listener) override {
    auto out = std::make_shared<session>(hub_, target, std::move(listener));
    {
      std::lock_guard guard(mutex_);
      std::erase_if(open_, [](const auto& one) { return one.expired(); });
      open_.push_back(out);
    }
    net::post(hub_->loop, [out] { out->start(); });
    return out;
  }

private:
  std::shared_ptr<hub> hub_;
  net::executor_work_guard<net::io_context::executor_type> work_;
  std::mutex mutex_;
  std::vector<std::weak_ptr<session>> open_;
  std::jthread thread_; // last: it uses all of the above
};

} // namespace

result<std::unique_ptr<exec_transport>> make_websocket_transport(const cluster_access& access) {
  auto made = std::make_shared<hub>(access);
  error e;
  made->tls.set_options(net::ssl::context::default_workarounds | net::ssl::context::no_sslv2 |
                        net::ssl::context::no_sslv3 | net::ssl::context::no_tlsv1 | net::ssl::context::no_tlsv1_1);
  const auto read = [&](const char* what, auto step) {
    if (!e)
      step();
    return e ? failure{fault::invalid, std::string("the cluster's ") + what + " cannot be read: " + e.message()}
             : failure{};
  };
  auto wrong = read("authority", [&] {
    if (access.authority.empty())
      made->tls.set_default_verify_paths(e);
    else
      made->tls.add_certificate_authority(net::buffer(access.authority), e);
  });
  if (e)
    return wrong;
  if (!access.certificate.empty()) {
    wrong = read("client certificate", [&] { made->tls.use_certificate_chain(net::buffer(access.certificate), e); });
    if (e)
      return wrong;
    wrong = read("client key", [&] {
      const auto key = access.private_key.reveal();
      made->tls.use_private_key(net::buffer(key.data(), key.size()), net::ssl::context::pem, e);
    });
    if (e)
      return wrong;
  }
  return std::unique_ptr<exec_transport>(std::make_unique<websocket_transport>(std::move(made)));
}

} // namespace rdev::kubernetes
