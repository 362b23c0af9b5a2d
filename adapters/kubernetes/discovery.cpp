#include "adapters/kubernetes/discovery.hpp"

#include "adapters/kubernetes/api.hpp"
#include "adapters/kubernetes/manifest.hpp"
#include "messages/values/time.hpp"

#include <atomic>
#include <condition_variable>
#include <random>
#include <thread>

namespace rdev::kubernetes {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds first_pause(250);
constexpr milliseconds longest_pause(15'000);

std::string text(const json::value& v) {
  return std::string(v.as_string());
}

// The container that commands run in: by name, else the first.
json::value container_in(const json::value& all) {
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all.at(i)["name"].as_string() == container_name)
      return all.at(i);
  return all.size() > 0 ? all.at(0) : json::value();
}

json::value named(const json::value& all, std::string_view key, std::string_view name) {
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all.at(i)[key].as_string() == name)
      return all.at(i);
  return {};
}

// Why a container does not run, in the words of the cluster.
std::string reason_of(const json::value& state) {
  for (const auto* kind : {"waiting", "terminated"})
    if (const auto& it = state[kind]; it.exists()) {
      auto out = text(it["reason"]);
      if (const auto message = text(it["message"]); !message.empty())
        out += (out.empty() ? "" : ": ") + message;
      return out;
    }
  return {};
}

void judge(pod& p, const json::value& status) {
  auto& out = p.what;
  const auto say = [&](project_status s, const std::string& why) {
    out.status = s;
    if (!why.empty())
      out.reason = why;
  };
  if (p.leaving)
    return say(project_status::stopped, "the pod is being deleted");
  if (out.phase == "Running" && out.ready)
    return say(project_status::running, "");
  if (out.phase == "Failed" || out.phase == "Succeeded") {
    p.why_not = text(status["reason"]).empty() ? "the pod ended" : "the pod ended: " + text(status["reason"]);
    return say(project_status::unhealthy, p.why_not);
  }
  const auto scheduled = named(status["conditions"], "type", "PodScheduled");
  if (scheduled["status"].as_string() == "False")
    return say(project_status::pending, text(scheduled["reason"]) + ": " + text(scheduled["message"]));
  const bool waits = p.why_not.empty() || p.why_not == "ContainerCreating" || p.why_not == "PodInitializing";
  say(waits ? project_status::pending : project_status::unhealthy, p.why_not);
}

} // namespace

std::optional<pod> read_pod(const json::value& object, bool adopt) {
  const auto meta = object["metadata"];
  const auto labels = meta["labels"];
  pod out;
  out.what.id = text(labels[id_label]);
  out.name = text(meta["name"]);
  out.uid = text(meta["uid"]);
  if (labels[project_label].as_string() != "true" || !valid_project_id(out.what.id) || out.name.empty())
    return std::nullopt;
  if (labels["app"].as_string() == "rdev-api") // never into ourselves
    return std::nullopt;
  if (!adopt && labels[owner_label].as_string() != "rdev")
    return std::nullopt;
  if (auto given = json::parse(meta["annotations"][given_labels].as_string());
      std::holds_alternative<json::value>(given)) {
    const auto& all = std::get<json::value>(given);
    for (const auto& name : all.members())
      out.what.labels[name] = text(all[name]);
  } else {
    for (const auto& name : labels.members())
      if (!name.starts_with(label_prefix))
        out.what.labels[name] = text(labels[name]);
  }
  out.leaving = meta["deletionTimestamp"].exists();
  if (const auto made = from_rfc3339(meta["creationTimestamp"].as_string()))
    out.what.created_at = *made;
  out.what.last_seen = now_utc();
  const auto status = object["status"];
  out.what.phase = text(status["phase"]);
  out.container = text(container_in(object["spec"]["containers"])["name"]);
  const auto container = named(status["containerStatuses"], "name", out.container);
  out.container_id = text(container["containerID"]);
  out.container_runs = container["state"]["running"].exists();
  out.what.ready = container["ready"].as_boolean();
  out.what.restarts = static_cast<int>(container["restartCount"].as_integer());
  out.why_not = reason_of(container["state"]);
  judge(out, status);
  out.usable = out.container_runs && out.what.ready && !out.leaving && !out.container_id.empty();
  return out;
}

namespace {

class watching final : public discovery {
public:
  watching(const cluster_access& access, discovery_config config, std::shared_ptr<pods> seen, rdev::log& log)
      : api_(access), config_(std::move(config)), seen_(std::move(seen)), log_(log) {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  ~watching() override {
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
  watching(const watching&) = delete;
  watching& operator=(const watching&) = delete;

private:
  [[nodiscard]] std::string path() const {
    return "/api/v1/namespaces/" + config_.name_space + "/pods?labelSelector=rdev.orchard9.ai%2Fproject%3Dtrue";
  }

  void run(const std::stop_token& stop) {
    auto pause = first_pause;
    std::minstd_rand dice(std::random_device{}());
    while (!stop.stop_requested()) {
      auto outcome = list();
      if (outcome) {
        pause = first_pause;
        outcome = watch(stop);
      }
      if (stop.stop_requested())
        break;
      if (outcome || outcome.error().code == fault::invalid)
        continue; // it came to its end, or the place was too old
      log_.warn("the pods cannot be watched", {{"why", outcome.error().message}});
      const auto jitter = std::uniform_int_distribution<std::int64_t>(pause.count() / 2, pause.count())(dice);
      std::unique_lock lock(mutex_);
      wakes_.wait_for(lock, milliseconds(jitter), [&] { return stop.stop_requested(); });
      pause = std::min(2 * pause, longest_pause);
    }
    ended_ = true;
    ended_there_.notify_all();
  }

  result<done> list() {
    std::vector<pod> all;
    std::string next;
    do {
      auto page = api_.get(path() + "&limit=500" + (next.empty() ? "" : "&continue=" + next));
      if (!page)
        return failure{fault::unavailable, page.error().message};
      const auto items = (*page)["items"];
      for (std::size_t i = 0; i < items.size(); ++i)
        if (auto one = read_pod(items.at(i), config_.adopt))
          all.push_back(std::move(*one));
      version_ = text((*page)["metadata"]["resourceVersion"]);
      next = text((*page)["metadata"]["continue"]);
    } while (!next.empty());
    seen_->replace_all(std::move(all));
    return done{};
  }

  // Until it breaks for another reason than its age.
  result<done> watch(const std::stop_token& stop) {
    for (;;) {
      auto outcome =
          api_.watch(path() + "&watch=true&allowWatchBookmarks=true&timeoutSeconds=50&resourceVersion=" + version_,
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
    if (const auto version = text(object["metadata"]["resourceVersion"]); !version.empty())
      version_ = version;
    const auto type = event["type"].as_string();
    if (type != "ADDED" && type != "MODIFIED" && type != "DELETED")
      return;
    auto one = type == "DELETED" ? std::nullopt : read_pod(object, config_.adopt);
    if (one)
      seen_->put(std::move(*one));
    else
      seen_->remove(text(object["metadata"]["name"]));
  }

  api api_;
  discovery_config config_;
  std::shared_ptr<pods> seen_;
  rdev::log& log_;
  std::string version_;
  std::mutex mutex_;
  std::condition_variable wakes_;
  std::condition_variable ended_there_;
  std::atomic<bool> ended_{false};
  std::jthread thread_; // last: it uses all of the above
};

} // namespace

std::unique_ptr<discovery> start_discovery(const cluster_access& access, const discovery_config& config,
                                           std::shared_ptr<pods> seen, rdev::log& log) {
  return std::make_unique<watching>(access, config, std::move(seen), log);
}

} // namespace rdev::kubernetes
