#include "actors/reply_port.hpp"

#include <caf/actor_control_block.hpp>
#include <caf/exit_reason.hpp>

#include <vector>

namespace rdev {

namespace {

constexpr auto sweep_interval = std::chrono::milliseconds(250);

} // namespace

reply_port::reply_port(caf::actor_config& config)
    : caf::monitorable_actor(config), sweeper_([this](const std::stop_token& stop) {
        std::mutex mutex;
        std::condition_variable_any tick;
        std::unique_lock lock(mutex);
        while (!tick.wait_for(lock, stop, sweep_interval, [&] { return stop.stop_requested(); }))
          sweep();
      }) {
}

reply_port::~reply_port() = default;

std::optional<caf::message_id> reply_port::note(std::chrono::milliseconds deadline, answer_to& done) {
  std::lock_guard guard(mutex_);
  if (closed_)
    return std::nullopt;
  const auto call = caf::make_message_id(++last_);
  calls_.emplace(call.response_id().integer_value(), under_way{std::move(done), clock::now() + deadline});
  return call;
}

// A late reply, of a call that has been ended, finds nothing and is dropped.
void reply_port::finish(caf::message_id response, caf::message reply) {
  answer_to done;
  {
    std::lock_guard guard(mutex_);
    const auto found = calls_.find(response.integer_value());
    if (found == calls_.end())
      return;
    done = std::move(found->second.done);
    calls_.erase(found);
    ++calling_;
  }
  done(std::move(reply));
  std::lock_guard guard(mutex_);
  if (--calling_ == 0)
    quiet_.notify_all();
}

void reply_port::enqueue(caf::mailbox_element_ptr what, caf::execution_unit*) {
  if (what && what->mid.is_response())
    finish(what->mid, what->move_content_to_message());
}

void reply_port::sweep() {
  std::vector<answer_to> overdue;
  {
    std::lock_guard guard(mutex_);
    const auto now = clock::now();
    for (auto it = calls_.begin(); it != calls_.end();) {
      if (closed_ || it->second.until <= now) {
        overdue.push_back(std::move(it->second.done));
        it = calls_.erase(it);
      } else {
        ++it;
      }
    }
  }
  for (auto& done : overdue)
    done(caf::make_message(caf::make_error(caf::sec::request_timeout)));
}

void reply_port::close() {
  sweeper_.request_stop();
  if (sweeper_.joinable())
    sweeper_.join();
  {
    std::lock_guard guard(mutex_);
    closed_ = true;
  }
  sweep();
  std::unique_lock lock(mutex_);
  quiet_.wait(lock, [this] { return calling_ == 0; });
}

void reply_port::on_destroy() {
  if (!getf(is_cleaned_up_flag))
    cleanup(caf::exit_reason::unreachable, nullptr);
  caf::monitorable_actor::on_destroy();
}

} // namespace rdev
