#include "adapters/memory/memory_projects.hpp"

namespace rdev::memory {

void projects::put(project what) {
  std::lock_guard guard(mutex_);
  auto id = what.id;
  all_[id] = std::move(what);
}

void projects::set_status(const std::string& id, project_status status) {
  std::lock_guard guard(mutex_);
  all_.at(id).status = status;
}

void projects::fail_next(fault what, int times) {
  std::lock_guard guard(mutex_);
  planned_ = {what, times};
}

std::optional<failure> projects::strikes() {
  if (planned_.second <= 0)
    return std::nullopt;
  --planned_.second;
  return failure{planned_.first, "a fault planned by the test"};
}

result<std::vector<project>> projects::list() {
  std::lock_guard guard(mutex_);
  if (auto why = strikes())
    return std::move(*why);
  std::vector<project> out;
  for (const auto& [id, what] : all_)
    out.push_back(what);
  return out;
}

result<std::optional<project>> projects::find(const std::string& id) {
  std::lock_guard guard(mutex_);
  if (auto why = strikes())
    return std::move(*why);
  const auto found = all_.find(id);
  return found == all_.end() ? std::nullopt : std::optional(found->second);
}

result<bool> projects::create(const create_project& what) {
  std::lock_guard guard(mutex_);
  if (auto why = strikes())
    return std::move(*why);
  project fresh;
  fresh.id = what.id;
  fresh.phase = "Running";
  fresh.labels = what.labels;
  fresh.created_at = now_utc();
  return all_.emplace(what.id, std::move(fresh)).second;
}

result<bool> projects::remove(const std::string& id) {
  std::lock_guard guard(mutex_);
  if (auto why = strikes())
    return std::move(*why);
  return all_.erase(id) > 0;
}

} // namespace rdev::memory
