// A house for one execution: a scripted process runner, and the lanes of the store behind peers that the test plays.
#pragma once

#include "actors/execution.hpp"
#include "adapters/memory/memory_runner.hpp"
#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

namespace rdev::test {

class execution_house : public actor_house {
protected:
  execution_house() {
    key = a_key();
    world->put_key(key);
    world->put_node(node);
    settings.agent_argv = {"claude", "-p"};
    settings.agent_hint = "install it";
    processes->watch([this](const command_id&) { caf::anon_send(one, execution::changed{}); });
    parent = play<runner::actor>([](runner::abandon) {});
    meet_output_log();
    meet_command_queue();
    play<leases::actor>([this](const leases::confirm& what) {
      return leases::confirmed{*memory::make_lease_store(world)->holds(what.command, what.token)};
    });
    play<queries::actor>([this](const queries::stored& what) -> caf::result<output_bytes> {
      auto bytes = memory::make_command_queries(world)->bytes(what.what, 4); // in small pieces
      if (!bytes)
        return to_error(bytes.error());
      return std::move(*bytes);
    });
  }

  void meet_output_log() {
    play<output_log::actor>([this](const output_log::append& what) -> caf::result<output_log::appended> {
      auto written = memory::make_output_store(world)->append({&what.what, 1});
      if (!written)
        return to_error(written.error());
      return output_log::appended{written->at(0)};
    });
  }
  // As the real one: a wish to cancel comes back as `stop`.
  void meet_command_queue() {
    play<command_queue::actor>(
        [this](const command_queue::complete& what) -> caf::result<command_queue::completed> {
          auto written = commands->complete({&what.what, 1});
          if (!written)
            return to_error(written.error());
          return command_queue::completed{written->at(0)};
        },
        [this](const command_queue::cancel& what) -> caf::result<command_queue::cancelled> {
          auto verdict = commands->cancel(what.order);
          if (!verdict)
            return to_error(verdict.error());
          caf::anon_send(one, execution::stop{what.order.reason});
          return command_queue::cancelled{*verdict};
        });
  }

  lease claimed(submission what = a_script()) {
    new_command fresh{{command_id::make(), key.id, key.family, std::move(what), {}}, a_request(), "sample", {}, {}};
    EXPECT_TRUE(commands->submit({&fresh, 1}));
    return commands->claim({node, "boot-1", 1, 64, {}})->at(0);
  }
  // The same command under a new token, as LEASES gets it.
  lease reclaimed() {
    return memory::make_lease_store(world)->reclaim({node, "", "", ""}, {})->at(0);
  }
  void execute(lease what) {
    id = what.what.id;
    one = open(execution::behavior, around(), settings, processes, std::move(what),
               caf::actor_cast<caf::strong_actor_ptr>(parent));
    run();
  }
  [[nodiscard]] bool alive() {
    return !caf::actor_cast<caf::abstract_actor*>(one)->getf(caf::abstract_actor::is_terminated_flag);
  }
  [[nodiscard]] command_result result() {
    const auto found = world->result_of(id);
    EXPECT_TRUE(found) << "the command has not ended";
    return found.value_or(command_result{});
  }
  [[nodiscard]] std::string out() {
    return world->output_of(id, stream::out);
  }
  void prints(std::string_view text, stream which = stream::out) {
    processes->prints(id, which, text);
    run();
  }

  std::shared_ptr<memory::world> world = memory::make_world();
  std::shared_ptr<command_store> commands = memory::make_command_store(world);
  std::shared_ptr<memory::runner> processes = std::make_shared<memory::runner>();
  api_key key;
  node_id node = node_id::make();
  execution::config settings;
  runner::actor parent;
  execution::actor one;
  command_id id;
};

} // namespace rdev::test
