// The contracts over the fakes that the tests of the actors use: what holds for them holds for the real thing.
#include "adapters/memory/memory_projects.hpp"
#include "adapters/memory/memory_runner.hpp"
#include "adapters/memory/memory_stores.hpp"
#include "tests/support/audit_records.hpp"
#include "tests/support/contracts/runner_contract.hpp"
#include "tests/support/contracts/store_contract.hpp"

namespace rdev::test {

namespace {

class memory_rig final : public store_rig {
public:
  std::shared_ptr<command_store> commands() override {
    return memory::make_command_store(world_);
  }
  std::shared_ptr<output_store> output() override {
    return memory::make_output_store(world_);
  }
  std::shared_ptr<command_queries> queries() override {
    return memory::make_command_queries(world_);
  }
  std::shared_ptr<lease_store> leases() override {
    return memory::make_lease_store(world_);
  }
  std::shared_ptr<key_store> keys() override {
    return memory::make_key_store(world_);
  }
  std::shared_ptr<audit_log> audit() override {
    return memory::make_audit_log(world_);
  }
  std::shared_ptr<audit_chain_store> chain() override {
    return memory::make_audit_chain(world_);
  }
  std::shared_ptr<audit_reader> log_reader() override {
    return memory::make_audit_reader(world_);
  }
  std::shared_ptr<ban_store> bans() override {
    return memory::make_ban_store(world_);
  }
  std::shared_ptr<webhook_registry> endpoints() override {
    return memory::make_webhook_registry(world_);
  }
  std::shared_ptr<webhook_outbox> outbox() override {
    return memory::make_webhook_outbox(world_);
  }
  void happens(const std::string& event, const std::optional<std::string>& project) override {
    world_->put_event(event, project);
  }
  void happened_long_ago(const std::string& action) override {
    const audit_record one{{}, "old", action, "x", {}, "done", {}, {}, {}};
    world_->set_clock([] { return now_utc() - std::chrono::years(3); });
    put(*audit(), one);
    world_->set_clock(now_utc);
  }
  void expire_idempotency() override {
    world_->set_clock([] { return now_utc() + std::chrono::hours(25); });
  }

private:
  std::shared_ptr<memory::world> world_ = memory::make_world();
};

class memory_runner_rig final : public runner_rig {
public:
  std::shared_ptr<process_runner> runner() override {
    return runner_;
  }
  launch prints_and_exits(const std::string& out, int code) override {
    auto l = runs_until_cancelled();
    if (!out.empty())
      runner_->prints(l.id, stream::out, out);
    runner_->exits(l.id, code);
    return l;
  }
  launch runs_until_cancelled() override {
    launch l;
    l.id = command_id::make();
    l.project = "demo";
    l.max_bytes = 1 << 30;
    return l;
  }

private:
  std::shared_ptr<memory::runner> runner_ = std::make_shared<memory::runner>();
};

std::unique_ptr<store_rig> make_rig() {
  return std::make_unique<memory_rig>();
}
std::unique_ptr<runner_rig> make_runner_rig() {
  return std::make_unique<memory_runner_rig>();
}
std::shared_ptr<project_host> make_host() {
  return std::make_shared<memory::projects>();
}

} // namespace

RDEV_INSTANTIATE_STORE_CONTRACTS(Memory, &make_rig);
INSTANTIATE_TEST_SUITE_P(Memory, ProcessRunner, ::testing::Values(&make_runner_rig),
                         [](const auto&) { return std::string("Memory"); });
INSTANTIATE_TEST_SUITE_P(Memory, ProjectHost, ::testing::Values(&make_host),
                         [](const auto&) { return std::string("Memory"); });

} // namespace rdev::test
