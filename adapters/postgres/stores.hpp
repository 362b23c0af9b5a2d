// The durable store on PostgreSQL. Each object has a connection of its own and belongs to one lane (one thread at a
// time).
#pragma once

#include "adapters/audit_log.hpp"
#include "adapters/audit_store.hpp"
#include "adapters/ban_store.hpp"
#include "adapters/censor.hpp"
#include "adapters/circuits.hpp"
#include "adapters/command_store.hpp"
#include "adapters/crypto.hpp"
#include "adapters/key_store.hpp"
#include "adapters/log.hpp"
#include "adapters/webhook_store.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace rdev::postgres {

struct store_config {
  std::string conninfo;                                  // libpq keywords or URL
  std::shared_ptr<rdev::sealer> sealer;                  // of env values, webhook secrets and idempotency digests
  std::chrono::seconds idempotency_retention{24 * 3600}; // of Idempotency-Key records
  std::chrono::seconds output_retention{7 * 24 * 3600};  // of output; whole days are dropped
  std::chrono::seconds record_retention{90 * 24 * 3600}; // of commands, results and event rows
  std::chrono::seconds audit_retention{90 * 24 * 3600};  // of the audit log; whole days are dropped
  std::chrono::seconds webhook_retention{7 * 24 * 3600}; // of deliveries and their attempts; whole days are dropped
  std::chrono::seconds ban_memory{24 * 3600};            // of bans that have ended, for their strikes
  std::shared_ptr<circuits> breakers;                    // "database"; or none
  std::shared_ptr<const censor> audited;                 // of what comes from outside in an audit record; or none
};

std::shared_ptr<command_store> make_command_store(const store_config& config);
std::shared_ptr<output_store> make_output_store(const store_config& config);
std::shared_ptr<command_queries> make_command_queries(const store_config& config);
std::shared_ptr<lease_store> make_lease_store(const store_config& config);
std::shared_ptr<key_store> make_key_store(const store_config& config);
std::shared_ptr<audit_log> make_audit_log(const store_config& config);
std::shared_ptr<audit_chain_store> make_audit_chain(const store_config& config);
std::shared_ptr<audit_reader> make_audit_reader(const store_config& config);
std::shared_ptr<ban_store> make_ban_store(const store_config& config);
std::shared_ptr<webhook_registry> make_webhook_registry(const store_config& config);
std::shared_ptr<webhook_outbox> make_webhook_outbox(const store_config& config);

// `changed` is called by a thread of its own, mostly within milliseconds and in the order of the epochs. `log` must
// live longer.
std::unique_ptr<key_feed> follow_keys(const store_config& config, std::function<void(const key_news&)> changed,
                                      rdev::log& log);

} // namespace rdev::postgres
