// STREAMS serves readers of event streams. Live tail and replay take one path: pages out of the store; a reader that
// has seen everything is parked until there is more.
#pragma once

#include "messages/ingress.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::streams {

// There is something new behind a command (output committed, started, ended). May be lost: parked readers also poll.
struct grown {
  command_id command;
};

// A project's status changed; a removed project is `stopped` with reason `deleted`.
struct project_changed {
  project what;
};

// What a key may do was changed: its readers are sent away, to come again and be asked who they are. No key: any was.
struct recheck {
  std::optional<key_id> key;
};

// All streams of this key end now.
struct revoke {
  key_id key;
};

// The server goes away: tell all readers to resume elsewhere.
struct drain {};

using actor = caf::typed_actor<caf::replies_to<ingress::read_stream>::with<answer<stream_news>>, caf::reacts_to<grown>,
                               caf::reacts_to<project_changed>, caf::reacts_to<recheck>, caf::reacts_to<revoke>,
                               caf::reacts_to<drain>>;

} // namespace rdev::streams
