#include "adapters/local/change_watcher.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <unordered_set>
#include <vector>

namespace rdev::local {

namespace {

constexpr int tick_ms = 500;

} // namespace

change_watcher::change_watcher()
    : inotify_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)), wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {
}

change_watcher::~change_watcher() {
  thread_.request_stop();
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(wake_.get(), &one, sizeof one);
}

void change_watcher::on_change(std::function<void(const command_id&)> call) {
  std::lock_guard guard(calling_);
  call_ = std::move(call);
}

void change_watcher::add(const command_id& id, const std::string& folder) {
  std::lock_guard guard(mutex_);
  if (watches_.contains(id))
    return;
  const int watch = ::inotify_add_watch(inotify_.get(), folder.c_str(), IN_MODIFY | IN_MOVED_TO);
  watches_[id] = watch;
  if (watch >= 0)
    commands_[watch] = id;
}

void change_watcher::remove(const command_id& id) {
  std::lock_guard guard(mutex_);
  const auto found = watches_.find(id);
  if (found == watches_.end())
    return;
  if (found->second >= 0) {
    ::inotify_rm_watch(inotify_.get(), found->second);
    commands_.erase(found->second);
  }
  watches_.erase(found);
}

void change_watcher::run(const std::stop_token& stop) {
  auto next_tick = std::chrono::steady_clock::now() + std::chrono::milliseconds(tick_ms);
  while (!stop.stop_requested()) {
    std::array<pollfd, 2> fds{{{inotify_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(next_tick - std::chrono::steady_clock::now()).count();
    ::poll(fds.data(), fds.size(), static_cast<int>(std::max<std::int64_t>(left, 0)));
    if ((fds[0].revents & POLLIN) != 0)
      read_events();
    if (std::chrono::steady_clock::now() >= next_tick) {
      report_all();
      next_tick = std::chrono::steady_clock::now() + std::chrono::milliseconds(tick_ms);
    }
  }
}

void change_watcher::read_events() {
  alignas(inotify_event) std::array<char, 64 * 1024> buffer{};
  std::unordered_set<command_id> changed;
  const auto n = ::read(inotify_.get(), buffer.data(), buffer.size());
  for (std::size_t at = 0; n > 0 && at + sizeof(inotify_event) <= static_cast<std::size_t>(n);) {
    inotify_event event{};
    std::memcpy(&event, buffer.data() + at, sizeof event);
    at += sizeof event + event.len;
    std::lock_guard guard(mutex_);
    if (const auto found = commands_.find(event.wd); found != commands_.end())
      changed.insert(found->second);
  }
  for (const auto& id : changed)
    report(id);
}

void change_watcher::report(const command_id& id) {
  std::lock_guard guard(calling_);
  if (call_)
    call_(id);
}

void change_watcher::report_all() {
  std::vector<command_id> ids;
  {
    std::lock_guard guard(mutex_);
    for (const auto& [id, watch] : watches_)
      ids.push_back(id);
  }
  for (const auto& id : ids)
    report(id);
}

} // namespace rdev::local
