#include "actors/queries.hpp"

#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

namespace rdev::queries {
namespace {

using namespace std::chrono_literals;
using ::testing::SizeIs;

class Queries : public test::actor_house {
protected:
  Queries() {
    key = test::a_key();
    world->put_key(key);
    who = test::who_has(key);
  }
  void SetUp() override {
    queries = open(behavior, around(), settings, memory::make_command_queries(world));
    run();
  }

  command_id submitted(const std::string& project) {
    new_command one{
        {command_id::make(), key.id, key.family, test::a_script(project), {}}, test::a_request(), "", {}, {}};
    EXPECT_TRUE(commands->submit({&one, 1}));
    return one.what.id;
  }
  lease running(const std::string& project) {
    const auto id = submitted(project);
    const auto node = node_id::make();
    world->put_node(node);
    auto all = commands->claim({node, "boot-1", 100, 100, {}});
    for (auto& one : *all)
      if (one.what.id == id)
        return one;
    ADD_FAILURE() << "not claimed";
    return {};
  }
  void prints(const lease& of, std::uint32_t seq, std::uint64_t offset, std::string text, stream which = stream::out) {
    chunk one;
    one.seq = seq;
    one.offset = offset;
    one.stream = which;
    one.bytes = std::make_shared<const std::string>(std::move(text));
    const output_append append{of.what.id, of.token, {one}};
    EXPECT_TRUE(memory::make_output_store(world)->append({&append, 1}));
  }
  void ends(const lease& of) {
    completion end{of.what.id, of.token, {}, {}};
    end.result.status = command_status::completed;
    EXPECT_TRUE(commands->complete({&end, 1}));
  }
  test::asked<answer<outcome>> want(operation what) {
    return ask<answer<outcome>>(queries, request{who, test::a_request("GET", "/"), std::move(what)});
  }
  template <class T>
  T shown(operation what) {
    return std::get<T>(*want(std::move(what)).reply());
  }
  refusal_code refused(operation what) {
    return want(std::move(what)).reply().why().code;
  }

  std::shared_ptr<memory::world> world = memory::make_world();
  std::shared_ptr<command_store> commands = memory::make_command_store(world);
  api_key key;
  principal who;
  config settings;
  actor queries;
};

TEST_F(Queries, DoesNotFindCommandsOfProjectsThatTheAskerDoesNotSee) {
  const auto id = submitted("secret");
  EXPECT_EQ(shown<command_view>(get_command{id}).id, id);
  who.project_ids = {"demo"};
  EXPECT_EQ(refused(get_command{id}), refusal_code::not_found);
  EXPECT_EQ(refused(list_output{id, {}, {}, 50}), refusal_code::not_found);
  EXPECT_EQ(refused(read_output{id}), refusal_code::not_found);
  EXPECT_EQ(refused(open_stream{"secret", id, {}}), refusal_code::not_found);
}

TEST_F(Queries, FiltersListsAndTheQueueByTheBindingOfTheKey) {
  submitted("secret");
  const auto mine = submitted("demo");
  who.project_ids = {"demo"};
  const auto listed = shown<page<command_view>>(list_commands{});
  ASSERT_THAT(listed.items, SizeIs(1));
  EXPECT_EQ(listed.items[0].id, mine);
  const auto queue = shown<queue_view>(get_queue{});
  ASSERT_THAT(queue.by_project, SizeIs(1));
  EXPECT_EQ(queue.by_project[0].project, "demo");
  list_commands foreign;
  foreign.project = "secret";
  EXPECT_EQ(refused(foreign), refusal_code::forbidden);
}

TEST_F(Queries, SaysWhatAQueuedCommandWaitsFor) {
  settings.why_waits = [](const std::string& project) { return project == "demo" ? "pod demo-0: Pending" : ""; };
  queries = open(behavior, around(), settings, memory::make_command_queries(world));
  const auto waits = submitted("demo");
  const auto next = submitted("other");
  EXPECT_EQ(shown<command_view>(get_command{waits}).waiting_for, "pod demo-0: Pending");
  EXPECT_EQ(shown<command_view>(get_command{next}).waiting_for, "a free slot");
  for (const auto& one : shown<page<command_view>>(list_commands{}).items)
    EXPECT_EQ(one.waiting_for, one.id == waits ? "pod demo-0: Pending" : "a free slot");
  const auto runs = running("demo");
  EXPECT_EQ(shown<command_view>(get_command{runs.what.id}).waiting_for, std::nullopt);
}

TEST_F(Queries, ReadsOutputInPiecesAndAsALists) {
  const auto one = running("demo");
  prints(one, 3, 0, "hello\n");
  prints(one, 4, 0, "oops\n", stream::err);
  prints(one, 5, 6, "world\n");
  const auto bytes = shown<output_bytes>(read_output{one.what.id, stream::out, 8});
  ASSERT_THAT(bytes.chunks, SizeIs(1));
  EXPECT_EQ(bytes.skip, 2U);
  EXPECT_EQ(bytes.end, 12U);
  EXPECT_FALSE(bytes.finished);
  const auto list = shown<output_list>(list_output{one.what.id, stream::err, {}, 50});
  ASSERT_THAT(list.chunks, SizeIs(1));
  EXPECT_EQ(*list.chunks[0].bytes, "oops\n");
}

TEST_F(Queries, OpensAStreamOfACommandOnlyUnderItsProject) {
  const auto one = running("demo");
  auto opened = shown<stream_opened>(open_stream{"demo", one.what.id, {}});
  EXPECT_TRUE(opened.from_start);
  EXPECT_FALSE(opened.already_complete);
  EXPECT_EQ(opened.key, key.id);
  EXPECT_EQ(refused(open_stream{"other", one.what.id, {}}), refusal_code::not_found);
  EXPECT_EQ(refused(open_stream{"demo", command_id::make(), {}}), refusal_code::not_found);
}

TEST_F(Queries, ResumesAStreamAndRefusesAnEventIdBeyondItsEnd) {
  const auto one = running("demo");
  prints(one, 3, 0, "hello\n");
  auto opened = shown<stream_opened>(open_stream{"demo", one.what.id, event_position{3, 2}});
  EXPECT_FALSE(opened.from_start);
  EXPECT_EQ(opened.from, (event_position{3, 2}));
  EXPECT_EQ(refused(open_stream{"demo", one.what.id, event_position{4, 0}}), refusal_code::bad_request);
}

TEST_F(Queries, SaysWhenAResumedStreamIsCompleteAlready) {
  const auto one = running("demo");
  prints(one, 3, 0, "hello\n");
  ends(one);
  EXPECT_TRUE(shown<stream_opened>(open_stream{"demo", one.what.id, event_position{4, 0}}).already_complete);
  EXPECT_FALSE(shown<stream_opened>(open_stream{"demo", one.what.id, event_position{3, 6}}).already_complete);
  EXPECT_EQ(refused(open_stream{"demo", one.what.id, event_position{5, 0}}), refusal_code::bad_request);
}

TEST_F(Queries, ShowsTheEventsBehindAPosition) {
  const auto one = running("demo");
  prints(one, 3, 0, "hello\n");
  auto all = ask<events>(queries, events_after{one.what.id, {}}).reply().page;
  ASSERT_TRUE(all);
  EXPECT_TRUE(all->queued && all->running);
  EXPECT_THAT(all->chunks, SizeIs(1));
  EXPECT_EQ(all->next, (event_position{3, 6}));
  ends(one);
  auto rest = ask<events>(queries, events_after{one.what.id, all->next}).reply().page;
  EXPECT_FALSE(rest->queued || rest->running);
  EXPECT_THAT(rest->chunks, SizeIs(0));
  EXPECT_TRUE(rest->completed);
  EXPECT_FALSE(ask<events>(queries, events_after{command_id::make(), {}}).reply().page);
}

TEST_F(Queries, GivesAnOwnerWhatFormerOwnersStored) {
  const auto one = running("demo");
  prints(one, 3, 0, "hello\n");
  auto bytes = ask<output_bytes>(queries, stored{{one.what.id, stream::out, 0}}).reply();
  ASSERT_THAT(bytes.chunks, SizeIs(1));
  EXPECT_EQ(*bytes.chunks[0].bytes, "hello\n");
}

TEST_F(Queries, PassesFaultsOn) {
  const auto id = submitted("demo");
  world->unreachable(true);
  EXPECT_EQ(want(get_command{id}).failed(), fault::unavailable);
  EXPECT_EQ(want(list_commands{}).failed(), fault::unavailable);
  EXPECT_EQ(want(get_queue{}).failed(), fault::unavailable);
  EXPECT_EQ(want(open_stream{"demo", id, {}}).failed(), fault::unavailable);
  EXPECT_EQ(ask<events>(queries, events_after{id, {}}).failed(), fault::unavailable);
  EXPECT_EQ(ask<behind>(queries, look_behind{{{id, {}}}}).failed(), fault::unavailable);
  EXPECT_EQ(ask<output_bytes>(queries, stored{{id}}).failed(), fault::unavailable);
  EXPECT_EQ(want(list_keys{}).failed(), fault::internal);
}

TEST_F(Queries, KeepsTheHealthBoardAndTheGaugesUpToDate) {
  EXPECT_EQ(counts.count("dependency database"), 1);
  running("demo");
  advance(2s);
  EXPECT_EQ(counts.count("queue_running"), 1);
  world->unreachable(true);
  advance(2s);
  EXPECT_EQ(counts.count("dependency database"), 0);
  ASSERT_THAT(health.all(), SizeIs(1));
  EXPECT_FALSE(health.all()[0].ok);
  world->unreachable(false);
  advance(2s);
  EXPECT_TRUE(health.all()[0].ok);
}

} // namespace
} // namespace rdev::queries
