// INGRESS is the door: every request from the outside enters here and gets an exchange of its own, which walks it
// from actor to actor; readers of event streams pass through to STREAMS, readers of stored bytes to QUERIES.
#pragma once

#include "messages/vocabulary.hpp"

#include <caf/typed_actor.hpp>

namespace rdev::ingress {

struct perform {
  api_request request;
};

// What lies behind `position` of an opened stream; held back for up to `wait` while there is nothing.
struct read_stream {
  stream_opened opened;
  event_position position;
  std::chrono::milliseconds wait{0};
};

// The next piece of a stored stream whose reading perform() has allowed.
struct read_bytes {
  read_output what;
};

using actor = caf::typed_actor<
    // Identifies, meters and carries out one request. Always answers: faults have become refusals.
    caf::replies_to<perform>::with<api_reply>,
    // The next page of a stream, or an empty one after `wait`.
    caf::replies_to<read_stream>::with<answer<stream_news>>,
    // The next bytes; QUERIES answers.
    caf::replies_to<read_bytes>::with<output_bytes>>;

} // namespace rdev::ingress
