#include "adapters/kubernetes/places.hpp"

#include "messages/values/time.hpp"

namespace rdev::kubernetes {

namespace {

using std::chrono::milliseconds;

constexpr auto interval = milliseconds(5'000);
constexpr auto interval_until_greeted = milliseconds(500);

} // namespace

known_places::known_places(shim_calls& calls, pods& seen, rdev::log& log, hooks call)
    : calls_(calls), seen_(seen), log_(log), call_(std::move(call)) {
  seen_.on_change([this] { wake(); });
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

known_places::~known_places() {
  thread_.request_stop();
  wake();
  thread_.join();
  seen_.on_change({});
}

std::map<std::string, place> known_places::all() const {
  std::map<std::string, place> out;
  {
    std::lock_guard guard(mutex_);
    out = by_project_;
  }
  std::erase_if(out, [this](const auto& one) { return !calls_.answers(one.second.where); });
  return out;
}

std::optional<place> known_places::known(const std::string& project) const {
  std::lock_guard guard(mutex_);
  const auto found = by_project_.find(project);
  return found == by_project_.end() ? std::nullopt : std::optional(found->second);
}

result<place> known_places::of(const std::string& project) const {
  if (auto found = known(project))
    return std::move(*found);
  return failure{fault::unavailable, "the pod of project '" + project + "' is not ready"};
}

void known_places::changed(const place& where) {
  {
    std::lock_guard guard(mutex_);
    const auto found = by_project_.find(where.where.what.id);
    if (found != by_project_.end() && found->second.shim.mark == where.shim.mark)
      by_project_.erase(found);
  }
  wake();
}

void known_places::wake() {
  {
    std::lock_guard guard(waking_);
    news_ = true;
  }
  wakes_.notify_one();
}

void known_places::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const bool greeted_all = find();
    if (stop.stop_requested())
      return;
    std::unique_lock lock(waking_);
    const auto pause = greeted_all ? interval : interval_until_greeted;
    const bool news = wakes_.wait_for(lock, pause, [&] { return news_ || stop.stop_requested(); });
    news_ = false;
    lock.unlock();
    if (!news)
      call_.quiet();
  }
}

// Greets containers that are new; false: not all of them have answered.
bool known_places::find() {
  const auto all = seen_.all();
  std::vector<pod> strangers;
  std::vector<pod> gone;
  {
    std::lock_guard guard(mutex_);
    std::erase_if(by_project_, [&](const auto& known) {
      const auto now = seen_.of_project(known.first);
      const bool stays = now && now->usable && same(*now, known.second.where);
      if (!stays)
        gone.push_back(known.second.where);
      return !stays;
    });
    for (const auto& one : all)
      if (one.usable && !by_project_.contains(one.what.id))
        strangers.push_back(one);
  }
  for (const auto& one : gone)
    calls_.forget(one); // what is known of the old container says nothing of a new one
  bool good = true;
  for (const auto& one : strangers)
    if (const auto now = seen_.of_project(one.what.id); now && now->usable && !greet(*now))
      good = false;
  return good;
}

bool known_places::greet(const pod& one) {
  if (!calls_.answers(one))
    return false;
  const auto on = calls_.channel();
  const auto asked_at = boot_clock_now();
  const auto said = calls_.ask({one, {}}, on, greet_order(on));
  const auto here = said ? parse_greeting(*said) : std::nullopt;
  if (!here) {
    log_.warn("a pod does not answer",
              {{"project", one.what.id}, {"pod", one.name}, {"why", said ? *said : said.error().message}});
    return false;
  }
  // The name of a pod may have been given to another one meanwhile.
  const auto now = seen_.of_project(one.what.id);
  if (!now || !same(*now, one) || !now->usable)
    return false;
  call_.greeted(one.what.id, here->kept);
  std::lock_guard guard(mutex_);
  by_project_[one.what.id] = {one, {here->mark, here->uptime - asked_at}};
  return true;
}

} // namespace rdev::kubernetes
