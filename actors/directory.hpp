// Where each actor lives now. The supervisor writes it, everybody reads it before a request, so that a restarted actor
// is found under its new address. A request to an actor that has just died fails with `receiver down`, which is a
// fault.
#pragma once

#include "messages/api_keys.hpp"
#include "messages/audit.hpp"
#include "messages/auditor.hpp"
#include "messages/auth.hpp"
#include "messages/command_queue.hpp"
#include "messages/endpoints.hpp"
#include "messages/ingress.hpp"
#include "messages/leases.hpp"
#include "messages/lockout.hpp"
#include "messages/output_log.hpp"
#include "messages/pod_control.hpp"
#include "messages/queries.hpp"
#include "messages/rate_limit.hpp"
#include "messages/refusals.hpp"
#include "messages/runner.hpp"
#include "messages/streams.hpp"
#include "messages/webhooks.hpp"

#include <mutex>
#include <shared_mutex>
#include <tuple>

namespace rdev {

class directory {
public:
  template <class Actor>
  [[nodiscard]] Actor get() const {
    std::shared_lock guard(mutex_);
    return std::get<Actor>(handles_);
  }

  template <class Actor>
  void set(Actor handle) {
    std::unique_lock guard(mutex_);
    std::get<Actor>(handles_) = std::move(handle);
  }

  // Drops every handle, so that the actor system can end.
  void clear() {
    std::unique_lock guard(mutex_);
    handles_ = {};
  }

private:
  mutable std::shared_mutex mutex_;
  std::tuple<ingress::actor, auth::actor, api_keys::actor, rate_limit::actor, pod_control::actor, command_queue::actor,
             runner::actor, output_log::actor, queries::actor, streams::actor, audit::actor, webhooks::actor,
             leases::actor, lockout::actor, endpoints::actor, auditor::actor, refusals::actor>
      handles_;
};

} // namespace rdev
