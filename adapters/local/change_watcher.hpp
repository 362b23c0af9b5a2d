// Tells when something changes in the run folders of live commands: by inotify, and at the latest after half a second,
// since a lost event or a killed shim must not go unnoticed. One thread.
#pragma once

#include "adapters/local/run_files.hpp"
#include "messages/values/ids.hpp"

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

namespace rdev::local {

class change_watcher {
public:
  change_watcher();
  ~change_watcher();
  change_watcher(const change_watcher&) = delete;
  change_watcher& operator=(const change_watcher&) = delete;

  // Waits for a call that is under way: the former function is never called again. Not from within a call.
  void on_change(std::function<void(const command_id&)> call);
  // A command that is being watched already stays so.
  void add(const command_id& id, const std::string& folder);
  void remove(const command_id& id);

private:
  void run(const std::stop_token& stop);
  void read_events();
  void report(const command_id& id);
  void report_all();

  std::mutex calling_; // while call_ is called or changed
  std::function<void(const command_id&)> call_;
  std::mutex mutex_;                            // of the two maps
  std::unordered_map<command_id, int> watches_; // -1: inotify is out of watches, the tick must do
  std::unordered_map<int, command_id> commands_;
  descriptor inotify_;
  descriptor wake_;
  std::jthread thread_; // last: it uses all of the above
};

} // namespace rdev::local
