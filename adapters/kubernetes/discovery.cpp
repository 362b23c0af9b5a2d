#include "adapters/kubernetes/discovery.hpp"

#include "adapters/kubernetes/list_watch.hpp"
#include "adapters/kubernetes/manifest.hpp"
#include "messages/values/time.hpp"

#include <charconv>

namespace rdev::kubernetes {

namespace {

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

// The labels of a project as it was made with; none: it was not made by rdev.
std::optional<std::map<std::string, std::string>> labels_given(const json::value& meta) {
  const auto parsed = json::parse(meta["annotations"][given_labels].as_string());
  const auto* all = std::get_if<json::value>(&parsed);
  if (all == nullptr)
    return std::nullopt;
  std::map<std::string, std::string> out;
  for (const auto& name : all->members())
    out[name] = text((*all)[name]);
  return out;
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

// What keeps the container that clones the repository from ending well.
std::string why_not_cloned(const json::value& status) {
  const auto all = status["initContainerStatuses"];
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto one = all.at(i);
    auto ended = one["state"]["terminated"];
    if (!ended.exists())
      ended = one["lastState"]["terminated"];
    if (ended.exists() && ended["exitCode"].as_integer() != 0)
      return "container " + text(one["name"]) + " ended with code " + std::to_string(ended["exitCode"].as_integer()) +
             ": " + text(ended["message"]);
    auto waits = reason_of(one["state"]);
    if (!waits.empty() && waits != "PodInitializing" && !ended.exists())
      return waits;
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
  if (const auto why = why_not_cloned(status); !why.empty())
    p.why_not = why;
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
  if (auto given = labels_given(meta))
    out.what.labels = std::move(*given);
  else
    for (const auto& name : labels.members())
      if (!name.starts_with(label_prefix))
        out.what.labels[name] = text(labels[name]);
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

wanted_project read_stateful_set(const json::value& object) {
  const auto meta = object["metadata"];
  wanted_project out;
  out.what.id = text(meta["labels"][id_label]);
  out.stopped = object["spec"]["replicas"].as_integer() == 0;
  out.what.status = out.stopped ? project_status::stopped : project_status::pending;
  out.what.phase = out.stopped ? "Stopped" : "Pending";
  out.what.ready = false;
  out.what.labels = labels_given(meta).value_or(std::map<std::string, std::string>{});
  if (const auto made = from_rfc3339(meta["creationTimestamp"].as_string()))
    out.what.created_at = *made;
  const auto version = meta["resourceVersion"].as_string();
  std::from_chars(version.data(), version.data() + version.size(), out.version);
  return out;
}

namespace {

class watching final : public discovery {
public:
  watching(const cluster_access& access, discovery_config config, std::shared_ptr<pods> seen,
           std::shared_ptr<wanted_projects> wanted, const std::shared_ptr<circuits>& breakers, rdev::log& log)
      : config_(std::move(config)), seen_(std::move(seen)), wanted_(std::move(wanted)),
        pods_(start_list_watch(access, the_pods(), breakers, log)),
        sets_(start_list_watch(access, the_sets(), breakers, log)) {
  }

private:
  [[nodiscard]] std::string path(const std::string& group, const std::string& kind) const {
    return group + "/namespaces/" + config_.name_space + "/" + kind +
           "?labelSelector=rdev.orchard9.ai%2Fproject%3Dtrue";
  }

  followed the_pods() {
    followed out{"pods", path("/api/v1", "pods"), {}, {}, {}};
    out.all = [this](const auto& objects) {
      std::vector<pod> all;
      for (const auto& object : objects)
        if (auto one = read_pod(object, config_.adopt))
          all.push_back(std::move(*one));
      seen_->replace_all(std::move(all));
    };
    out.changed = [this](const json::value& object) {
      if (auto one = read_pod(object, config_.adopt))
        seen_->put(std::move(*one));
      else
        seen_->remove(text(object["metadata"]["name"]));
    };
    out.gone = [this](const json::value& object) { seen_->remove(text(object["metadata"]["name"])); };
    return out;
  }

  followed the_sets() {
    followed out{"stateful sets", path("/apis/apps/v1", "statefulsets"), {}, {}, {}};
    out.all = [this](const auto& objects) {
      std::vector<wanted_project> all;
      for (const auto& object : objects)
        all.push_back(read_stateful_set(object));
      wanted_->replace_all(std::move(all));
    };
    out.changed = [this](const json::value& object) { wanted_->put(read_stateful_set(object)); };
    out.gone = [this](const json::value& object) { wanted_->remove(read_stateful_set(object)); };
    return out;
  }

  discovery_config config_;
  std::shared_ptr<pods> seen_;
  std::shared_ptr<wanted_projects> wanted_;
  std::unique_ptr<list_watch> pods_; // last: their threads use all of the above
  std::unique_ptr<list_watch> sets_;
};

} // namespace

std::unique_ptr<discovery> start_discovery(const cluster_access& access, const discovery_config& config,
                                           std::shared_ptr<pods> seen, std::shared_ptr<wanted_projects> wanted,
                                           const std::shared_ptr<circuits>& breakers, rdev::log& log) {
  return std::make_unique<watching>(access, config, std::move(seen), std::move(wanted), breakers, log);
}

} // namespace rdev::kubernetes
