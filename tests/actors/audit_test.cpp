#include "actors/audit.hpp"

#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

namespace rdev::audit {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Audit : public test::actor_house {
protected:
  void start() {
    audit = open(behavior, around(), settings, memory::make_audit_log(world));
    run();
  }
  void note(int n) {
    for (int i = 0; i < n; ++i) {
      audit_record row;
      row.action = "request.refused";
      row.target = std::to_string(noted++);
      tell(audit, record{std::move(row)});
    }
  }
  std::vector<std::string> written() {
    std::vector<std::string> out;
    for (const auto& row : world->audit_rows())
      out.push_back(row.what.target);
    return out;
  }

  std::shared_ptr<memory::world> world = memory::make_world();
  config settings;
  actor audit;
  int noted = 0;
};

TEST_F(Audit, WaitsForOthersBeforeItWrites) {
  start();
  note(2);
  advance(50ms);
  note(1);
  EXPECT_THAT(world->calls("audit.append"), IsEmpty());
  advance(60ms);
  EXPECT_THAT(world->calls("audit.append"), ElementsAre(3));
  EXPECT_THAT(written(), ElementsAre("0", "1", "2"));
  EXPECT_EQ(counts.count("audit_records"), 3);
}

TEST_F(Audit, WritesNoMoreThanTheBatchLimitAtOnce) {
  settings.batch = 4;
  start();
  note(10);
  advance(200ms);
  EXPECT_THAT(world->calls("audit.append"), ElementsAre(4, 4, 2));
}

TEST_F(Audit, KeepsRecordsInOrderWhileTheStoreIsAway) {
  start();
  world->unreachable(true);
  note(2);
  advance(3s);
  note(1);
  EXPECT_THAT(written(), IsEmpty());
  EXPECT_GE(counts.count("fault_seen audit"), 2);
  world->unreachable(false);
  advance(1500ms);
  EXPECT_THAT(written(), ElementsAre("0", "1", "2"));
  note(1);
  advance(200ms);
  EXPECT_EQ(written().size(), 4U);
}

TEST_F(Audit, WritesNothingTwiceWhenOnlyTheAnswerOfAWriteWasLost) {
  start();
  world->fail_next_of("audit.append", fault::unknown_outcome, 2, memory::moment::after);
  note(2);
  advance(1s);
  note(1);
  advance(5s);
  EXPECT_THAT(world->calls("audit.append"), ElementsAre(2, 3, 3));
  EXPECT_THAT(written(), ElementsAre("0", "1", "2"));
  EXPECT_EQ(counts.count("audit_records"), 3);
}

TEST_F(Audit, DropsAndCountsWhatGoesBeyondItsCap) {
  settings.most_waiting = 3;
  start();
  world->unreachable(true);
  note(5);
  EXPECT_EQ(counts.count("fault_seen audit_dropped"), 2);
  world->unreachable(false);
  advance(1500ms);
  ASSERT_EQ(world->audit_rows().size(), 4U);
  EXPECT_THAT(written(), ElementsAre("0", "1", "2", ""));
  EXPECT_EQ(world->audit_rows()[3].what.action, "audit.dropped");
  EXPECT_EQ(world->audit_rows()[3].what.detail.at("count"), "2") << "how many is on record";
}

TEST_F(Audit, WritesWhatItHasWhenItIsStopped) {
  start();
  note(2);
  caf::anon_send_exit(audit, caf::exit_reason::user_shutdown);
  run();
  EXPECT_THAT(written(), ElementsAre("0", "1"));
}

TEST_F(Audit, StopsAlsoWhileTheStoreIsAway) {
  start();
  note(1);
  world->unreachable(true);
  caf::anon_send_exit(audit, caf::exit_reason::user_shutdown);
  run();
  world->unreachable(false);
  advance(5s);
  EXPECT_THAT(written(), IsEmpty());
}

TEST_F(Audit, CountsRowsThatOtherLanesCommitted) {
  start();
  tell(audit, committed{test::a_request(), 3});
  EXPECT_EQ(counts.count("audit_records"), 3);
  advance(1s);
  EXPECT_THAT(world->calls("audit.append"), IsEmpty());
}

} // namespace
} // namespace rdev::audit
