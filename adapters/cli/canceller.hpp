// Asks the server to cancel a command, on a thread and a connection of its own, while the main thread goes on showing
// output (and may be blocked in writing it).
#pragma once

#include "adapters/cli/server.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace rdev::cli {

class canceller {
public:
  canceller(const account& who, milliseconds budget);
  // Breaks off what is under way.
  ~canceller();

  // Whom it would be about; known once the server has accepted the command.
  void aim(const std::string& command_id);
  // Now, or as soon as it is known whom. Does not block; once is enough.
  void fire();
  // Until there is an answer, but no longer than that.
  void wait_for_answer(std::chrono::milliseconds at_most);

private:
  void run();
  void ask(const std::string& command_id);

  system_clock time_;
  server server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::string> target_;
  bool fired_ = false;
  bool answered_ = false;
  bool stopping_ = false;
  bool ended_ = false;
  std::jthread thread_; // last: it uses all of the above
};

} // namespace rdev::cli
