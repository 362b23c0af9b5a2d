#include "adapters/kubernetes/pods.hpp"

namespace rdev::kubernetes {

void pods::replace_all(std::vector<pod> all) {
  {
    std::lock_guard guard(mutex_);
    known_ = true;
    by_name_.clear();
    for (auto& one : all) {
      const auto name = one.name;
      by_name_.insert_or_assign(name, std::move(one));
    }
  }
  if (changed_)
    changed_();
}

void pods::put(pod one) {
  {
    std::lock_guard guard(mutex_);
    const auto name = one.name;
    by_name_.insert_or_assign(name, std::move(one));
  }
  if (changed_)
    changed_();
}

void pods::remove(const std::string& name) {
  {
    std::lock_guard guard(mutex_);
    by_name_.erase(name);
  }
  if (changed_)
    changed_();
}

bool pods::known() const {
  std::lock_guard guard(mutex_);
  return known_;
}

// Of two pods with one project id none is taken: nobody could say where a command ran.
std::optional<pod> pods::of_project(const std::string& project) const {
  std::lock_guard guard(mutex_);
  std::optional<pod> out;
  for (const auto& [name, one] : by_name_) {
    if (one.what.id != project)
      continue;
    if (out) {
      out->usable = false;
      out->what.status = project_status::unhealthy;
      out->what.reason = "duplicate";
      out->what.ready = false;
      return out;
    }
    out = one;
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
  changed_ = std::move(call);
}

} // namespace rdev::kubernetes
