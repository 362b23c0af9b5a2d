// QUERIES answers what is in the store: states, lists, output. It never writes.
#pragma once

#include "messages/values/changes.hpp"
#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::queries {

struct request {
  principal who;
  request_context from;
  operation what; // one of list_commands, get_command, get_queue, list_output, read_output, open_stream
};

// A page of a command's events. No page: there is no such command.
struct events_after {
  command_id command;
  std::optional<event_position> position; // none = from the start
};
struct events {
  std::optional<event_page> page;
};

// Of many places, the commands that have something behind theirs; those that are not there any more, too.
struct look_behind {
  std::vector<event_place> places;
};
struct behind {
  std::vector<command_id> commands;
};

// A piece of a stored stream, for an owner that took a command over.
struct stored {
  read_output what;
};

using actor = caf::typed_actor<
    // Commands of projects that the asker does not see are not found.
    caf::replies_to<request>::with<answer<outcome>>, caf::replies_to<events_after>::with<events>,
    caf::replies_to<look_behind>::with<behind>, caf::replies_to<stored>::with<output_bytes>>;

} // namespace rdev::queries
