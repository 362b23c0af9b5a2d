#include "adapters/kubernetes/wanted_projects.hpp"

namespace rdev::kubernetes {

void wanted_projects::replace_all(std::vector<wanted_project> all) {
  std::lock_guard guard(mutex_);
  known_ = true;
  by_id_.clear();
  for (auto& one : all) {
    const auto id = one.what.id;
    by_id_.insert_or_assign(id, std::move(one));
  }
}

void wanted_projects::put(wanted_project one) {
  std::lock_guard guard(mutex_);
  const auto found = by_id_.find(one.what.id);
  if (found == by_id_.end())
    by_id_.emplace(one.what.id, std::move(one));
  else if (one.version >= found->second.version)
    found->second = std::move(one);
}

void wanted_projects::remove(const wanted_project& last) {
  std::lock_guard guard(mutex_);
  const auto found = by_id_.find(last.what.id);
  if (found != by_id_.end() && last.version >= found->second.version)
    by_id_.erase(found);
}

bool wanted_projects::known() const {
  std::lock_guard guard(mutex_);
  return known_;
}

std::optional<wanted_project> wanted_projects::find(const std::string& id) const {
  std::lock_guard guard(mutex_);
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<wanted_project> wanted_projects::all() const {
  std::lock_guard guard(mutex_);
  std::vector<wanted_project> out;
  out.reserve(by_id_.size());
  for (const auto& [id, one] : by_id_)
    out.push_back(one);
  return out;
}

} // namespace rdev::kubernetes
