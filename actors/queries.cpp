#include "actors/queries.hpp"

namespace rdev::queries {

namespace {

template <class T>
result<answer<outcome>> as_outcome(result<T> found) {
  if (!found)
    return std::move(found.error());
  return answer<outcome>(outcome(std::move(*found)));
}

refusal no_such_command() {
  return {refusal_code::not_found, "there is no such command", {}, {}};
}

refusal past_retention() {
  return {refusal_code::gone, "the output of this command is past its retention (output.retention)", {}, {}};
}

refusal beyond_the_end() {
  return {refusal_code::bad_request,
          "the event id lies beyond the end of this stream",
          {{"Last-Event-ID", "is not the id of an event of this stream: leave it out to begin at the start"}},
          {}};
}

} // namespace

result<answer<command_view>> state::visible(const request& asked, const command_id& id) {
  auto found = store->find(id);
  if (!found)
    return std::move(found.error());
  if (!*found || !asked.who.sees_project((*found)->project))
    return answer<command_view>(no_such_command());
  return answer<command_view>(std::move(**found));
}

void state::explain(command_view& command) const {
  if (command.status != command_status::queued || !settings.why_waits)
    return;
  if (auto why = settings.why_waits(command.project); !why.empty())
    command.waiting_for = std::move(why);
}

result<bool> state::gone(const command_view& command) {
  if (!command.result || command.result->out.bytes + command.result->err.bytes == 0)
    return false;
  auto there = store->has_output(command.id);
  if (!there)
    return std::move(there.error());
  return !*there;
}

result<answer<outcome>> state::list(const request& asked, list_commands what) {
  if (what.project && !asked.who.sees_project(*what.project))
    return answer<outcome>(refusal{refusal_code::forbidden, "the key is not bound to this project", {}, {}});
  auto found = store->list(what, asked.who.project_ids);
  if (found)
    for (auto& one : found->items)
      explain(one);
  return as_outcome(std::move(found));
}

result<answer<outcome>> state::open(const request& asked, const open_stream& what) {
  stream_opened opened{what.project, what.command, {}, !what.after.has_value(), false, asked.who.key};
  opened.holder = asked.who.command;
  opened.ends_at = asked.who.expires_at;
  if (opened.holder)
    opened.key = *key_id::from_uuid(opened.holder->uuid());
  if (!what.command)
    return answer<outcome>(outcome(opened));
  auto command = visible(asked, *what.command);
  if (!command)
    return std::move(command.error());
  if (!*command || (*command)->project != what.project)
    return answer<outcome>(no_such_command());
  if (auto lost = gone(**command); !lost)
    return std::move(lost.error());
  else if (*lost)
    return answer<outcome>(past_retention());
  if (!what.after)
    return answer<outcome>(outcome(opened));
  auto behind = store->events(*what.command, what.after, 1);
  if (!behind && behind.error().code == fault::invalid)
    return answer<outcome>(beyond_the_end());
  if (!behind)
    return std::move(behind.error());
  opened.from = *what.after;
  opened.already_complete =
      *behind && (*behind)->completed && (*behind)->chunks.empty() && (*behind)->next == *what.after;
  return answer<outcome>(outcome(opened));
}

caf::result<answer<outcome>> state::on_request(const request& asked) {
  auto answered = [&]() -> result<answer<outcome>> {
    if (const auto* op = std::get_if<list_commands>(&asked.what))
      return list(asked, *op);
    if (std::holds_alternative<get_queue>(asked.what))
      return as_outcome(store->queue(asked.who.project_ids));
    if (const auto* op = std::get_if<open_stream>(&asked.what))
      return open(asked, *op);
    const auto* show = std::get_if<get_command>(&asked.what);
    const auto* chunks = std::get_if<list_output>(&asked.what);
    const auto* bytes = std::get_if<read_output>(&asked.what);
    if (show == nullptr && chunks == nullptr && bytes == nullptr)
      return failure{fault::internal, "an operation that is not a query"};
    auto command = visible(asked, show != nullptr ? show->id : chunks != nullptr ? chunks->id : bytes->id);
    if (!command)
      return std::move(command.error());
    if (!*command)
      return answer<outcome>(std::move(command->why()));
    if (show == nullptr) {
      if (auto lost = gone(**command); !lost)
        return std::move(lost.error());
      else if (*lost)
        return answer<outcome>(past_retention());
    }
    if (chunks != nullptr)
      return as_outcome(store->chunks(*chunks));
    if (bytes != nullptr)
      return as_outcome(store->bytes(*bytes, settings.page_bytes));
    explain(**command);
    return answer<outcome>(outcome(std::move(**command)));
  }();
  if (!answered) {
    around.fault("queries", answered.error());
    return to_error(answered.error());
  }
  return std::move(*answered);
}

caf::result<events> state::on_events_after(const events_after& what) {
  auto found = store->events(what.command, what.position, settings.event_page_bytes);
  if (!found) {
    around.fault("queries", found.error());
    return to_error(found.error());
  }
  return events{std::move(*found)};
}

caf::result<behind> state::on_look_behind(const look_behind& what) {
  auto found = store->behind(what.places);
  if (!found)
    return to_error(found.error());
  return behind{std::move(*found)};
}

caf::result<output_bytes> state::on_stored(const stored& what) {
  auto found = store->bytes(what.what, settings.page_bytes);
  if (!found)
    return to_error(found.error());
  return std::move(*found);
}

void state::on_read_gauges() {
  auto now = store->queue(std::nullopt);
  const bool up = static_cast<bool>(now);
  around.metrics->dependency("database", up);
  around.health->set("database", up, up ? "ok" : "unreachable");
  if (now)
    around.metrics->queue(*now);
  self->delayed_send(self, settings.gauge_interval, read_gauges{});
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<command_queries> store) {
  self->state.around = around;
  self->state.settings = std::move(settings);
  self->state.store = std::move(store);
  self->send(self, read_gauges{});
  return {
      [=](const request& asked) { return self->state.on_request(asked); },
      [=](const events_after& what) { return self->state.on_events_after(what); },
      [=](const look_behind& what) { return self->state.on_look_behind(what); },
      [=](const stored& what) { return self->state.on_stored(what); },
      [=](read_gauges) { self->state.on_read_gauges(); },
  };
}

} // namespace rdev::queries
