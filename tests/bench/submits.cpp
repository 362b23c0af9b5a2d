// Durable submissions a second at COMMAND QUEUE (command, queue, audit, event and idempotency rows in one transaction,
// many submissions a commit), beside pgbench, which writes one row of the same size a transaction into one plain table:
// the same PostgreSQL with the same settings, 64 callers each, in turn. Bar: group commit is ahead.
#include "actors/command_queue.hpp"
#include "actors/supervisor.hpp"
#include "tests/bench/support/figures.hpp"
#include "tests/bench/support/rival.hpp"
#include "tests/support/samples.hpp"
#include "tests/support/watched.hpp"

#include <array>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <atomic>
#include <iostream>
#include <stdexcept>
#include <thread>

namespace rdev::bench {

// To the crowd of callers.
struct begin {};
struct finish {};

} // namespace rdev::bench

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::bench::begin)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::bench::finish)

namespace rdev::bench {

namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr int callers = 64;
constexpr int repetitions = 5;
constexpr auto ramp = 500ms;
constexpr auto window = 5s;
constexpr const char* script = "for i in 1 2 3; do echo \"step $i\"; make -C build test; done";

double seconds_of(clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

// ---- our side

// What the callers have seen; read from the main thread.
struct tally {
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<int> under_way{0};
  std::atomic<bool> measuring{false};
  std::vector<double> milliseconds; // of the measured ones; written by the callers' actor, read when none is under way
};

// Plays all callers: each submits again as soon as it is answered.
struct crowd {
  explicit crowd(caf::event_based_actor* self_pointer) : self(self_pointer) {
  }

  void submit_one() {
    ++counts->under_way;
    auto key = test::an_idempotency_key("bench-" + std::to_string(++last_key));
    const auto sent = clock::now();
    self->request(queue, caf::infinite,
                  command_queue::submit{who, from, std::move(key), test::a_script("demo", script)})
        .then([this, sent](const answer<submitted>& reply) { on_answer(sent, static_cast<bool>(reply)); },
              [this, sent](const caf::error&) { on_answer(sent, false); });
  }

  void on_answer(clock::time_point sent, bool good) {
    ++(good ? counts->accepted : counts->failed);
    if (counts->measuring)
      counts->milliseconds.push_back(seconds_of(clock::now() - sent) * 1000);
    --counts->under_way;
    if (!ending)
      submit_one();
  }

  caf::event_based_actor* self;
  command_queue::actor queue;
  principal who;
  request_context from = test::a_request();
  tally* counts = nullptr;
  std::uint64_t last_key = 0;
  bool ending = false;
  const char* name = "crowd";
};

caf::behavior crowd_behavior(caf::stateful_actor<crowd>* self, command_queue::actor queue, principal who,
                             tally* counts) {
  self->state.queue = std::move(queue);
  self->state.who = std::move(who);
  self->state.counts = counts;
  return {
      [=](begin) {
        self->state.ending = false;
        for (int i = 0; i < callers; ++i)
          self->state.submit_one();
      },
      [=](finish) { self->state.ending = true; },
  };
}

struct actor_config : caf::actor_system_config {
  actor_config() {
    set("scheduler.policy", caf::atom("sharing")); // as rdev-api has it
    set("scheduler.max-threads", std::size_t{std::max(2U, std::thread::hardware_concurrency())});
  }
};

principal administrator(const postgres::store_config& stores) {
  const auto keys = postgres::make_key_store(stores);
  if (auto set = keys->set_admin(sha256("a key of the bench that nobody can use")); !set)
    throw std::runtime_error(set.error().message);
  const auto rows = keys->find_by_prefix(std::array<std::string, 1>{"admin"});
  if (!rows || rows->empty())
    throw std::runtime_error("there is no administrator's row");
  return test::who_has(rows->front());
}

// COMMAND QUEUE as in rdev-api, with peers that drop what it tells them. It rests: nothing is claimed, nothing runs.
class store_house {
public:
  explicit store_house(const database& db) {
    peers_.set<audit::actor>(system_.spawn([]() -> audit::actor::behavior_type {
      return {[](const audit::record&) {}, [](const audit::committed&) {}};
    }));
    peers_.set<webhooks::actor>(system_.spawn([]() -> webhooks::actor::behavior_type {
      return {[](const webhooks::committed&) {}, [](webhooks::changed) {},
              [](webhooks::rest) { return webhooks::rested{}; }};
    }));
    const surroundings around{&peers_, &log_, &metrics_, &health_};
    command_queue::config settings;
    for (int i = 0; i < supervisor::parts{}.submit_lanes; ++i) // as the supervisor does it
      settings.lanes.push_back(system_.spawn<caf::detached>(submit_lane::behavior, around, submit_lane::config{},
                                                            postgres::make_command_store(db.stores())));
    queue_ = system_.spawn<caf::detached>(command_queue::behavior, around, settings,
                                          postgres::make_command_store(db.stores()));
    caf::anon_send(queue_, command_queue::rest{});
    crowd_ = system_.spawn(crowd_behavior, queue_, administrator(db.stores()), &tally_);
  }
  ~store_house() {
    peers_.clear();
    caf::anon_send_exit(crowd_, caf::exit_reason::kill);
    caf::anon_send_exit(queue_, caf::exit_reason::kill);
  }
  store_house(const store_house&) = delete;
  store_house& operator=(const store_house&) = delete;

  // Submissions a second.
  double measure(clock::duration how_long) {
    caf::anon_send(crowd_, begin{});
    std::this_thread::sleep_for(ramp);
    const auto from = clock::now();
    const auto before = tally_.accepted.load();
    tally_.measuring = true;
    std::this_thread::sleep_for(how_long);
    tally_.measuring = false;
    const auto after = tally_.accepted.load();
    const auto took = seconds_of(clock::now() - from);
    caf::anon_send(crowd_, finish{});
    while (tally_.under_way > 0)
      std::this_thread::sleep_for(5ms);
    return static_cast<double>(after - before) / took;
  }
  [[nodiscard]] const tally& seen() const {
    return tally_;
  }

private:
  directory peers_;
  test::silent_log log_;
  test::watched_metrics metrics_;
  health_board health_;
  tally tally_;
  actor_config config_;
  caf::actor_system system_{config_};
  command_queue::actor queue_;
  caf::actor crowd_;
};

int compare() {
  const database db;
  store_house house(db);
  house.measure(1s); // prepared statements, first pages, first checks of the catalogue
  const auto script_path = write_pgbench_script(db);
  run_pgbench(db, script_path, callers, 1s);
  std::vector<double> ours;
  std::vector<double> theirs;
  for (int i = 0; i < repetitions; ++i) {
    // By turns first, so that whatever the one leaves to be written burdens both alike.
    if (i % 2 == 0)
      ours.push_back(house.measure(window));
    theirs.push_back(run_pgbench(db, script_path, callers, window));
    if (i % 2 == 1)
      ours.push_back(house.measure(window));
    std::printf("%d: submits %.0f/s, pgbench %.0f/s, ratio %.2f\n", i + 1, ours.back(), theirs.back(),
                ours.back() / theirs.back());
    std::fflush(stdout);
  }
  const auto& seen = house.seen();
  const auto rows = db.count("command");
  std::printf("accepted %llu, failed %llu, rows of commands %llu; fsync=%s synchronous_commit=%s\n",
              static_cast<unsigned long long>(seen.accepted.load()),
              static_cast<unsigned long long>(seen.failed.load()), static_cast<unsigned long long>(rows),
              db.run("SHOW fsync").c_str(), db.run("SHOW synchronous_commit").c_str());
  if (seen.failed > 0 || rows != seen.accepted || db.count("queue_item") != rows) {
    std::printf("an answer and its rows do not agree\n");
    return 1;
  }
  print_series("submits", ours, "submits/s");
  print_series("pgbench", theirs, "transactions/s");
  std::printf("%-28s p50 %.1f ms, p99 %.1f ms\n", "time of a submit", percentile(seen.milliseconds, 0.5),
              percentile(seen.milliseconds, 0.99));
  return judge_at_least("submits / pgbench", median(ours) / median(theirs), 1.0);
}

} // namespace

} // namespace rdev::bench

int main() {
  try {
    return rdev::bench::compare();
  } catch (const std::exception& e) {
    std::cerr << "bench submits: " << e.what() << std::endl;
    return 1;
  }
}
