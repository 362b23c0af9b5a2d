// RUNNER with its executions, which are detached: real threads and real time.
#include "actors/runner.hpp"

#include "adapters/memory/memory_runner.hpp"
#include "adapters/memory/memory_stores.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/samples.hpp"
#include "tests/support/watched.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>

#include <gmock/gmock.h>

#include <atomic>

namespace rdev::runner {
namespace {

using namespace std::chrono_literals;
using test::eventually;
using ::testing::SizeIs;

struct few_threads : caf::actor_system_config {
  few_threads() {
    set("scheduler.max-threads", std::size_t{2});
    set("scheduler.policy", caf::atom("sharing"));
  }
};

class Runner : public ::testing::Test {
protected:
  Runner() {
    key = test::a_key();
    world->put_key(key);
    world->put_node(node);
    processes->watch([this](const command_id& id) { caf::anon_send(peers.get<actor>(), changed{id}); });
    play<output_log::actor>([this](const output_log::append& what) {
      return output_log::appended{memory::make_output_store(world)->append({&what.what, 1})->at(0)};
    });
    play<command_queue::actor>(
        [this](const command_queue::complete& what) {
          return command_queue::completed{commands->complete({&what.what, 1})->at(0)};
        },
        [this](const command_queue::load& what) { load = what.running; });
    play<leases::actor>([this](leases::reclaim) { ++reclaims; });
    runner = system.spawn(behavior, around(), execution::config{}, processes);
    peers.set(runner);
  }
  ~Runner() override {
    processes->watch({});
    for (const auto& one : all)
      caf::anon_send_exit(one, caf::exit_reason::kill);
    caf::anon_send_exit(runner, caf::exit_reason::user_shutdown);
    peers.clear();
  }

  [[nodiscard]] surroundings around() {
    return {&peers, &lines, &counts, &health, nullptr, &for_records};
  }
  template <class Peer, class... Handlers>
  void play(Handlers... handlers) {
    all.push_back(system.spawn([=](caf::event_based_actor* me) -> caf::behavior {
      me->set_default_handler(caf::drop);
      return {handlers...};
    }));
    peers.set(caf::actor_cast<Peer>(all.back()));
  }
  [[nodiscard]] bool is_hidden(std::string_view text) const {
    return hidden_by.redact(text).has_value();
  }
  lease claimed(const submission& what = test::a_script()) {
    new_command one{{command_id::make(), key.id, key.family, what, {}}, test::a_request(), "", {}, {}};
    EXPECT_TRUE(commands->submit({&one, 1}));
    return commands->claim({node, "boot-1", 1, 64, {}})->at(0);
  }
  int execute(std::vector<lease> what) {
    int count = -1;
    caf::scoped_actor self(system);
    self->request(runner, 30s, run{std::move(what)})
        .receive([&](const running& now) { count = now.count; }, [](const caf::error&) {});
    return count;
  }
  checked looked_at(std::vector<command_id> held) {
    checked out;
    caf::scoped_actor self(system);
    self->request(runner, 30s, check{std::move(held)})
        .receive([&](const checked& now) { out = now; }, [](const caf::error&) { ADD_FAILURE() << "no answer"; });
    return out;
  }
  bool ends(const command_id& id) {
    return eventually([&] { return world->result_of(id).has_value(); });
  }

  directory peers;
  test::watched_log lines;
  test::watched_metrics counts;
  redactor hidden_by = *redactor::make({});
  censor for_records{hidden_by, counts, "audit"};
  health_board health;
  std::shared_ptr<memory::world> world = memory::make_world();
  std::shared_ptr<command_store> commands = memory::make_command_store(world);
  std::shared_ptr<memory::runner> processes = std::make_shared<memory::runner>();
  api_key key;
  node_id node = node_id::make();
  std::atomic<int> load{-1};
  std::atomic<int> reclaims{0};
  std::vector<caf::actor> all;
  few_threads settings_of_caf;
  caf::actor_system system{settings_of_caf};
  actor runner;
};

TEST_F(Runner, RunsOneExecutionForEachLeaseAndReportsItsLoad) {
  const auto a = claimed();
  const auto b = claimed();
  EXPECT_EQ(execute({a, b}), 2);
  EXPECT_TRUE(eventually([&] { return load == 2; }));
  processes->exits(a.what.id, 0);
  EXPECT_TRUE(ends(a.what.id));
  EXPECT_TRUE(eventually([&] { return load == 1; }));
  EXPECT_EQ(counts.count("commands_active"), 1);
  processes->exits(b.what.id, 0);
  EXPECT_TRUE(eventually([&] { return load == 0; }));
  EXPECT_EQ(reclaims, 0);
}

TEST_F(Runner, HidesWhatACommandHasOfSecretsFromTheHandOverToItsEnd) {
  auto what = test::a_script();
  what.env = {{"TOKEN", secret("value/of the token")}};
  const auto a = claimed(what);
  execute({a});
  EXPECT_TRUE(is_hidden("in value/of the token!"));
  EXPECT_TRUE(is_hidden(to_base64("value/of the token")));
  processes->exits(a.what.id, 0);
  EXPECT_TRUE(ends(a.what.id));
  EXPECT_TRUE(eventually([&] { return !is_hidden("in value/of the token!"); }));
}

TEST_F(Runner, ReportsItsLoadAlsoWhenItIsHandedNothing) {
  EXPECT_EQ(execute({}), 0);
  EXPECT_TRUE(eventually([&] { return load == 0; }));
}

TEST_F(Runner, PassesAStopToItsExecution) {
  const auto a = claimed();
  execute({a});
  caf::anon_send(runner, stop{command_id::make(), cancel_reason::user}); // of a command that does not run here
  caf::anon_send(runner, stop{a.what.id, cancel_reason::user});
  EXPECT_TRUE(ends(a.what.id));
  EXPECT_EQ(world->result_of(a.what.id)->status, command_status::cancelled);
}

TEST_F(Runner, ReplacesAnExecutionWhoseLeaseIsOlder) {
  const auto before = claimed();
  execute({before});
  ASSERT_TRUE(eventually([&] { return processes->starts(before.what.id) == 1; }));
  EXPECT_EQ(execute(*memory::make_lease_store(world)->reclaim({node, "", "", ""}, {})), 1);
  processes->exits(before.what.id, 0);
  EXPECT_TRUE(ends(before.what.id));
  EXPECT_TRUE(eventually([&] { return load == 0; }));
  EXPECT_EQ(processes->starts(before.what.id), 1);
  EXPECT_EQ(reclaims, 0);
}

TEST_F(Runner, KeepsTheExecutionOfTheNewerLeaseWhenAnOlderOneArrivesLate) {
  const auto older = claimed();
  const auto newer = memory::make_lease_store(world)->reclaim({node, "", "", ""}, {})->at(0);
  EXPECT_EQ(execute({newer}), 1);
  EXPECT_EQ(execute({older}), 1);
  processes->prints(older.what.id, stream::out, "still heard\n");
  processes->exits(older.what.id, 0);
  EXPECT_TRUE(ends(older.what.id));
  EXPECT_EQ(world->output_of(older.what.id, stream::out), "still heard\n");
}

TEST_F(Runner, DropsAllExecutionsWithoutTouchingTheirCommands) {
  const auto a = claimed();
  execute({a});
  ASSERT_TRUE(eventually([&] { return processes->starts(a.what.id) == 1; }));
  caf::anon_send(runner, abandon{});
  EXPECT_TRUE(eventually([&] { return load == 0; }));
  EXPECT_THAT(processes->cancels(a.what.id), SizeIs(0));
  EXPECT_FALSE(world->result_of(a.what.id));
  EXPECT_EQ(reclaims, 0);
}

TEST_F(Runner, DropsSomeExecutionsWithoutTouchingTheirCommands) {
  const auto a = claimed();
  const auto b = claimed();
  execute({a, b});
  ASSERT_TRUE(eventually([&] { return processes->starts(a.what.id) == 1 && processes->starts(b.what.id) == 1; }));
  caf::anon_send(runner, drop{{a.what.id, command_id::make()}});
  ASSERT_TRUE(eventually([&] { return load == 1; }));
  EXPECT_THAT(processes->cancels(a.what.id), SizeIs(0));
  EXPECT_FALSE(world->result_of(a.what.id));
  EXPECT_EQ(reclaims, 0);
  processes->exits(b.what.id, 0);
  EXPECT_TRUE(ends(b.what.id));
}

TEST_F(Runner, HasItsLeasesReclaimedWhenAnExecutionDies) {
  const auto a = claimed();
  processes->on_start([](const launch&) { throw std::runtime_error("a bug"); });
  execute({a});
  EXPECT_TRUE(eventually([&] { return reclaims == 1; }));
  EXPECT_EQ(counts.count("actor_restarted execution"), 1);
  processes->on_start({});
  execute(*memory::make_lease_store(world)->reclaim({node, "", "", ""}, {}));
  processes->exits(a.what.id, 0);
  EXPECT_TRUE(ends(a.what.id));
  EXPECT_EQ(processes->starts(a.what.id), 1);
}

TEST_F(Runner, NamesWhatItShouldRunAndDoesNot) {
  const auto a = claimed();
  const auto unknown = command_id::make();
  execute({a});
  const auto got = looked_at({unknown, a.what.id});
  EXPECT_EQ(got.missing, std::vector{unknown});
  EXPECT_THAT(got.strays, SizeIs(0));
}

TEST_F(Runner, NamesWhatItRunsAndShouldNot) {
  const auto a = claimed();
  const auto b = claimed();
  execute({a, b});
  const auto got = looked_at({b.what.id});
  EXPECT_THAT(got.missing, SizeIs(0));
  EXPECT_EQ(got.strays, std::vector{a.what.id});
}

} // namespace
} // namespace rdev::runner
