// A house for one actor under test: virtual time, one thread, and peers that the test plays itself.
#pragma once

#include "actors/surroundings.hpp"
#include "tests/support/watched.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

namespace rdev::test {

// What came back of one request: nothing yet, a reply, or a fault.
template <class Reply>
class asked {
public:
  [[nodiscard]] bool open() const {
    return box_->index() == 0;
  }
  // The reply; throws when there is none, which fails the test.
  Reply& reply() const {
    return std::get<Reply>(*box_);
  }
  [[nodiscard]] std::optional<fault> failed() const {
    const auto* why = std::get_if<failure>(box_.get());
    return why == nullptr ? std::nullopt : std::optional(why->code);
  }

private:
  friend class actor_house;
  std::shared_ptr<std::variant<std::monostate, Reply, failure>> box_ =
      std::make_shared<std::variant<std::monostate, Reply, failure>>();
};

// Has a played peer do something itself: a held promise, for example, can only be kept from within its actor.
struct errand {
  std::function<void()> what;
};

} // namespace rdev::test

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::test::errand)

namespace rdev::test {

struct virtual_time : caf::actor_system_config {
  virtual_time() {
    set("scheduler.policy", caf::atom("testing"));
    set("logger.verbosity", caf::atom("quiet"));
  }
};

class actor_house : public ::testing::Test {
protected:
  actor_house() {
    scheduler.clock().current_time += std::chrono::hours(1); // CAF takes time zero for "no time"
    time_of_this_house = &scheduler.clock();
  }

  ~actor_house() override {
    for (const auto& one : all_)
      caf::anon_send_exit(one, caf::exit_reason::kill);
    run();
    peers.clear();
  }

  [[nodiscard]] surroundings around() {
    surroundings out{&peers, &lines, &counts, &health};
    out.boot_clock = [] {
      return std::chrono::duration_cast<std::chrono::milliseconds>(time_of_this_house->now().time_since_epoch());
    };
    out.audited = &for_records;
    return out;
  }
  // Whether this text would be hidden now.
  [[nodiscard]] bool is_hidden(std::string_view text) const {
    return hidden_by.redact(text).has_value();
  }

  // Everything that can happen at this moment of virtual time.
  void run() {
    while (scheduler.try_run_once()) {
    }
  }
  // Lets time pass, in small steps, so that timers which set timers go off too.
  void advance(std::chrono::milliseconds d) {
    constexpr std::chrono::milliseconds step{10};
    for (; d > std::chrono::milliseconds::zero(); d -= step) {
      scheduler.clock().advance_time(std::min(d, step));
      run();
    }
  }

  // Spawns an actor under test; what is detached in production is not here.
  template <class Behavior, class... Ts>
  auto open(Behavior behavior, Ts&&... xs) {
    auto one = system.spawn(behavior, std::forward<Ts>(xs)...);
    all_.push_back(caf::actor_cast<caf::actor>(one));
    return one;
  }

  // Puts a peer into the directory that answers as the test says. Messages without a handler are dropped.
  template <class Peer, class... Handlers>
  Peer play(Handlers... handlers) {
    return play_with<Peer>([=](caf::event_based_actor*) { return caf::behavior{handlers...}; });
  }
  template <class Peer, class Maker>
  Peer play_with(Maker maker) {
    auto one = system.spawn([=](caf::event_based_actor* me) -> caf::behavior {
      me->set_default_handler(caf::drop);
      return caf::message_handler{[](errand& work) { work.what(); }}.or_else(maker(me));
    });
    all_.push_back(one);
    auto handle = caf::actor_cast<Peer>(one);
    peers.set(handle);
    return handle;
  }

  // Asks and lets everybody run; what is still open may be answered later.
  template <class Reply, class Handle, class Message>
  asked<Reply> ask(const Handle& who, Message what) {
    auto out = send<Reply>(who, std::move(what));
    run();
    return out;
  }
  // Only puts the request into the mailbox (once run() is called).
  template <class Reply, class Handle, class Message>
  asked<Reply> send(const Handle& who, Message what) {
    asked<Reply> out;
    auto box = out.box_;
    all_.push_back(system.spawn([=](caf::event_based_actor* me) {
      me->request(who, caf::infinite, what)
          .then([box](Reply& reply) { *box = std::move(reply); }, [box](const caf::error& e) { *box = to_failure(e); });
    }));
    return out;
  }
  template <class Handle, class Message>
  void tell(const Handle& who, Message what) {
    caf::anon_send(who, std::move(what));
    run();
  }
  // Runs `what` within the peer that plays this part.
  template <class Peer>
  void within(std::function<void()> what) {
    tell(caf::actor_cast<caf::actor>(peers.get<Peer>()), errand{std::move(what)});
  }
  template <class Handle>
  void kill(const Handle& who) {
    caf::anon_send_exit(who, caf::exit_reason::kill);
    run();
  }

  // These outlive the actor system.
  directory peers;
  watched_log lines;
  watched_metrics counts;
  redactor hidden_by = *redactor::make({});
  censor for_records{hidden_by, counts, "audit"};
  health_board health;
  virtual_time settings_of_caf;
  caf::actor_system system{settings_of_caf};
  // What a plain function can see of the virtual time; tests run one after the other.
  inline static caf::detail::test_actor_clock* time_of_this_house = nullptr;
  caf::scheduler::test_coordinator& scheduler = dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());

private:
  std::vector<caf::actor> all_;
};

} // namespace rdev::test
