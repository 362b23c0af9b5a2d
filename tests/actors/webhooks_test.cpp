#include "actors/webhooks.hpp"

#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

namespace rdev::webhooks {
namespace {

using Webhooks = test::actor_house;

TEST_F(Webhooks, CountsTheFactsThatWereCommitted) {
  const auto made = system.spawn(behavior);
  const auto& state = caf::actor_cast<actor::stateful_pointer<webhooks::state>>(made)->state;
  tell(made, committed{test::a_request(), 2});
  tell(made, committed{test::a_request(), 1});
  EXPECT_EQ(state.events_seen, 3);
  kill(made);
}

} // namespace
} // namespace rdev::webhooks
