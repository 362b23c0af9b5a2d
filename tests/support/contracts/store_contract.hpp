// What every implementation of the durable store must do, as test suites over a rig. A test program that has a rig
// calls INSTANTIATE_TEST_SUITE_P for each suite below and links rdev_store_contracts.
#pragma once

#include "adapters/audit_log.hpp"
#include "adapters/audit_store.hpp"
#include "adapters/ban_store.hpp"
#include "adapters/command_store.hpp"
#include "adapters/key_store.hpp"
#include "adapters/webhook_store.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace rdev::test {

// One store with everything that can be asked of it. Each call makes an object of its own, as another lane or another
// node would have, on the same data.
class store_rig {
public:
  virtual ~store_rig() = default;
  virtual std::shared_ptr<command_store> commands() = 0;
  virtual std::shared_ptr<output_store> output() = 0;
  virtual std::shared_ptr<command_queries> queries() = 0;
  virtual std::shared_ptr<lease_store> leases() = 0;
  virtual std::shared_ptr<key_store> keys() = 0;
  virtual std::shared_ptr<audit_log> audit() = 0;
  virtual std::shared_ptr<audit_chain_store> chain() = 0;
  virtual std::shared_ptr<audit_reader> log_reader() = 0;
  virtual std::shared_ptr<ban_store> bans() = 0;
  virtual std::shared_ptr<webhook_registry> endpoints() = 0;
  virtual std::shared_ptr<webhook_outbox> outbox() = 0;
  // Commits an event.
  virtual void happens(const std::string& event, const std::optional<std::string>& project) = 0;
  // An audit record of years ago.
  virtual void happened_long_ago(const std::string& action) = 0;
  // Puts all idempotency records past their retention.
  virtual void expire_idempotency() = 0;
};

using rig_maker = std::unique_ptr<store_rig> (*)();

inline constexpr const char* machine = "boot-1";
inline constexpr const char* here = "scope-1"; // of the runner

api_key some_key(const std::string& name = "tester");
std::shared_ptr<const std::string> bytes(std::string text);
chunk piece(std::uint32_t seq, rdev::stream which, std::uint64_t offset, std::string text);
chunk marker(std::uint32_t seq, rdev::stream which, std::uint64_t offset);
std::string joined(const std::vector<chunk>& chunks);
std::array<std::uint8_t, 32> digest_of(std::uint8_t n);

// The value of an answer; a fault fails the test with its message.
template <class T>
T value_of(result<T> r) {
  if (!r) {
    ADD_FAILURE() << to_string(r.error().code) << ": " << r.error().message;
    return T{};
  }
  return std::move(*r);
}

class StoreContract : public ::testing::TestWithParam<rig_maker> {
protected:
  void SetUp() override;

  [[nodiscard]] new_command a_command(const std::string& project = "demo", priority p = priority::normal) const;
  command_id submitted(const new_command& one);
  command_id submitted(const std::string& project = "demo", priority p = priority::normal);
  std::vector<lease> claimed(int most = 100, int per_project = 64);
  lease running(const std::string& project = "demo"); // submitted and claimed
  bool appended(const lease& l, std::vector<chunk> chunks);
  bool completed(const lease& l, command_status status = command_status::completed);
  command_status status_of(const command_id& id);
  cancel_verdict cancel(const command_id& id, cancel_reason why = cancel_reason::user);
  void revoke(const key_id& id);
  ban imposed(const ip_network& network, std::chrono::milliseconds length, int strikes);
  std::optional<api_key> with_prefix(const std::string& prefix);
  [[nodiscard]] key_writer writer(const std::string& name = "tester") const;

  std::unique_ptr<store_rig> rig;
  std::shared_ptr<command_store> commands;
  std::shared_ptr<output_store> output;
  std::shared_ptr<command_queries> queries;
  std::shared_ptr<lease_store> leases;
  std::shared_ptr<key_store> keys;
  std::shared_ptr<ban_store> bans;
  api_key key; // an active one
  node_info node;
};

class CommandStore : public StoreContract {};
class Claims : public StoreContract {};
class OutputStore : public StoreContract {};
class CommandQueries : public StoreContract {};
class Events : public StoreContract {};
class LeaseStore : public StoreContract {};
class KeyStore : public StoreContract {};
class AuditLog : public StoreContract {};
class BanStore : public StoreContract {};

// Our node is `node`, which seals.
class AuditChain : public StoreContract {
protected:
  void SetUp() override;

  void happens(const std::string& action, const std::optional<std::string>& project = std::nullopt);
  int seal_all();                           // gives how many
  audit_page listed(audit_query what = {}); // of what a test wrote
  audit_verification verified();

  std::shared_ptr<audit_chain_store> chain;
  std::shared_ptr<audit_reader> reader;
  std::int64_t first = 0; // what stood there before the test goes so far
};

// With what both suites about webhooks need. Our node is `node`.
class Webhooks : public StoreContract {
protected:
  void SetUp() override;

  [[nodiscard]] webhook a_webhook(std::vector<std::string> events = {"*"}) const;
  webhook made(const webhook& what);
  webhook made(std::vector<std::string> events = {"*"});
  webhook now(const webhook_id& id); // as it stands there
  // So many events of a project, spread.
  void happen(int n, const std::string& event = "command.queued", const std::string& project = "demo");
  fan_out spread(int most = 1000); // once nothing is held back
  std::optional<owned_webhook> owned(const webhook_id& id, const node_id& by);
  std::optional<owned_webhook> owned(const webhook_id& id);
  std::vector<due_delivery> due(const webhook_id& id, int most = 1000); // under our lease
  std::vector<delivery> deliveries(const webhook_id& id, const delivery_filter& which = {}, int limit = 200);
  delivery delivery_of(const webhook_id& id, const delivery_id& which);
  // An attempt under our lease.
  attempt_record attempt(const webhook_id& id, const delivery_id& which, attempt_outcome outcome);
  bool recorded(const attempt_record& one);
  bool recorded(const webhook_id& id, const delivery_id& which, attempt_outcome outcome);
  std::vector<std::string> events_of(const webhook_id& id); // of what waits, in the order of its sequence
  [[nodiscard]] key_writer bound_writer() const;            // writes for `key`

  std::shared_ptr<webhook_registry> endpoints;
  std::shared_ptr<webhook_outbox> outbox;
};
class WebhookRegistry : public Webhooks {};
class WebhookOutbox : public Webhooks {};

} // namespace rdev::test

// All suites for one rig.
#define RDEV_INSTANTIATE_STORE_CONTRACTS(name, maker)                                                                  \
  INSTANTIATE_TEST_SUITE_P(name, CommandStore, ::testing::Values(maker),                                               \
                           [](const auto&) { return std::string(#name); });                                            \
  INSTANTIATE_TEST_SUITE_P(name, Claims, ::testing::Values(maker), [](const auto&) { return std::string(#name); });    \
  INSTANTIATE_TEST_SUITE_P(name, OutputStore, ::testing::Values(maker),                                                \
                           [](const auto&) { return std::string(#name); });                                            \
  INSTANTIATE_TEST_SUITE_P(name, CommandQueries, ::testing::Values(maker),                                             \
                           [](const auto&) { return std::string(#name); });                                            \
  INSTANTIATE_TEST_SUITE_P(name, Events, ::testing::Values(maker), [](const auto&) { return std::string(#name); });    \
  INSTANTIATE_TEST_SUITE_P(name, LeaseStore, ::testing::Values(maker),                                                 \
                           [](const auto&) { return std::string(#name); });                                            \
  INSTANTIATE_TEST_SUITE_P(name, KeyStore, ::testing::Values(maker), [](const auto&) { return std::string(#name); });  \
  INSTANTIATE_TEST_SUITE_P(name, BanStore, ::testing::Values(maker), [](const auto&) { return std::string(#name); });  \
  INSTANTIATE_TEST_SUITE_P(name, WebhookRegistry, ::testing::Values(maker),                                            \
                           [](const auto&) { return std::string(#name); });                                            \
  INSTANTIATE_TEST_SUITE_P(name, WebhookOutbox, ::testing::Values(maker),                                              \
                           [](const auto&) { return std::string(#name); });                                            \
  INSTANTIATE_TEST_SUITE_P(name, AuditChain, ::testing::Values(maker),                                                 \
                           [](const auto&) { return std::string(#name); });                                            \
  INSTANTIATE_TEST_SUITE_P(name, AuditLog, ::testing::Values(maker), [](const auto&) { return std::string(#name); })
