#include "actors/auditor.hpp"

#include <algorithm>
#include <utility>

namespace rdev::auditor {

namespace {

constexpr std::size_t most_remembered = 10'000; // readers; then all are put on record again

std::string text_of(const std::optional<timestamp>& t) {
  return t ? to_rfc3339(*t) : std::string();
}

bool same_filter(const audit_query& a, const audit_query& b) {
  return a.actor == b.actor && a.action == b.action && a.project == b.project && a.from == b.from && a.to == b.to;
}

refusal too_much(std::int64_t most) {
  return {refusal_code::bad_request,
          "the request has 1 problem; see details",
          {{"from", "there are more than " + std::to_string(most) +
                        " records: ask for less with from and to, or run rdev-api audit verify"}},
          {}};
}

} // namespace

// CAF would not tell those whose promise is dropped.
state::~state() {
  for (auto& one : verifications)
    one.promise.deliver(to_error({fault::unavailable, "the verification ended before it was through"}));
}

caf::result<answer<outcome>> state::on_request(const request& asked) {
  if (const auto* verify = std::get_if<verify_audit>(&asked.what))
    return begin(asked, *verify);
  auto answered = std::visit(
      [&](const auto& what) -> reply {
        if constexpr (requires { carry_out(asked, what); })
          return carry_out(asked, what);
        else
          return failure{fault::internal, "an operation that is not about the audit log"};
      },
      asked.what);
  if (!answered)
    return to_error(answered.error());
  return std::move(*answered);
}

result<done> state::record(const request& asked, const char* action) {
  audit_record row;
  row.actor = asked.who.key;
  row.actor_name = asked.who.key_name;
  row.action = action;
  row.target = asked.from.path;
  row.outcome = "allowed";
  row.from = asked.from;
  if (const auto* list = std::get_if<list_audit>(&asked.what)) {
    const auto& what = list->what;
    row.project = what.project;
    row.detail = {{"after", std::to_string(what.after)},
                  {"action", what.action},
                  {"from", text_of(what.from)},
                  {"to", text_of(what.to)},
                  {"actor", what.actor ? what.actor->text() : std::string()}};
  }
  if (const auto* verify = std::get_if<verify_audit>(&asked.what))
    row.detail = {{"from", text_of(verify->from)}, {"to", text_of(verify->to)}};
  const new_audit_record fresh{audit_id::make(), std::move(row)};
  auto written = log->append(std::span(&fresh, 1));
  if (!written) {
    around.fault("auditor", written.error());
    return std::move(written.error());
  }
  around.metrics->audit_records(1);
  return done{};
}

// Who follows the log asks again and again, and would only ever read of their own asking: who goes on with what is on
// record needs no other one for a while. Anything else that is asked for, or from elsewhere, is another reading.
bool state::is_on_record(const request& asked, const list_audit& what) {
  const auto now = around.boot_clock();
  const auto last = readings.find({asked.who.key, asked.from.client_ip});
  const bool goes_on = what.goes_on && last != readings.end() && now - last->second.recorded < settings.record_again &&
                       same_filter(last->second.what, what.what) && what.what.after >= last->second.what.after &&
                       what.what.after <= last->second.through;
  return goes_on;
}

state::reply state::carry_out(const request& asked, const list_audit& what) {
  const bool known = is_on_record(asked, what);
  if (!known)
    if (auto on_record = record(asked, "audit.read"); !on_record)
      return std::move(on_record.error());
  auto query = what.what;
  query.projects = asked.who.project_ids;
  auto page = reader->list(query);
  if (!page) {
    around.fault("auditor", page.error());
    return std::move(page.error());
  }
  if (!known) {
    if (readings.size() >= most_remembered)
      readings.clear();
    readings[{asked.who.key, asked.from.client_ip}] = {what.what, 0, around.boot_clock()};
  }
  auto& through = readings[{asked.who.key, asked.from.client_ip}].through;
  through = std::max(through, page->looked_through);
  return answer<outcome>(outcome(std::move(*page)));
}

state::reply state::carry_out(const request& asked, const list_audit_keys&) {
  if (auto on_record = record(asked, "audit.keys"); !on_record)
    return std::move(on_record.error());
  auto keys = reader->keys();
  if (!keys) {
    around.fault("auditor", keys.error());
    return std::move(keys.error());
  }
  return answer<outcome>(outcome(audit_keys{std::move(*keys)}));
}

caf::result<answer<outcome>> state::begin(const request& asked, const verify_audit& what) {
  if (asked.who.project_ids)
    return answer<outcome>(
        refusal{refusal_code::forbidden, "the key is bound to projects, and the chain is over all of them", {}, {}});
  if (verifications.size() >= settings.most_verifications)
    return to_error({fault::unavailable, "enough verifications are under way"});
  if (auto on_record = record(asked, "audit.verify"); !on_record)
    return to_error(on_record.error());
  auto promise = self->make_response_promise<answer<outcome>>();
  verifications.push_back({audit_chain::verification(*reader, {}), {what.from, what.to}, promise});
  if (verifications.size() == 1)
    self->send(self, go_on{});
  return promise;
}

// One page of one of them at a time, so that others who read are not kept waiting.
void state::on_go_on() {
  auto now = std::move(verifications.front());
  verifications.pop_front();
  const auto over = now.one.go_on(now.range);
  if (!over) {
    around.fault("auditor", over.error());
    now.promise.deliver(to_error(over.error()));
  } else if (*over) {
    now.promise.deliver(answer<outcome>(outcome(now.one.outcome())));
  } else if (now.one.outcome().checked > settings.most_checked) {
    now.promise.deliver(answer<outcome>(too_much(settings.most_checked)));
  } else {
    verifications.push_back(std::move(now));
  }
  if (!verifications.empty())
    self->send(self, go_on{});
}

self_actor::behavior_type behavior(self_actor::stateful_pointer<state> self, surroundings around, config settings,
                                   std::shared_ptr<audit_reader> reader, std::shared_ptr<audit_log> log) {
  self->state.around = around;
  self->state.settings = settings;
  self->state.reader = std::move(reader);
  self->state.log = std::move(log);
  return {
      [=](const request& asked) { return self->state.on_request(asked); },
      [=](go_on) { self->state.on_go_on(); },
  };
}

} // namespace rdev::auditor
