// POD CONTROL owns the projects: folders with the local runner, pods with Kubernetes.
#pragma once

#include "messages/values/operations.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::pod_control {

// Whether commands may be submitted to a project. Refusals: not_found, conflict (stopped by a user).
struct locate {
  request_context from;
  std::string project;
};

struct request {
  principal who;
  request_context from;
  std::optional<rdev::idempotency> idempotency;
  operation what; // one of list_projects, get_project, create_project, delete_project, change_project
};

// A project as the host found it, after something about it has changed. May be lost: streams also poll, and a later
// change tells of the health, too.
struct seen {
  project what;
};

using actor = caf::typed_actor<
    // The project as it is now.
    caf::replies_to<locate>::with<answer<project>>,
    // Lists are filtered by the asker's binding. Changes are recorded with audit and event row by COMMAND QUEUE.
    caf::replies_to<request>::with<answer<outcome>>,
    // Told to the streams of the project; its health becomes an event.
    caf::reacts_to<seen>>;

} // namespace rdev::pod_control
