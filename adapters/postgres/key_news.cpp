// News of keys by LISTEN (PostgreSQL, "NOTIFY"). A notification may be lost only together with its connection; whoever
// makes a new one is told that anything may have changed.
#include "adapters/descriptor.hpp"
#include "adapters/postgres/session.hpp"
#include "adapters/postgres/stores.hpp"
#include "adapters/postgres/watchdog.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <thread>

namespace rdev::postgres {

namespace {

using std::chrono::milliseconds;
using changed_key = std::function<void(const key_news&)>;

constexpr milliseconds first_pause(200);
constexpr milliseconds longest_pause(5'000);

// `<uuid>[ <epoch>[ revoked]]`
key_news news_from(std::string_view payload) {
  key_news out{key_id::from_uuid(payload.substr(0, payload.find(' '))), {}, payload.ends_with(" revoked")};
  if (const auto blank = payload.find(' '); blank != std::string_view::npos) {
    std::int64_t epoch = 0;
    const auto* first = payload.data() + blank + 1;
    if (std::from_chars(first, payload.data() + payload.size(), epoch).ec == std::errc{})
      out.epoch = epoch;
  }
  return out;
}

class receiver final : public pqxx::notification_receiver {
public:
  receiver(pqxx::connection_base& c, const changed_key& changed)
      : notification_receiver(c, "rdev_keys"), changed_(changed) {
  }
  void operator()(const std::string& payload, int) override {
    changed_(news_from(payload));
  }

private:
  const changed_key& changed_;
};

class listening final : public key_feed {
public:
  listening(std::string conninfo, changed_key changed, rdev::log& log)
      : conninfo_(std::move(conninfo)), changed_(std::move(changed)), log_(log),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  ~listening() override {
    thread_.request_stop();
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
    thread_.join();
  }
  listening(const listening&) = delete;
  listening& operator=(const listening&) = delete;

private:
  void run(const std::stop_token& stop) {
    auto pause = first_pause;
    while (!stop.stop_requested()) {
      try {
        pqxx::connection c(with_timeouts(conninfo_));
        const receiver here = listen(c);
        changed_({});
        pause = first_pause;
        while (!stop.stop_requested()) {
          wait(c.sock(), milliseconds(-1));
          c.get_notifs();
        }
        ::shutdown(c.sock(), SHUT_RDWR); // the receiver would take its leave, and wait for an answer
      } catch (const std::exception& e) {
        if (pause == first_pause)
          log_.warn("changes of keys are not heard; they count within two seconds all the same", {{"why", e.what()}});
        wait(-1, pause);
        pause = std::min(2 * pause, longest_pause);
      }
    }
  }

  receiver listen(pqxx::connection& c) const {
    const watchdog::watch guard(*watchdog_, c.sock(), answer_limit);
    return {c, changed_};
  }

  // Until something comes, or the end of this.
  void wait(int socket, milliseconds limit) const {
    std::array<pollfd, 2> both{pollfd{wake_.get(), POLLIN, 0}, pollfd{socket, POLLIN, 0}};
    ::poll(both.data(), both.size(), static_cast<int>(limit.count()));
  }

  const std::string conninfo_;
  const changed_key changed_;
  rdev::log& log_;
  descriptor wake_;
  std::shared_ptr<watchdog> watchdog_ = watchdog::shared();
  std::jthread thread_; // last: it uses all of the above
};

} // namespace

std::unique_ptr<key_feed> follow_keys(const store_config& config, std::function<void(const key_news&)> changed,
                                      rdev::log& log) {
  return std::make_unique<listening>(config.conninfo, std::move(changed), log);
}

} // namespace rdev::postgres
