#include "actors/audit_sealer.hpp"

#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/audit_records.hpp"

#include <gmock/gmock.h>

namespace rdev::audit_sealer {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class AuditSealer : public test::actor_house {
protected:
  // The numbers of the checkpoints that it was told of.
  class told_log final : public log {
  public:
    [[nodiscard]] bool enabled(log_level) const override {
      return true;
    }
    void write(log_level, log_message message, std::span<const log_field> fields) override {
      for (const auto& f : fields)
        if (std::string_view(message) == "audit checkpoint" && f.name == "seq")
          told.push_back(std::get<std::int64_t>(f.value));
    }
    std::vector<std::int64_t> told;
  };

  void start() {
    auto here = around();
    here.log = &log;
    settings.node = node;
    open(behavior, here, settings, memory::make_audit_chain(world));
    run();
  }
  void happens(int n) const {
    const audit_record row{{}, "tester", "x", "x", {}, "done", {}, {}, {}};
    for (int i = 0; i < n; ++i)
      test::put(*memory::make_audit_log(world), row);
  }
  [[nodiscard]] std::size_t calls(std::string_view name) const {
    return world->calls(name).size();
  }

  std::shared_ptr<memory::world> world = memory::make_world();
  node_id node = node_id::make();
  config settings;
  told_log log;
};

TEST_F(AuditSealer, LooksAtEveryInterval) {
  start();
  EXPECT_EQ(calls("seals.seal"), 1U);
  advance(2s);
  EXPECT_EQ(calls("seals.seal"), 5U);
}

class kept_outside final : public checkpoint_keeper {
public:
  result<done> keep(const audit_checkpoint& what) override {
    if (away)
      return failure{fault::unavailable, "no space left"};
    kept.push_back(what.seq);
    return done{};
  }
  bool away = false;
  std::vector<std::int64_t> kept;
};

TEST_F(AuditSealer, KeepsOutsideWhatItTellsTheLog) {
  const auto outside = std::make_shared<kept_outside>();
  settings.outside = outside;
  happens(4);
  start();
  advance(3min);
  EXPECT_THAT(log.told, ElementsAre(4));
  EXPECT_THAT(outside->kept, ElementsAre(4)) << "once";
}

TEST_F(AuditSealer, TriesAgainWhatCouldNotBeKeptOutside) {
  const auto outside = std::make_shared<kept_outside>();
  outside->away = true;
  settings.outside = outside;
  happens(4);
  start();
  advance(61s);
  EXPECT_EQ(counts.count("fault_seen audit_checkpoint_file"), 1);
  outside->away = false;
  advance(60s);
  EXPECT_THAT(outside->kept, ElementsAre(4));
}

TEST_F(AuditSealer, SaysThatRecordsAreNotSealed) {
  const auto another = node_id::make();
  world->put_node(another);
  ASSERT_TRUE(memory::make_audit_chain(world)->seal(another, 1)->mine);
  happens(1);
  const auto written = world->audit_rows().at(0).at;
  world->set_clock([=] { return written + 60s; });
  start();
  advance(2min);
  EXPECT_EQ(counts.count("fault_seen audit_unsealed"), 0);
  world->set_clock([=] { return written + 61s; });
  advance(1min);
  EXPECT_EQ(counts.count("fault_seen audit_unsealed"), 1);
}

TEST_F(AuditSealer, SaysThatNobodyKnowsWhetherRecordsAreSealed) {
  world->fail_next_of("seals.oldest_unsealed", fault::unavailable, 2);
  start();
  advance(61s);
  EXPECT_EQ(counts.count("fault_seen audit_sealer"), 1);
  EXPECT_EQ(counts.count("fault_seen audit_unsealed"), 0);
  advance(60s);
  EXPECT_EQ(counts.count("fault_seen audit_sealer"), 2);
  EXPECT_EQ(counts.count("fault_seen audit_unsealed"), 1);
  advance(60s);
  EXPECT_EQ(counts.count("fault_seen audit_unsealed"), 1) << "it is known again";
}

TEST_F(AuditSealer, GoesOnAtOnceWhileThereAreMore) {
  settings.at_once = 2;
  happens(5);
  start();
  EXPECT_EQ(calls("seals.seal"), 3U);
}

TEST_F(AuditSealer, TellsTheLogOfTheLatestCheckpointOnce) {
  settings.at_once = 1;
  happens(2);
  start();
  EXPECT_THAT(log.told, IsEmpty());
  advance(61s);
  EXPECT_THAT(log.told, ElementsAre(2));
  advance(61s);
  EXPECT_THAT(log.told, ElementsAre(2)) << "nothing has been sealed meanwhile";
}

TEST_F(AuditSealer, SaysThatTheStoreIsAwayAndGoesOn) {
  happens(1);
  world->fail_next_of("seals.seal", fault::unavailable, 3);
  start();
  advance(1s);
  EXPECT_EQ(counts.count("fault_seen audit_sealer"), 3);
  advance(61s);
  EXPECT_THAT(log.told, ElementsAre(1));
}

TEST_F(AuditSealer, LooksForWhatIsPastItsRetentionEveryHour) {
  start();
  EXPECT_EQ(calls("seals.retire"), 1U);
  advance(3601s);
  EXPECT_EQ(calls("seals.retire"), 2U);
}

} // namespace
} // namespace rdev::audit_sealer
