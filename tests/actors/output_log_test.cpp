#include "actors/output_log.hpp"

#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

#include <stdexcept>

namespace rdev::output_log {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class OutputLog : public test::actor_house {
protected:
  OutputLog() {
    key = test::a_key();
    world->put_key(key);
    play<streams::actor>([this](const streams::grown& what) { grown.push_back(what.command); });
  }
  void start() {
    output = open(behavior, around(), settings, memory::make_output_store(world));
  }
  // A command that runs, and its token.
  lease a_running_command() {
    auto commands = memory::make_command_store(world);
    new_command one{
        {command_id::make(), key.id, key.family, test::a_script(), {}}, test::a_request(), "sample", {}, {}};
    EXPECT_TRUE(commands->submit({&one, 1}));
    const auto node = node_id::make();
    world->put_node(node);
    return commands->claim({node, "boot-1", 1, 64, {}})->at(0);
  }
  static append a_piece(const lease& of, std::uint32_t seq, std::uint64_t offset, std::string text) {
    chunk one;
    one.seq = seq;
    one.offset = offset;
    one.bytes = std::make_shared<const std::string>(std::move(text));
    return {{of.what.id, of.token, {one}}};
  }

  std::shared_ptr<memory::world> world = memory::make_world();
  api_key key;
  config settings;
  actor output;
  std::vector<command_id> grown;
};

TEST_F(OutputLog, WritesAllAppendsOfTheMailboxInOneTransaction) {
  start();
  const auto a = a_running_command();
  const auto b = a_running_command();
  auto first = send<appended>(output, a_piece(a, 3, 0, "one\n"));
  auto second = send<appended>(output, a_piece(b, 3, 0, "two\n"));
  run();
  EXPECT_TRUE(first.reply().accepted);
  EXPECT_TRUE(second.reply().accepted);
  EXPECT_THAT(world->calls("output.append"), ElementsAre(2));
  EXPECT_EQ(world->output_of(a.what.id, stream::out), "one\n");
  EXPECT_THAT(grown, ElementsAre(a.what.id, b.what.id));
  EXPECT_EQ(counts.count("output_stored"), 8);
}

TEST_F(OutputLog, WritesNoMoreThanItsBatchOfBytesInOneTransaction) {
  settings.batch_bytes = 10;
  start();
  const auto a = a_running_command();
  for (std::uint32_t i = 0; i < 4; ++i)
    send<appended>(output, a_piece(a, 3 + i, 6 * i, "sixsix"));
  run();
  EXPECT_THAT(world->calls("output.append"), ElementsAre(2, 2));
  EXPECT_EQ(world->output_of(a.what.id, stream::out).size(), 24U);
}

TEST_F(OutputLog, WritesAnAppendThatIsBiggerThanABatchAlone) {
  settings.batch_bytes = 10;
  start();
  const auto a = a_running_command();
  send<appended>(output, a_piece(a, 3, 0, std::string(100, 'x')));
  send<appended>(output, a_piece(a, 4, 100, "y"));
  run();
  EXPECT_THAT(world->calls("output.append"), ElementsAre(1, 1));
}

TEST_F(OutputLog, RefusesAStaleTokenAndTakesTheRestOfTheBatch) {
  start();
  auto stale = a_running_command();
  const auto good = a_running_command();
  --stale.token;
  auto refused = send<appended>(output, a_piece(stale, 3, 0, "old\n"));
  auto taken = send<appended>(output, a_piece(good, 3, 0, "new\n"));
  run();
  EXPECT_FALSE(refused.reply().accepted);
  EXPECT_TRUE(taken.reply().accepted);
  EXPECT_THAT(world->chunks_of(stale.what.id), IsEmpty());
  EXPECT_THAT(grown, ElementsAre(good.what.id));
}

TEST_F(OutputLog, AnswersEveryAppendOfABatchThatFailedAndGoesOn) {
  start();
  const auto a = a_running_command();
  const auto b = a_running_command();
  world->fail_next_of("output.append", fault::no_space);
  auto first = send<appended>(output, a_piece(a, 3, 0, "one\n"));
  auto second = send<appended>(output, a_piece(b, 3, 0, "two\n"));
  run();
  EXPECT_EQ(first.failed(), fault::no_space);
  EXPECT_EQ(second.failed(), fault::no_space);
  EXPECT_THAT(grown, IsEmpty());
  EXPECT_TRUE(ask<appended>(output, a_piece(a, 3, 0, "one\n")).reply().accepted);
}

TEST_F(OutputLog, FailsWhatItHasTakenButNotWrittenWhenItDies) {
  start();
  const auto a = a_running_command();
  world->meanwhile("output.append", [] { throw std::runtime_error("a bug"); });
  auto first = send<appended>(output, a_piece(a, 3, 0, "one\n"));
  auto second = send<appended>(output, a_piece(a, 4, 4, "two\n"));
  run();
  EXPECT_EQ(first.failed(), fault::unavailable);
  EXPECT_EQ(second.failed(), fault::unavailable);
}

TEST_F(OutputLog, LeavesAChunkThatIsThereAsItIs) {
  start();
  const auto a = a_running_command();
  world->fail_next_of("output.append", fault::unknown_outcome, 1, memory::moment::after);
  EXPECT_EQ(ask<appended>(output, a_piece(a, 3, 0, "one\n")).failed(), fault::unknown_outcome);
  EXPECT_TRUE(ask<appended>(output, a_piece(a, 3, 0, "one\n")).reply().accepted);
  EXPECT_EQ(world->output_of(a.what.id, stream::out), "one\n");
}

} // namespace
} // namespace rdev::output_log
