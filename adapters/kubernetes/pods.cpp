#include "adapters/kubernetes/pods.hpp"

namespace rdev::kubernetes {

void pods::replace_all(std::vector<pod> all) {
  std::set<std::string> about;
  {
    std::lock_guard guard(mutex_);
    known_ = true;
    for (const auto& [project, names] : names_of_)
      about.insert(project);
    by_name_.clear();
    names_of_.clear();
    for (auto& one : all)
      keep(std::move(one));
    for (const auto& [project, names] : names_of_)
      about.insert(project);
  }
  tell(about);
}

void pods::keep(pod one) {
  names_of_[one.what.id].insert(one.name);
  const auto name = one.name;
  by_name_.insert_or_assign(name, std::move(one));
}

void pods::drop(const std::string& name) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end())
    return;
  const auto names = names_of_.find(found->second.what.id);
  names->second.erase(name);
  if (names->second.empty())
    names_of_.erase(names);
  by_name_.erase(found);
}

void pods::put(pod one) {
  std::set<std::string> about{one.what.id};
  {
    std::lock_guard guard(mutex_);
    if (const auto before = by_name_.find(one.name); before != by_name_.end())
      about.insert(before->second.what.id);
    drop(one.name);
    keep(std::move(one));
  }
  tell(about);
}

void pods::remove(const std::string& name) {
  std::set<std::string> about;
  {
    std::lock_guard guard(mutex_);
    if (const auto before = by_name_.find(name); before != by_name_.end())
      about.insert(before->second.what.id);
    drop(name);
  }
  tell(about);
}

void pods::tell(const std::set<std::string>& projects) {
  std::lock_guard guard(calling_);
  if (changed_)
    changed_();
  if (project_changed_)
    for (const auto& one : projects)
      project_changed_(one);
}

bool pods::known() const {
  std::lock_guard guard(mutex_);
  return known_;
}

// Of two pods with one project id none is taken: nobody could say where a command ran.
std::optional<pod> pods::of_project(const std::string& project) const {
  std::lock_guard guard(mutex_);
  const auto names = names_of_.find(project);
  if (names == names_of_.end())
    return std::nullopt;
  std::optional<pod> out = by_name_.at(*names->second.begin());
  if (names->second.size() > 1) {
    out->usable = false;
    out->what.status = project_status::unhealthy;
    out->what.reason = "duplicate";
    out->what.ready = false;
  }
  return out;
}

std::optional<pod> pods::named(const std::string& name) const {
  std::lock_guard guard(mutex_);
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<pod> pods::all() const {
  std::lock_guard guard(mutex_);
  std::vector<pod> out;
  for (const auto& [name, one] : by_name_)
    out.push_back(one);
  return out;
}

void pods::on_change(std::function<void()> call) {
  std::lock_guard guard(calling_);
  changed_ = std::move(call);
}

void pods::on_project(std::function<void(const std::string&)> call) {
  std::lock_guard guard(calling_);
  project_changed_ = std::move(call);
}

} // namespace rdev::kubernetes
