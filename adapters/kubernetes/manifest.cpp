#include "adapters/kubernetes/manifest.hpp"

#include "adapters/json/json.hpp"

#include <fnmatch.h>

#include <algorithm>

namespace rdev::kubernetes {

namespace {

// An init that needs only a shell: it ends when it is told to, and until then reaps whatever is left to it.
constexpr const char* init = "trap 'exit 0' TERM INT; while :; do sleep 2147483 & wait; done";

// Fills an empty workspace.
constexpr const char* clone = R"sh([ -n "$(ls -A)" ] || exec git clone -- "$RDEV_REPOSITORY" .)sh";

// The cluster would put other variables in the place of `$(NAME)`.
std::string escaped(const std::string& value) {
  std::string out;
  for (const char c : value)
    out += c == '$' ? "$$" : std::string(1, c);
  return out;
}

bool matches(const std::string& pattern, const std::string& text) {
  return ::fnmatch(pattern.c_str(), text.c_str(), FNM_NOESCAPE) == 0;
}

void pair(json::writer& out, std::string_view key, std::string_view value) {
  out.key(key).string(value);
}

void own_labels(json::writer& out, const std::string& id) {
  out.key("labels").begin_object();
  pair(out, project_label, "true");
  pair(out, id_label, id);
  pair(out, owner_label, "rdev");
  out.end_object();
}

std::string as_json(const std::map<std::string, std::string>& labels) {
  json::writer out;
  out.begin_object();
  for (const auto& [name, value] : labels)
    pair(out, name, value);
  out.end_object();
  return out.take();
}

void annotations(json::writer& out, const std::map<std::string, std::string>& labels) {
  out.key("annotations").begin_object();
  pair(out, given_labels, as_json(labels));
  out.end_object();
}

void mount(json::writer& out, std::string_view name, std::string_view path) {
  out.begin_object();
  pair(out, "name", name);
  pair(out, "mountPath", path);
  out.end_object();
}

void empty_volume(json::writer& out, std::string_view name) {
  out.begin_object();
  pair(out, "name", name);
  out.key("emptyDir").begin_object().end_object().end_object();
}

void variables(json::writer& out, const create_project& what, bool with_repository) {
  out.key("env").begin_array();
  const auto variable = [&](const std::string& name, const std::string& value) {
    out.begin_object();
    pair(out, "name", name);
    pair(out, "value", escaped(value));
    out.end_object();
  };
  for (const auto& [name, value] : what.pod.env)
    variable(name, value);
  if (with_repository)
    variable("RDEV_REPOSITORY", what.pod.repository);
  out.end_array();
  out.key("envFrom").begin_array();
  for (const auto& name : what.pod.env_from) {
    out.begin_object().key("secretRef").begin_object();
    pair(out, "name", name);
    out.end_object().end_object();
  }
  out.end_array();
}

void container(json::writer& out, const create_project& what, const pod_template& from, bool clones) {
  const auto& wish = what.pod;
  out.begin_object();
  pair(out, "name", clones ? "clone" : container_name);
  pair(out, "image", wish.image.empty() ? from.image : wish.image);
  out.key("command").begin_array().string("sh").string("-c").string(clones ? clone : init).end_array();
  pair(out, "workingDir", "/workspace");
  if (clones)
    pair(out, "terminationMessagePolicy", "FallbackToLogsOnError");
  variables(out, what, clones);
  out.key("securityContext").begin_object();
  out.key("allowPrivilegeEscalation").boolean(false);
  out.key("capabilities").begin_object().key("drop").begin_array().string("ALL").end_array().end_object();
  out.end_object();
  out.key("resources").begin_object();
  out.key("limits").begin_object();
  pair(out, "cpu", wish.cpu.empty() ? from.cpu_limit : wish.cpu);
  pair(out, "memory", wish.memory.empty() ? from.memory_limit : wish.memory);
  out.end_object();
  out.key("requests").begin_object();
  pair(out, "cpu", "50m");
  pair(out, "memory", "64Mi");
  out.end_object().end_object();
  out.key("volumeMounts").begin_array();
  mount(out, "workspace", "/workspace");
  mount(out, "run", from.run_folder);
  out.end_array().end_object();
}

void pod_spec(json::writer& out, const create_project& what, const pod_template& from) {
  out.key("spec").begin_object();
  out.key("automountServiceAccountToken").boolean(false);
  out.key("terminationGracePeriodSeconds").integer(5);
  out.key("securityContext").begin_object();
  out.key("runAsNonRoot").boolean(true);
  for (const auto* who : {"runAsUser", "runAsGroup", "fsGroup"})
    out.key(who).integer(from.user);
  out.key("seccompProfile").begin_object();
  pair(out, "type", "RuntimeDefault");
  out.end_object().end_object();
  if (!what.pod.repository.empty()) {
    out.key("initContainers").begin_array();
    container(out, what, from, true);
    out.end_array();
  }
  out.key("containers").begin_array();
  container(out, what, from, false);
  out.end_array();
  out.key("volumes").begin_array();
  empty_volume(out, "run");
  if (from.storage_class.empty())
    empty_volume(out, "workspace");
  out.end_array().end_object();
}

void claim(json::writer& out, const std::string& size, const pod_template& from) {
  out.key("volumeClaimTemplates").begin_array().begin_object();
  out.key("metadata").begin_object();
  pair(out, "name", "workspace");
  out.end_object();
  out.key("spec").begin_object();
  out.key("accessModes").begin_array().string("ReadWriteOnce").end_array();
  pair(out, "storageClassName", from.storage_class);
  out.key("resources").begin_object().key("requests").begin_object();
  pair(out, "storage", size.empty() ? from.storage : size);
  out.end_object().end_object().end_object().end_object().end_array();
}

} // namespace

std::string name_of_project(const std::string& id) {
  return "project-" + id;
}

std::vector<field_problem> objections_to(const create_project& what, const pod_template& from) {
  std::vector<field_problem> out;
  const auto& wish = what.pod;
  const auto allows = [](const std::vector<std::string>& patterns, const std::string& text) {
    return std::any_of(patterns.begin(), patterns.end(), [&](const auto& one) { return matches(one, text); });
  };
  if (!wish.image.empty() && !from.images.empty() && !allows(from.images, wish.image))
    out.push_back({"image", "is none of kubernetes.images"});
  if (!wish.storage.empty() && from.storage_class.empty())
    out.push_back({"storage", "needs kubernetes.storage_class: without one the workspace goes with the pod"});
  auto patterns = from.secret_patterns;
  constexpr std::string_view placeholder = "<id>";
  for (auto& one : patterns)
    if (const auto at = one.find(placeholder); at != std::string::npos)
      one.replace(at, placeholder.size(), what.id);
  for (std::size_t i = 0; i < wish.env_from.size(); ++i)
    if (!allows(patterns, wish.env_from[i]))
      out.push_back({"env_from[" + std::to_string(i) + "]",
                     "'" + wish.env_from[i] + "' matches none of kubernetes.secret_patterns"});
  return out;
}

std::string stateful_set(const create_project& what, const pod_template& from) {
  const auto& id = what.id;
  const auto& labels = what.labels;
  const auto name = name_of_project(id);
  json::writer out;
  out.begin_object();
  pair(out, "apiVersion", "apps/v1");
  pair(out, "kind", "StatefulSet");
  out.key("metadata").begin_object();
  pair(out, "name", name);
  own_labels(out, id);
  annotations(out, labels);
  out.end_object();
  out.key("spec").begin_object();
  out.key("replicas").integer(1);
  pair(out, "serviceName", name);
  out.key("selector").begin_object().key("matchLabels").begin_object();
  pair(out, id_label, id);
  out.end_object().end_object();
  out.key("template").begin_object();
  out.key("metadata").begin_object();
  own_labels(out, id);
  annotations(out, labels);
  out.end_object();
  pod_spec(out, what, from);
  out.end_object();
  if (!from.storage_class.empty())
    claim(out, what.pod.storage, from);
  out.end_object().end_object();
  return out.take();
}

std::string replicas(int n) {
  return R"({"spec":{"replicas":)" + std::to_string(n) + "}}";
}

} // namespace rdev::kubernetes
