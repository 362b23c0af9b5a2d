// An actor without mailbox and thread: it asks on behalf of code that is no actor, and hands each reply to a function,
// in the thread of whoever answered. Owns: the calls under way; a call without an answer is ended at its deadline.
#pragma once

#include <caf/error.hpp>
#include <caf/mailbox_element.hpp>
#include <caf/message.hpp>
#include <caf/monitorable_actor.hpp>
#include <caf/sec.hpp>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>

namespace rdev {

class reply_port final : public caf::monitorable_actor {
public:
  using answer_to = std::function<void(caf::message)>; // the reply, or a caf::error
  using clock = std::chrono::steady_clock;

  explicit reply_port(caf::actor_config& config);
  ~reply_port() override;

  // Asks `whom`; `done` is called exactly once, at the latest a sweep after `deadline`.
  template <class Message>
  void ask(const caf::strong_actor_ptr& whom, std::chrono::milliseconds deadline, Message what, answer_to done) {
    const auto call = note(deadline, done);
    if (!call)
      done(caf::make_message(caf::make_error(caf::sec::request_receiver_down)));
    else if (whom)
      whom->enqueue(caf::make_mailbox_element(ctrl(), *call, {}, std::move(what)), nullptr);
    else
      finish(call->response_id(), caf::make_message(caf::make_error(caf::sec::request_receiver_down)));
  }

  // Ends every call under way with an error; a later one ends at once, before ask() returns. When this returns no
  // other thread is in a `done` any more. Not to be called from one.
  void close();

  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit* unit) override;
  void on_destroy() override;
  [[nodiscard]] const char* name() const override {
    return "reply_port";
  }

private:
  struct under_way {
    answer_to done;
    clock::time_point until;
  };

  // Takes `done`, unless the port is closed.
  std::optional<caf::message_id> note(std::chrono::milliseconds deadline, answer_to& done);
  void finish(caf::message_id response, caf::message reply);
  void sweep();

  std::mutex mutex_;
  std::unordered_map<std::uint64_t, under_way> calls_;
  std::uint64_t last_ = 0;
  std::size_t calling_ = 0; // threads that hand a reply over
  std::condition_variable quiet_;
  bool closed_ = false;
  std::jthread sweeper_; // last: it uses all of the above
};

} // namespace rdev
