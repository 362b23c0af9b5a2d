// What every implementation of the durable store must do, as test suites over a rig. A test program that has a rig
// calls INSTANTIATE_TEST_SUITE_P for each suite below and links rdev_store_contracts.
#pragma once

#include "adapters/audit_log.hpp"
#include "adapters/command_store.hpp"
#include "adapters/key_store.hpp"

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
  [[nodiscard]] key_writer writer(const std::string& name = "tester") const;

  std::unique_ptr<store_rig> rig;
  std::shared_ptr<command_store> commands;
  std::shared_ptr<output_store> output;
  std::shared_ptr<command_queries> queries;
  std::shared_ptr<lease_store> leases;
  std::shared_ptr<key_store> keys;
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
  INSTANTIATE_TEST_SUITE_P(name, AuditLog, ::testing::Values(maker), [](const auto&) { return std::string(#name); })
