#include "adapters/cli/follow.hpp"

namespace rdev::cli {

namespace {

// One connection: what came of it, if it was not the end.
std::variant<try_again, trouble> verdict_on(const result<http::response>& answer, bool overlong) {
  if (overlong)
    return trouble{trouble_kind::unreadable, "the server sent an event that is too long"};
  if (!answer)
    return meaning_of_failure(answer.error());
  if (answer->status == 200)
    return try_again{std::nullopt, "the stream was cut"};
  if (answer->status == 204)
    return trouble{trouble_kind::unreadable, "the server says that the stream is over, but its end has not come"};
  return refusal_in(*answer);
}

class following {
public:
  following(server& from, receiver& into) : from_(from), into_(into), left_(from.new_patience()) {
  }

  std::variant<completion, trouble> run(const std::string& path) {
    for (;;) {
      const auto verdict = connect(path);
      if (into_.failed())
        return *into_.failed();
      if (into_.completed())
        return *into_.completed();
      if (const auto* bad = std::get_if<trouble>(&verdict))
        return *bad;
      if (auto stop = wait_after(std::get<try_again>(verdict)))
        return *stop;
    }
  }

private:
  std::variant<try_again, trouble> connect(const std::string& path) {
    events_.restart();
    bool overlong = false;
    const auto answer = from_.stream(path, into_.last_event_id(), [&](std::string_view piece) {
      const auto got = events_.feed(piece, [this](const sse_event& event) { return take(event); });
      overlong = got == sse_reader::outcome::too_long;
      return got == sse_reader::outcome::hungry;
    });
    return verdict_on(answer, overlong);
  }

  bool take(const sse_event& event) {
    // Whatever comes, and be it a heartbeat, shows a server that is there; only `error` announces the opposite.
    if (event.name != "error") {
      left_.forget();
      notice_.over();
    }
    return into_.take(event);
  }

  std::optional<trouble> wait_after(const try_again& why) {
    if (const auto hint = events_.retry())
      left_.at_least(*hint);
    const auto pause = left_.after_failure(from_.time().now(), why.retry_after);
    if (!pause)
      return trouble{trouble_kind::unreachable, "the connection to " + from_.origin() + " is lost: " + why.why};
    notice_.failing(left_.failing_for(from_.time().now()) + *pause, from_.origin(), why.why);
    if (!from_.time().pause(*pause))
      return trouble{trouble_kind::interrupted, "interrupted"};
    return std::nullopt;
  }

  server& from_;
  receiver& into_;
  patience left_;
  outage_notice notice_;
  sse_reader events_;
};

} // namespace

std::variant<completion, trouble> follow(server& from, const command_name& which, receiver& into) {
  const auto path = with_query("/projects/" + percent_encoded(which.project) + "/events",
                               {{"stream_id", which.id}, {"framing", "chunk"}});
  return following(from, into).run(path);
}

} // namespace rdev::cli
