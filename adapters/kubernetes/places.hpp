// Where commands can be started: containers that are ready and whose shim has greeted us. A thread of its own greets
// those that are new.
#pragma once

#include "adapters/kubernetes/shim_calls.hpp"
#include "adapters/log.hpp"
#include "messages/values/ids.hpp"

#include <thread>
#include <vector>

namespace rdev::kubernetes {

class known_places {
public:
  struct hooks {
    std::function<void(const std::string& project, const std::vector<command_id>& kept)> greeted;
    std::function<void()> quiet; // every 5 s in which no pod changed
  };

  // All of these must live longer.
  known_places(shim_calls& calls, pods& seen, rdev::log& log, hooks call);
  ~known_places();
  known_places(const known_places&) = delete;
  known_places& operator=(const known_places&) = delete;

  // By project; without those whose pod does not answer.
  [[nodiscard]] std::map<std::string, place> all() const;
  // Fault `unavailable`: it is not ready.
  [[nodiscard]] result<place> of(const std::string& project) const;
  [[nodiscard]] std::optional<place> known(const std::string& project) const;
  // The container is another one by now: it is greeted anew.
  void changed(const place& where);

private:
  void run(const std::stop_token& stop);
  void wake();
  bool find();
  bool greet(const pod& one);

  shim_calls& calls_;
  pods& seen_;
  rdev::log& log_;
  const hooks call_;

  mutable std::mutex mutex_;
  std::map<std::string, place> by_project_;

  std::mutex waking_;
  std::condition_variable wakes_;
  bool news_ = false;
  std::jthread thread_; // last: it uses all of the above
};

} // namespace rdev::kubernetes
