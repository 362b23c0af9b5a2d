#include "adapters/cli/canceller.hpp"

#include "adapters/cli/terminal_output.hpp"

namespace rdev::cli {

canceller::canceller(const account& who, milliseconds budget)
    : server_(who, time_, budget), thread_([this] { run(); }) {
}

canceller::~canceller() {
  time_.stop();
  std::unique_lock held(mutex_);
  stopping_ = true;
  changed_.notify_all();
  // A request that was just about to begin when stop() came is caught by the next one.
  while (!changed_.wait_for(held, std::chrono::milliseconds(20), [this] { return ended_; }))
    server_.stop();
}

void canceller::aim(const std::string& command_id) {
  const std::lock_guard held(mutex_);
  target_ = command_id;
  changed_.notify_all();
}

void canceller::fire() {
  const std::lock_guard held(mutex_);
  fired_ = true;
  changed_.notify_all();
}

void canceller::wait_for_answer(std::chrono::milliseconds at_most) {
  std::unique_lock held(mutex_);
  changed_.wait_for(held, at_most, [this] { return answered_; });
}

void canceller::run() {
  std::unique_lock held(mutex_);
  changed_.wait(held, [this] { return stopping_ || (fired_ && target_); });
  if (!stopping_) {
    const auto target = *target_;
    held.unlock();
    ask(target);
    held.lock();
    answered_ = true;
  }
  ended_ = true;
  changed_.notify_all();
}

void canceller::ask(const std::string& command_id) {
  const auto answer = server_.ask("POST", "/commands/" + percent_encoded(command_id) + "/cancel");
  const auto* problem = std::get_if<trouble>(&answer);
  // 409: it has ended by itself, which the event stream is about to say. Interrupted: nobody waits for it any more.
  if (problem == nullptr || problem->kind == trouble_kind::interrupted ||
      problem->message.find("(CONFLICT)") != std::string::npos)
    return;
  complain("could not cancel " + command_id + ", it may go on: " + problem->message);
}

} // namespace rdev::cli
