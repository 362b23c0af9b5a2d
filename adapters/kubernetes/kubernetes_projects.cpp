#include "adapters/kubernetes/kubernetes_projects.hpp"

#include "adapters/kubernetes/api.hpp"
#include "adapters/kubernetes/discovery.hpp"

#include <limits>

namespace rdev::kubernetes {

namespace {

constexpr int http_conflict = 409;
constexpr int http_not_found = 404;
constexpr int http_too_many = 429;
constexpr int http_server_error = 500;

bool good(int status) {
  return status >= 200 && status < 300;
}

failure refusal_of(const api::answer& said) {
  return {fault::unavailable, "the API server refused: " + explained(said)};
}

class kubernetes_projects final : public project_host {
public:
  kubernetes_projects(const cluster_access& access, projects_config config, std::shared_ptr<pods> seen,
                      std::shared_ptr<wanted_projects> wanted, std::shared_ptr<circuits> breakers)
      : api_(access), config_(std::move(config)), seen_(std::move(seen)), wanted_(std::move(wanted)),
        breakers_(std::move(breakers)) {
  }

  // What the watches know: nobody is asked.
  result<std::vector<project>> list() override {
    if (!seen_->known() || !wanted_->known())
      return failure{fault::unavailable, "the cluster has not been seen yet"};
    std::map<std::string, project> out;
    for (const auto& one : wanted_->all())
      out.emplace(one.what.id, merged(one));
    for (const auto& one : seen_->all())
      if (!out.contains(one.what.id))
        if (const auto now = seen_->of_project(one.what.id))
          out.emplace(one.what.id, now->what);
    std::vector<project> all;
    all.reserve(out.size());
    for (auto& [id, one] : out)
      all.push_back(std::move(one));
    return all;
  }

  // The API server is asked only for what the watches do not know: another node may have made it a moment ago.
  result<std::optional<project>> find(const std::string& id) override {
    if (auto now = known(id))
      return now;
    auto said = request("GET", set(id));
    if (!said)
      return std::move(said.error());
    if (said->status == http_not_found)
      return std::optional<project>();
    if (!good(said->status))
      return refusal_of(*said);
    const auto found = read_stateful_set(said->body);
    wanted_->put(found);
    return std::optional(merged(found));
  }

  void watch(const std::function<void(const project&)>& changed) override {
    if (!changed)
      return seen_->on_project({});
    seen_->on_project([this, changed](const std::string& id) {
      if (const auto now = known(id))
        changed(*now);
    });
  }

  [[nodiscard]] bool is_remote() const override {
    return true;
  }

  std::vector<field_problem> objections(const create_project& what) override {
    return objections_to(what, config_.from);
  }

  result<bool> create(const create_project& what) override {
    if (seen_->of_project(what.id))
      return false;
    auto said = request("POST", sets(), stateful_set(what, config_.from));
    if (!said)
      return std::move(said.error());
    if (said->status == http_conflict)
      return false;
    if (!good(said->status))
      return refusal_of(*said);
    wanted_->put(read_stateful_set(said->body));
    return true;
  }

  result<bool> remove(const std::string& id) override {
    auto said = request("DELETE", set(id) + "?propagationPolicy=Background");
    if (!said)
      return std::move(said.error());
    if (said->status != http_not_found && !good(said->status))
      return refusal_of(*said);
    // A StatefulSet leaves its volumes behind; the next project of this name must not find them.
    if (!config_.from.storage_class.empty()) {
      const auto volume = request("DELETE", volumes_path() + "/workspace-" + name_of_project(id) + "-0");
      if (!volume)
        return volume.error();
      if (volume->status != http_not_found && !good(volume->status))
        return refusal_of(*volume);
    }
    wanted_project last;
    last.what.id = id;
    last.version = std::numeric_limits<std::uint64_t>::max();
    wanted_->remove(last);
    return said->status != http_not_found;
  }

  result<bool> change(const std::string& id, project_verb verb) override {
    auto said = verb == project_verb::restart
                    ? request("DELETE", pods_path() + "/" + name_of_project(id) + "-0")
                    : request("PATCH", set(id), replicas(verb == project_verb::start ? 1 : 0));
    if (!said)
      return std::move(said.error());
    if (said->status == http_not_found)
      return verb == project_verb::restart ? change(id, project_verb::start) : result<bool>(false);
    if (!good(said->status))
      return refusal_of(*said);
    if (verb != project_verb::restart)
      wanted_->put(read_stateful_set(said->body));
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
  [[nodiscard]] std::string volumes_path() const {
    return "/api/v1/namespaces/" + config_.name_space + "/persistentvolumeclaims";
  }
  [[nodiscard]] std::string pods_path() const {
    return "/api/v1/namespaces/" + config_.name_space + "/pods";
  }

  // A refusal of the API server is an answer; not so that it is too busy, or broken.
  result<api::answer> request(const std::string& method, const std::string& path, const std::string& body = {}) {
    return through(*breakers_, api_circuit, [&]() -> result<api::answer> {
      auto said = api_.request(method, path, body);
      if (said && (said->status == http_too_many || said->status >= http_server_error))
        return refusal_of(*said);
      return said;
    });
  }

  [[nodiscard]] std::optional<project> known(const std::string& id) const {
    if (const auto asked = wanted_->find(id))
      return merged(*asked);
    const auto now = seen_->of_project(id);
    return now ? std::optional(now->what) : std::nullopt;
  }

  // What is asked for, and what there is of it.
  [[nodiscard]] project merged(const wanted_project& asked) const {
    const auto now = seen_->of_project(asked.what.id);
    if (!now)
      return asked.what;
    auto out = now->what;
    out.labels = asked.what.labels;
    out.created_at = asked.what.created_at;
    if (asked.stopped)
      out.status = project_status::stopped;
    else if (now->leaving)
      out.status = project_status::pending;
    return out;
  }

  api api_;
  projects_config config_;
  std::shared_ptr<pods> seen_;
  std::shared_ptr<wanted_projects> wanted_;
  std::shared_ptr<circuits> breakers_;
};

} // namespace

std::shared_ptr<project_host> make_kubernetes_projects(const cluster_access& access, const projects_config& config,
                                                       std::shared_ptr<pods> seen,
                                                       std::shared_ptr<wanted_projects> wanted,
                                                       std::shared_ptr<circuits> breakers) {
  return std::make_shared<kubernetes_projects>(access, config, std::move(seen), std::move(wanted), std::move(breakers));
}

} // namespace rdev::kubernetes
