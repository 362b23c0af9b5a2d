#include "adapters/webhooks/curl_sender.hpp"

#include "adapters/webhooks/address_guard.hpp"
#include "adapters/webhooks/endpoint_url.hpp"
#include "adapters/webhooks/transfer.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <csignal>
#include <mutex>
#include <new>
#include <thread>
#include <unordered_map>
#include <utility>

namespace rdev::webhook_sending {

namespace {

constexpr std::size_t most_spare_handles = 256;
constexpr auto longest_sleep = std::chrono::milliseconds(60'000);

struct multi_closer {
  void operator()(CURLM* multi) const {
    ::curl_multi_cleanup(multi);
  }
};
using multi_ptr = std::unique_ptr<CURLM, multi_closer>;

multi_ptr make_multi(long kept_connections) {
  multi_ptr out(::curl_multi_init());
  if (!out)
    throw std::bad_alloc();
  ::curl_multi_setopt(out.get(), CURLMOPT_MAXCONNECTS, kept_connections);
  ::curl_multi_setopt(out.get(), CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  return out;
}

// A socket that was closed at the other end must not end the process. Threads of curl inherit it.
void ignore_broken_pipes() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

class curl_sender final : public webhook_sender {
public:
  explicit curl_sender(sender_config config)
      : config_(std::move(config)), guard_(config_.allowed_networks), multi_(make_multi(config_.kept_connections)) {
    spare_.push_back(std::make_unique<transfer>(config_, guard_)); // what curl cannot do is found out here
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }

  curl_sender(const curl_sender&) = delete;
  curl_sender& operator=(const curl_sender&) = delete;
  curl_sender(curl_sender&&) = delete;
  curl_sender& operator=(curl_sender&&) = delete;

  ~curl_sender() override {
    curl_sender::stop();
  }

  void stop() override {
    thread_.request_stop();
    wake();
    if (thread_.joinable())
      thread_.join();
    drop_all();
  }

  [[nodiscard]] std::optional<std::string> problem_of(std::string_view url) const override {
    return webhook_sending::problem_of(url, guard_);
  }

  // The lock is held until the end: the thread needs it to see the message, so that nobody is called back before.
  void send(outgoing_message message, std::function<void(sent_message)> done) override {
    const std::lock_guard held(mutex_);
    if (thread_.get_stop_token().stop_requested())
      return;
    queue_.push_back({std::move(message), std::move(done), transfer::clock::now()});
    if (queue_.size() == 1)
      ::curl_multi_wakeup(multi_.get());
  }

private:
  using callback = std::function<void(sent_message)>;
  struct queued {
    outgoing_message message;
    callback done;
    transfer::clock::time_point asked;
  };
  struct job {
    std::unique_ptr<transfer> how;
    callback done;
  };

  // Once the thread is gone: connections are closed, and what the callbacks hold is let go of.
  void drop_all() {
    for (const auto& one : under_way_)
      ::curl_multi_remove_handle(multi_.get(), one.first);
    under_way_.clear();
    auto closed = make_multi(config_.kept_connections);
    std::vector<queued> dropped;
    const std::lock_guard held(mutex_);
    multi_.swap(closed);
    queue_.swap(dropped);
  }

  void wake() {
    const std::lock_guard held(mutex_);
    ::curl_multi_wakeup(multi_.get());
  }

  void run(const std::stop_token& stop) {
    ignore_broken_pipes();
    while (!stop.stop_requested()) {
      begin_queued(stop);
      int running = 0;
      ::curl_multi_perform(multi_.get(), &running);
      end_finished(stop);
      if (stop.stop_requested())
        return;
      drop_idle_connections();
      ::curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(longest_sleep_now().count()), nullptr);
    }
  }

  void begin_queued(const std::stop_token& stop) {
    std::vector<queued> fresh;
    {
      const std::lock_guard held(mutex_);
      fresh.swap(queue_);
    }
    for (auto& q : fresh) {
      if (stop.stop_requested())
        return;
      begin(std::move(q));
    }
  }

  void begin(queued q) {
    auto how = take_handle();
    auto problem = how->prepare(q.message, q.asked);
    if (!problem) {
      auto* handle = how->handle();
      if (const auto code = ::curl_multi_add_handle(multi_.get(), handle); code == CURLM_OK) {
        under_way_.emplace(handle, job{std::move(how), std::move(q.done)});
        return;
      }
      problem = "rdev could not begin to send";
    }
    give_back(std::move(how));
    sent_message out;
    out.error = std::move(*problem);
    q.done(std::move(out));
  }

  void end_finished(const std::stop_token& stop) {
    int left = 0;
    while (const auto* news = ::curl_multi_info_read(multi_.get(), &left)) {
      if (news->msg != CURLMSG_DONE)
        continue;
      auto* handle = news->easy_handle;
      const auto code = news->data.result; // `news` dies with the next call
      ::curl_multi_remove_handle(multi_.get(), handle);
      auto ended = under_way_.extract(handle);
      last_end_ = transfer::clock::now();
      auto outcome = ended.mapped().how->outcome(code);
      give_back(std::move(ended.mapped().how));
      if (stop.stop_requested())
        return;
      ended.mapped().done(std::move(outcome));
    }
  }

  std::unique_ptr<transfer> take_handle() {
    if (spare_.empty())
      return std::make_unique<transfer>(config_, guard_);
    auto out = std::move(spare_.back());
    spare_.pop_back();
    return out;
  }

  void give_back(std::unique_ptr<transfer> how) {
    if (spare_.size() < most_spare_handles)
      spare_.push_back(std::move(how));
  }

  // curl looks at the age of kept connections when it makes another one, so in a time without messages they would stay.
  void drop_idle_connections() {
    if (!under_way_.empty() || !last_end_ || transfer::clock::now() - *last_end_ < config_.idle_limit)
      return;
    last_end_.reset();
    auto fresh = make_multi(config_.kept_connections);
    const std::lock_guard held(mutex_); // send() wakes it
    multi_.swap(fresh);
    if (!queue_.empty()) // the wake-up call went to the former one
      ::curl_multi_wakeup(multi_.get());
  }

  [[nodiscard]] std::chrono::milliseconds longest_sleep_now() const {
    if (!under_way_.empty() || !last_end_)
      return longest_sleep; // curl knows its own deadlines
    const auto left = *last_end_ + config_.idle_limit - transfer::clock::now();
    return std::clamp(std::chrono::ceil<std::chrono::milliseconds>(left), std::chrono::milliseconds(1), longest_sleep);
  }

  const sender_config config_;
  const address_guard guard_;
  std::mutex mutex_;
  std::vector<queued> queue_; // guarded
  multi_ptr multi_;           // belongs to the thread; which one it is: guarded
  // All of the thread's.
  std::unordered_map<CURL*, job> under_way_;
  std::vector<std::unique_ptr<transfer>> spare_;
  std::optional<transfer::clock::time_point> last_end_; // none: no connection is kept
  std::jthread thread_;
};

} // namespace

std::shared_ptr<webhook_sender> make_webhook_sender(sender_config config) {
  static const auto ready = ::curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK)
    throw std::bad_alloc();
  return std::make_shared<curl_sender>(std::move(config));
}

} // namespace rdev::webhook_sending
