#include "adapters/kubernetes/kubernetes_projects.hpp"

#include "adapters/kubernetes/api.hpp"
#include "messages/values/time.hpp"

#include <algorithm>

namespace rdev::kubernetes {

namespace {

constexpr int http_conflict = 409;
constexpr int http_not_found = 404;

bool good(int status) {
  return status >= 200 && status < 300;
}

failure refusal_of(const api::answer& said) {
  return {fault::unavailable, "the API server refused: " + explained(said)};
}

std::map<std::string, std::string> labels_of(const json::value& meta) {
  std::map<std::string, std::string> out;
  auto parsed = json::parse(meta["annotations"][given_labels].as_string());
  if (const auto* all = std::get_if<json::value>(&parsed))
    for (const auto& name : all->members())
      out[name] = std::string((*all)[name].as_string());
  return out;
}

// A project of which there is no pod at the moment.
project without_pod(const json::value& set) {
  const auto meta = set["metadata"];
  project out;
  out.id = std::string(meta["labels"][id_label].as_string());
  const bool stopped = set["spec"]["replicas"].as_integer() == 0;
  out.status = stopped ? project_status::stopped : project_status::pending;
  out.phase = stopped ? "Stopped" : "Pending";
  out.ready = false;
  out.labels = labels_of(meta);
  if (const auto made = from_rfc3339(meta["creationTimestamp"].as_string()))
    out.created_at = *made;
  return out;
}

class kubernetes_projects final : public project_host {
public:
  kubernetes_projects(const cluster_access& access, projects_config config, std::shared_ptr<pods> seen)
      : api_(access), config_(std::move(config)), seen_(std::move(seen)) {
  }

  result<std::vector<project>> list() override {
    std::map<std::string, project> out;
    std::string next;
    do {
      auto page = api_.get(sets() + "?limit=500&labelSelector=rdev.orchard9.ai%2Fproject%3Dtrue" +
                           (next.empty() ? "" : "&continue=" + next));
      if (!page)
        return failure{fault::unavailable, page.error().message};
      const auto items = (*page)["items"];
      for (std::size_t i = 0; i < items.size(); ++i) {
        auto one = merged(items.at(i));
        const auto id = one.id;
        out.insert_or_assign(id, std::move(one));
      }
      next = std::string((*page)["metadata"]["continue"].as_string());
    } while (!next.empty());
    for (const auto& one : seen_->all())
      if (!out.contains(one.what.id))
        if (const auto now = seen_->of_project(one.what.id))
          out.emplace(one.what.id, now->what);
    std::vector<project> all;
    for (auto& [id, one] : out)
      all.push_back(std::move(one));
    return all;
  }

  // A project that runs is known from the watch: nobody is asked.
  result<std::optional<project>> find(const std::string& id) override {
    const auto now = seen_->of_project(id);
    if (now && !now->leaving)
      return std::optional(now->what);
    auto said = api_.request("GET", set(id));
    if (!said)
      return std::move(said.error());
    if (said->status == http_not_found)
      return now ? std::optional(now->what) : std::optional<project>();
    if (!good(said->status))
      return refusal_of(*said);
    return std::optional(merged(said->body));
  }

  std::optional<field_problem> objection(const create_project& what) override {
    return objection_to(what, config_.from);
  }

  result<bool> create(const create_project& what) override {
    if (seen_->of_project(what.id))
      return false;
    auto said = api_.request("POST", sets(), stateful_set(what, config_.from));
    if (!said)
      return std::move(said.error());
    if (said->status == http_conflict)
      return false;
    if (!good(said->status))
      return refusal_of(*said);
    return true;
  }

  result<bool> remove(const std::string& id) override {
    auto said = api_.request("DELETE", set(id) + "?propagationPolicy=Background");
    if (!said)
      return std::move(said.error());
    if (said->status == http_not_found)
      return false;
    if (!good(said->status))
      return refusal_of(*said);
    return true;
  }

  result<bool> change(const std::string& id, project_verb verb) override {
    auto said = verb == project_verb::restart
                    ? api_.request("DELETE", pods_path() + "/" + name_of_project(id) + "-0")
                    : api_.request("PATCH", set(id), replicas(verb == project_verb::start ? 1 : 0));
    if (!said)
      return std::move(said.error());
    if (said->status == http_not_found)
      return verb == project_verb::restart ? change(id, project_verb::start) : result<bool>(false);
    if (!good(said->status))
      return refusal_of(*said);
    return true;
  }

  [[nodiscard]] bool has_power_states() const override {
    return true;
  }

private:
  [[nodiscard]] std::string sets() const {
    return "/apis/apps/v1/namespaces/" + config_.name_space + "/statefulsets";
  }
  [[nodiscard]] std::string set(const std::string& id) const {
    return sets() + "/" + name_of_project(id);
  }
  [[nodiscard]] std::string pods_path() const {
    return "/api/v1/namespaces/" + config_.name_space + "/pods";
  }

  // What is asked for, and what there is of it.
  [[nodiscard]] project merged(const json::value& asked) const {
    auto out = without_pod(asked);
    if (const auto now = seen_->of_project(out.id)) {
      const bool stops = out.status == project_status::stopped;
      auto seen = now->what;
      seen.labels = out.labels;
      seen.created_at = out.created_at;
      if (stops)
        seen.status = project_status::stopped;
      else if (now->leaving)
        seen.status = project_status::pending;
      return seen;
    }
    return out;
  }

  api api_;
  projects_config config_;
  std::shared_ptr<pods> seen_;
};

} // namespace

std::shared_ptr<project_host> make_kubernetes_projects(const cluster_access& access, const projects_config& config,
                                                       std::shared_ptr<pods> seen) {
  return std::make_shared<kubernetes_projects>(access, config, std::move(seen));
}

} // namespace rdev::kubernetes
