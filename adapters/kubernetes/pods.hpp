// The pods of projects as they are now, and where in each of them commands run.
#pragma once

#include "messages/values/projects.hpp"

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace rdev::kubernetes {

struct pod {
  project what; // as the outside sees it
  std::string name;
  std::string uid;
  std::string container;    // the one that commands run in
  std::string container_id; // of its latest start; empty = never started
  bool container_runs = false;
  std::string why_not;  // it does not run: what happened, for people
  bool usable = false;  // commands may be started in it
  bool leaving = false; // being deleted
};

// What discovery has found. Thread-safe.
class pods {
public:
  // All pods at once, or news about one of them (by name; none = it is gone).
  void replace_all(std::vector<pod> all);
  void put(pod one);
  void remove(const std::string& name);

  // False: discovery has not yet seen the cluster, so that nothing is known of any pod.
  [[nodiscard]] bool known() const;
  [[nodiscard]] std::optional<pod> of_project(const std::string& project) const;
  [[nodiscard]] std::optional<pod> named(const std::string& name) const;
  [[nodiscard]] std::vector<pod> all() const;
  // Called after each change, by whoever made it. The former function is called no more once this has returned.
  void on_change(std::function<void()> call);
  // The same for each project that a change is about.
  void on_project(std::function<void(const std::string&)> call);

private:
  void keep(pod one);
  void drop(const std::string& name);
  void tell(const std::set<std::string>& projects);

  mutable std::mutex mutex_;
  bool known_ = false;
  std::map<std::string, pod> by_name_;
  std::map<std::string, std::set<std::string>> names_of_; // by project

  std::mutex calling_; // while one of these is called or changed
  std::function<void()> changed_;
  std::function<void(const std::string&)> project_changed_;
};

} // namespace rdev::kubernetes
