// The ports with failpoints around their durable borders: the same stores and runners, which can be told to break. A
// call that is to fail before its work answers `unavailable`; behind it, `unknown_outcome`. Without RDEV_FAILPOINTS
// they are what they were given.
#pragma once

#include "adapters/audit_log.hpp"
#include "adapters/audit_store.hpp"
#include "adapters/ban_store.hpp"
#include "adapters/command_store.hpp"
#include "adapters/key_store.hpp"
#include "adapters/process_runner.hpp"
#include "adapters/webhook_store.hpp"

#include <memory>

namespace rdev::failpoint {

std::shared_ptr<command_store> around(std::shared_ptr<command_store> inner);
std::shared_ptr<output_store> around(std::shared_ptr<output_store> inner);
std::shared_ptr<lease_store> around(std::shared_ptr<lease_store> inner);
std::shared_ptr<key_store> around(std::shared_ptr<key_store> inner);
std::shared_ptr<ban_store> around(std::shared_ptr<ban_store> inner);
std::shared_ptr<audit_log> around(std::shared_ptr<audit_log> inner);
std::shared_ptr<audit_chain_store> around(std::shared_ptr<audit_chain_store> inner);
std::shared_ptr<webhook_outbox> around(std::shared_ptr<webhook_outbox> inner);
std::shared_ptr<process_runner> around(std::shared_ptr<process_runner> inner);

} // namespace rdev::failpoint
