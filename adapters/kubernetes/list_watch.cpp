#include "adapters/kubernetes/list_watch.hpp"

#include "adapters/kubernetes/api.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

namespace rdev::kubernetes {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds first_pause(200);
constexpr milliseconds longest_pause(10'000);

class following final : public list_watch {
public:
  following(const cluster_access& access, followed what, std::shared_ptr<circuits> breakers, rdev::log& log)
      : api_(access), what_(std::move(what)), breakers_(std::move(breakers)), log_(log) {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  ~following() override {
    thread_.request_stop();
    wakes_.notify_all();
    // A connection that is just being made does not hear the first call.
    while (!ended_) {
      api_.stop();
      std::unique_lock lock(mutex_);
      ended_there_.wait_for(lock, milliseconds(20), [&] { return ended_.load(); });
    }
    thread_.join();
  }
  following(const following&) = delete;
  following& operator=(const following&) = delete;

private:
  void run(const std::stop_token& stop) {
    auto pause = first_pause;
    std::minstd_rand dice(std::random_device{}());
    while (!stop.stop_requested()) {
      auto outcome = list();
      if (outcome) {
        pause = first_pause;
        breakers_->recovered(api_circuit);
        outcome = watch(stop);
      }
      if (stop.stop_requested())
        break;
      if (outcome || outcome.error().code == fault::invalid)
        continue; // it came to its end, or the place was too old
      log_.warn("the " + what_.what + " of the cluster cannot be watched", {{"why", outcome.error().message}});
      const auto jitter = std::uniform_int_distribution<std::int64_t>(pause.count() / 2, pause.count())(dice);
      std::unique_lock lock(mutex_);
      wakes_.wait_for(lock, milliseconds(jitter), [&] { return stop.stop_requested(); });
      pause = std::min(2 * pause, longest_pause);
    }
    ended_ = true;
    ended_there_.notify_all();
  }

  result<done> list() {
    std::vector<json::value> all;
    std::string next;
    do {
      auto page = api_.get(what_.path + "&limit=500" + (next.empty() ? "" : "&continue=" + next));
      if (!page)
        return failure{fault::unavailable, page.error().message};
      const auto items = (*page)["items"];
      for (std::size_t i = 0; i < items.size(); ++i)
        all.push_back(items.at(i));
      const auto meta = (*page)["metadata"];
      version_ = std::string(meta["resourceVersion"].as_string());
      next = std::string(meta["continue"].as_string());
    } while (!next.empty());
    what_.all(all);
    return done{};
  }

  // Until it breaks for another reason than its age.
  result<done> watch(const std::stop_token& stop) {
    for (;;) {
      auto outcome =
          api_.watch(what_.path + "&watch=true&allowWatchBookmarks=true&timeoutSeconds=50&resourceVersion=" + version_,
                     [&](const json::value& event) {
                       take(event);
                       return !stop.stop_requested();
                     });
      if (!outcome || stop.stop_requested())
        return outcome;
    }
  }

  void take(const json::value& event) {
    const auto object = event["object"];
    if (const auto version = object["metadata"]["resourceVersion"].as_string(); !version.empty())
      version_ = std::string(version);
    const auto type = event["type"].as_string();
    if (type == "ADDED" || type == "MODIFIED")
      what_.changed(object);
    else if (type == "DELETED")
      what_.gone(object);
  }

  api api_;
  followed what_;
  std::shared_ptr<circuits> breakers_;
  rdev::log& log_;
  std::string version_;
  std::mutex mutex_;
  std::condition_variable wakes_;
  std::condition_variable ended_there_;
  std::atomic<bool> ended_{false};
  std::jthread thread_; // last: it uses all of the above
};

} // namespace

std::unique_ptr<list_watch> start_list_watch(const cluster_access& access, followed what,
                                             std::shared_ptr<circuits> breakers, rdev::log& log) {
  return std::make_unique<following>(access, std::move(what), std::move(breakers), log);
}

} // namespace rdev::kubernetes
