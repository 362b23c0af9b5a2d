// The whole house on real threads: each actor is killed, comes back, and a command goes its way through it again.
#include "actors/supervisor.hpp"

#include "adapters/memory/memory_projects.hpp"
#include "adapters/memory/memory_runner.hpp"
#include "adapters/memory/memory_stores.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/samples.hpp"
#include "tests/support/scripted_sender.hpp"
#include "tests/support/watched.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>

#include <gmock/gmock.h>

#include <future>

namespace rdev::supervisor {
namespace {

using namespace std::chrono_literals;
using test::eventually;

struct few_threads : caf::actor_system_config {
  few_threads() {
    set("scheduler.max-threads", std::size_t{2});
    set("scheduler.policy", caf::atom("sharing"));
  }
};

class House : public ::testing::Test {
protected:
  House() {
    const auto text = make_key_text();
    credential = text.text;
    key = test::a_key({scope::admin}, text.prefix);
    key.hash = sha256(text.text.reveal());
    world->put_key(key);
    project demo;
    demo.id = "demo";
    projects->put(demo);
    processes->watch([this](const command_id& id) { caf::anon_send(peers.get<runner::actor>(), runner::changed{id}); });
    top = system.spawn(behavior, around(), furnished());
    caf::scoped_actor self(system);
    self->request(top, 30s, ready{}).receive([](started) {}, [](const caf::error&) { FAIL() << "not started"; });
  }
  ~House() override {
    processes->watch({});
    caf::anon_send(top, stop{});
  }

  [[nodiscard]] surroundings around() {
    return {&peers, &lines, &counts, &health};
  }
  parts furnished() {
    parts out;
    out.command_queue.node = out.leases.self.id = node_id::make();
    out.command_queue.start_intent = processes->boot_tag();
    out.command_queue.poll_interval = out.streams.poll_interval = 20ms;
    out.leases.renew = out.leases.scan = 20ms;
    out.execution.retry = 10ms;
    out.queries.gauge_interval = 20ms;
    out.restart_delay = 1ms;
    out.make_key_store = [w = world] { return memory::make_key_store(w); };
    out.make_command_store = [w = world] { return memory::make_command_store(w); };
    out.make_output_store = [w = world] { return memory::make_output_store(w); };
    out.make_queries = [w = world] { return memory::make_command_queries(w); };
    out.make_lease_store = [w = world] { return memory::make_lease_store(w); };
    out.make_audit_log = [w = world] { return memory::make_audit_log(w); };
    out.make_audit_reader = [w = world] { return memory::make_audit_reader(w); };
    out.make_audit_chain = [w = world] { return memory::make_audit_chain(w); };
    out.make_ban_store = [w = world] { return memory::make_ban_store(w); };
    out.make_webhook_registry = [w = world] { return memory::make_webhook_registry(w); };
    out.make_webhook_outbox = [w = world] { return memory::make_webhook_outbox(w); };
    out.sender = std::make_shared<test::scripted_sender>();
    out.auth.checks = out.api_keys.checks = *credentials::make("", nullptr);
    out.api_keys.node = out.leases.self.id;
    out.processes = processes;
    out.projects = projects;
    return out;
  }

  answer<outcome> perform(const operation& what) {
    api_request request{test::a_request(), credential, scope::projects_read, {}, {}, [what] { return what; }};
    answer<outcome> out{refusal{}};
    caf::scoped_actor self(system);
    self->request(peers.get<ingress::actor>(), 30s, ingress::perform{request})
        .receive([&](api_reply& reply) { out = std::move(reply.what); }, [](const caf::error&) {});
    return out;
  }
  // Submits until it is accepted: while an actor is away, a request is refused and repeated.
  command_id submitted() {
    std::optional<command_id> id;
    EXPECT_TRUE(eventually([&] {
      auto done = perform(submit_command{test::a_script()});
      if (done)
        id = std::get<rdev::submitted>(*done).id;
      return id.has_value();
    }));
    return id.value_or(command_id{});
  }
  template <class Actor>
  bool ends(const Actor& which) {
    caf::scoped_actor self(system);
    self->monitor(which);
    bool out = false;
    self->receive([&](const caf::down_msg&) { out = true; }, caf::after(30s) >> [] {});
    return out;
  }
  bool records_a_refusal() {
    credential = secret("rdev_nonsense");
    EXPECT_FALSE(perform(list_projects{}));
    return eventually([&] {
      const auto rows = world->audit_rows();
      return std::any_of(rows.begin(), rows.end(), [](const auto& r) { return r.what.action == "request.refused"; });
    });
  }
  bool completes(const command_id& id) {
    return eventually([&] {
      const auto result = world->result_of(id);
      return result && result->status == command_status::completed;
    });
  }
  template <class Actor>
  void kill_and_wait(const std::string& name) {
    const auto old = peers.get<Actor>();
    const auto restarts = counts.count("actor_restarted " + name);
    caf::anon_send_exit(old, caf::exit_reason::kill);
    EXPECT_TRUE(eventually([&] {
      const auto now = peers.get<Actor>();
      return now && now != old && counts.count("actor_restarted " + name) == restarts + 1;
    })) << name;
  }
  // The actor dies with a command under way and comes back; that command and a new one end well and run only once.
  template <class Actor>
  void survives_the_death_of(const std::string& name) {
    const auto before = submitted();
    ASSERT_TRUE(eventually([&] { return processes->starts(before) == 1; }));
    processes->prints(before, stream::out, "before\n");
    kill_and_wait<Actor>(name);
    processes->prints(before, stream::out, "after\n");
    processes->exits(before, 0);
    EXPECT_TRUE(completes(before)) << name;
    EXPECT_EQ(world->output_of(before, stream::out), "before\nafter\n");
    const auto after = submitted();
    processes->exits(after, 0);
    EXPECT_TRUE(completes(after)) << name;
    EXPECT_EQ(processes->starts(before), 1);
    EXPECT_EQ(processes->starts(after), 1);
    EXPECT_TRUE(eventually([&] { return counts.count("commands_active") == 0; }));
  }

  directory peers;
  test::watched_log lines;
  test::watched_metrics counts;
  health_board health;
  std::shared_ptr<memory::world> world = memory::make_world();
  std::shared_ptr<memory::runner> processes = std::make_shared<memory::runner>();
  std::shared_ptr<memory::projects> projects = std::make_shared<memory::projects>();
  secret credential;
  api_key key;
  few_threads settings_of_caf;
  caf::actor_system system{settings_of_caf};
  supervisor::actor top;
};

TEST_F(House, RunsACommandFromTheDoorToItsReceipt) {
  const auto id = submitted();
  ASSERT_TRUE(eventually([&] { return processes->starts(id) == 1; }));
  processes->prints(id, stream::out, "hello\n");
  processes->exits(id, 0);
  EXPECT_TRUE(completes(id));
  EXPECT_EQ(world->output_of(id, stream::out), "hello\n");
}

TEST_F(House, SurvivesTheDeathOfIngress) {
  survives_the_death_of<ingress::actor>("ingress");
}
TEST_F(House, SurvivesTheDeathOfAuth) {
  survives_the_death_of<auth::actor>("auth");
}
TEST_F(House, SurvivesTheDeathOfApiKeys) {
  survives_the_death_of<api_keys::actor>("api_keys");
}
TEST_F(House, SurvivesTheDeathOfRateLimit) {
  survives_the_death_of<rate_limit::actor>("rate_limit");
}
TEST_F(House, SurvivesTheDeathOfPodControl) {
  survives_the_death_of<pod_control::actor>("pod_control");
}
TEST_F(House, SurvivesTheDeathOfCommandQueue) {
  survives_the_death_of<command_queue::actor>("command_queue");
}
TEST_F(House, SurvivesTheDeathOfRunnerWithoutASecondStart) {
  survives_the_death_of<runner::actor>("runner");
}
TEST_F(House, SurvivesTheDeathOfOutputLog) {
  survives_the_death_of<output_log::actor>("output_log");
}
TEST_F(House, SurvivesTheDeathOfQueries) {
  survives_the_death_of<queries::actor>("queries");
}
TEST_F(House, SurvivesTheDeathOfStreams) {
  survives_the_death_of<streams::actor>("streams");
}
TEST_F(House, SurvivesTheDeathOfAudit) {
  survives_the_death_of<audit::actor>("audit");
}
TEST_F(House, SurvivesTheDeathOfAuditor) {
  survives_the_death_of<auditor::actor>("auditor");
}
TEST_F(House, SurvivesTheDeathOfWebhooks) {
  survives_the_death_of<webhooks::actor>("webhooks");
}
TEST_F(House, SurvivesTheDeathOfLeases) {
  survives_the_death_of<leases::actor>("leases");
}

TEST_F(House, ServesReadersAgainAfterTheDeathOfStreams) {
  const auto id = submitted();
  kill_and_wait<streams::actor>("streams");
  stream_opened opened;
  opened.project = "demo";
  opened.command = id;
  bool seen = false;
  caf::scoped_actor self(system);
  self->request(peers.get<ingress::actor>(), 30s, ingress::read_stream{opened, {}, 1s})
      .receive([&](answer<stream_news>& news) { seen = news && news->events && news->events->queued; },
               [](const caf::error&) {});
  EXPECT_TRUE(seen);
}

TEST_F(House, RecordsRefusalsAgainAfterTheDeathOfAudit) {
  kill_and_wait<audit::actor>("audit");
  EXPECT_TRUE(records_a_refusal());
}

TEST_F(House, RecordsRefusalsAgainAfterTheDeathOfRefusals) {
  kill_and_wait<refusals::actor>("refusals");
  EXPECT_TRUE(records_a_refusal());
}

TEST_F(House, RecordsWhatIsSaidWhileItStops) {
  const auto record_keeper = peers.get<audit::actor>();
  const auto counter = peers.get<refusals::actor>();
  const auto door = peers.get<ingress::actor>();
  std::promise<void> reached;
  std::promise<void> goes_on;
  world->meanwhile("leases.beat", [&] {
    reached.set_value();
    goes_on.get_future().wait();
  });
  reached.get_future().wait();
  caf::anon_send(top, stop{});
  EXPECT_TRUE(ends(door));
  caf::anon_send(record_keeper, audit::record{{{}, "system", "said.last", "x", {}, "done", {}, {}, {}}});
  caf::anon_send(counter, refusals::refused{{{}, "unknown", "request.refused", "late", {}, "refused", {}, {}, {}}});
  goes_on.set_value();
  EXPECT_TRUE(ends(record_keeper));
  const auto rows = world->audit_rows();
  EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [](const auto& r) { return r.what.action == "said.last"; }));
  EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [](const auto& r) { return r.what.target == "late"; }));
}

TEST_F(House, BeatsAgainAfterTheDeathOfLeases) {
  kill_and_wait<leases::actor>("leases");
  const auto beats = world->calls("leases.beat").size();
  EXPECT_TRUE(eventually([&] { return world->calls("leases.beat").size() > beats + 3; }));
}

TEST_F(House, RestartsAnActorEveryTimeItDies) {
  for (int i = 0; i < 5; ++i)
    kill_and_wait<auth::actor>("auth");
  EXPECT_TRUE(perform(list_projects{}));
}

} // namespace
} // namespace rdev::supervisor
