#include "actors/exchange.hpp"

#include "actors/refusal_record.hpp"

#include <utility>

namespace rdev::exchange {

namespace {

// What a fault looks like from the outside. Its message stays inside.
refusal as_refusal(fault code) {
  switch (code) {
  case fault::unavailable:
  case fault::no_space:
    return {
        refusal_code::service_unavailable, "a part that rdev needs is away: repeat later", {}, std::chrono::seconds(1)};
  case fault::key_changed:
    return {refusal_code::service_unavailable,
            "the key is being changed again and again: repeat when that is over",
            {},
            std::chrono::seconds(1)};
  case fault::unknown_outcome:
  case fault::deadline:
    return {refusal_code::service_unavailable,
            "the outcome is unknown: repeat with the same Idempotency-Key",
            {},
            std::chrono::seconds(1)};
  case fault::stale_token:
  case fault::invalid:
  case fault::internal:
    break;
  }
  return {refusal_code::internal_error,
          "rdev has failed at this request; the log has the details under its request id",
          {},
          {}};
}

refusal over_limit(rate_limit::rule by, const rate_state& now) {
  const auto refused = [&](const char* field, const char* message) {
    return refusal{refusal_code::too_many_requests, message, {{field, "over its limit of requests"}}, now.resets_in};
  };
  switch (by) {
  case rate_limit::rule::key:
    return refused("key", "the key has used up its requests for the moment");
  case rate_limit::rule::address:
    return refused("address", "this address has sent too many requests without a good key");
  case rate_limit::rule::global:
    break;
  }
  return refused("global", "the server has all the requests that it takes at the moment");
}

// What a project's own commands may do with their credential (RDEV_TOKEN), beyond reading it.
const std::string may_submit_label = "rdev.orchard9.ai/commands-may-submit";

template <class T, class... Ts>
constexpr bool one_of = (std::is_same_v<T, Ts> || ...);

template <class T>
constexpr bool about_projects = one_of<T, list_projects, get_project, create_project, delete_project, change_project>;
template <class T>
constexpr bool about_keys = one_of<T, list_keys, create_key, get_key, change_key, revoke_key, rotate_key>;
template <class T>
constexpr bool about_bans = one_of<T, list_bans, lift_ban>;
template <class T>
constexpr bool about_audit = one_of<T, list_audit, verify_audit, list_audit_keys>;
template <class T>
constexpr bool about_webhooks =
    one_of<T, list_webhooks, create_webhook, get_webhook, change_webhook, delete_webhook, test_webhook,
           rotate_webhook_secret, list_deliveries, get_delivery, redeliver, replay_deliveries>;

} // namespace

// CAF would not tell the asker of an exchange that died.
state::~state() {
  if (promise.pending())
    promise.deliver(to_error({fault::unknown_outcome, "an exchange ended before it answered"}));
}

reply state::on_perform(ingress::perform& what) {
  request = std::move(what.request);
  promise = self->make_response_promise<api_reply>();
  identify();
  return promise;
}

void state::identify() {
  around.trace(request.from, "exchange", "auth", "identify");
  self->request(around.peers->get<auth::actor>(), caf::infinite,
                auth::identify{request.from, request.credential, walks > 1})
      .then(
          [this](answer<principal>& known) {
            if (!known)
              return turn_away(std::move(known.why()));
            unchanged = walks > 1 && who->revision == known->revision ? unchanged + 1 : 0;
            if (unchanged == looks_until_believed) // by the clock of the store the key has ended
              return answer_with(refusal{refusal_code::key_expired, "the key has expired: ask for a new one", {}, {}});
            who = std::move(*known);
            walks > 1 ? entitle() : meter();
          },
          [this](const caf::error& e) { fail(e); });
}

// Who has no good key is metered by address; the limit's refusal goes before that of the key.
void state::turn_away(refusal why) {
  const bool locked_out = why.code == refusal_code::too_many_requests;
  stranger = {request.from.client_ip, locked_out ? why.retry_after : std::chrono::milliseconds::zero()};
  if (locked_out)
    return answer_with(std::move(why));
  around.trace(request.from, "exchange", "rate_limit", "meter");
  self->request(around.peers->get<rate_limit::actor>(), caf::infinite,
                rate_limit::meter{request.from, std::nullopt, std::nullopt})
      .then(
          [this, why](const rate_limit::metered& metered) {
            answer_with(metered.refused_by ? over_limit(*metered.refused_by, metered.state) : why);
          },
          [this](const caf::error& e) { fail(e); });
}

void state::meter() {
  around.trace(request.from, "exchange", "rate_limit", "meter");
  self->request(around.peers->get<rate_limit::actor>(), caf::infinite,
                rate_limit::meter{request.from, who->key, who->rate_limit})
      .then(
          [this](const rate_limit::metered& metered) {
            if (metered.state.quota > 0 && metered.refused_by != rate_limit::rule::global)
              rate = metered.state;
            if (metered.refused_by)
              return answer_with(over_limit(*metered.refused_by, metered.state));
            entitle();
          },
          [this](const caf::error& e) { fail(e); });
}

void state::entitle() {
  const bool own_command = who->command && request.needed == scope::projects_execute && request.project;
  if (own_command && who->may_not_submit)
    return answer_with(
        refusal{*who->may_not_submit, "the key that submitted this command may not submit any more", {}, {}});
  if (!who->granted.allow(request.needed) && !own_command)
    return answer_with(
        refusal{refusal_code::forbidden, "the key lacks the scope " + std::string(name_of(request.needed)), {}, {}});
  if (request.project && !who->sees_project(*request.project))
    return answer_with(refusal{refusal_code::forbidden, "the key is not bound to this project", {}, {}});
  if (own_command)
    return ask_project();
  parse();
}

// A command may submit others to its own project if that says so.
void state::ask_project() {
  self->request(around.peers->get<pod_control::actor>(), caf::infinite,
                pod_control::locate{request.from, *request.project})
      .then(
          [this](const answer<project>& where) {
            const auto label =
                where ? where->labels.find(may_submit_label) : std::map<std::string, std::string>::const_iterator{};
            if (where && label != where->labels.end() && label->second == "true")
              return parse();
            answer_with(refusal{refusal_code::forbidden,
                                "the project does not allow its commands to submit others: its label " +
                                    may_submit_label + " is not true",
                                {},
                                {}});
          },
          [this](const caf::error& e) { fail(e); });
}

void state::parse() {
  auto parsed = request.recipe();
  if (!parsed)
    return answer_with(std::move(parsed.why()));
  hide_secrets();
  carry_out(std::move(*parsed));
}

// From here on these go into records only. Not the path: repeats are known by it.
void state::hide_secrets() {
  for (auto* text : {&request.from.request_id, &request.from.trace_id, &who->key_name})
    *text = cleaned(around.audited, std::move(*text));
}

void state::carry_out(operation what) {
  std::visit(
      [this](auto& op) {
        using kind = std::decay_t<decltype(op)>;
        if constexpr (std::is_same_v<kind, submit_command>)
          submit(std::move(op));
        else if constexpr (std::is_same_v<kind, cancel_command>)
          cancel(op);
        else if constexpr (about_projects<kind>)
          ask_owner<pod_control::actor>(
              "pod_control", pod_control::request{*who, request.from, request.idempotency, operation(std::move(op))});
        else if constexpr (about_keys<kind>)
          ask_owner<api_keys::actor>(
              "api_keys", api_keys::request{*who, request.from, request.idempotency, operation(std::move(op))});
        else if constexpr (about_bans<kind>)
          ask_owner<lockout::actor>("lockout", lockout::request{*who, request.from, operation(std::move(op))});
        else if constexpr (about_audit<kind>)
          ask_owner<auditor::actor>("auditor", auditor::request{*who, request.from, operation(std::move(op))});
        else if constexpr (about_webhooks<kind>)
          ask_owner<endpoints::actor>(
              "endpoints", endpoints::request{*who, request.from, request.idempotency, operation(std::move(op))});
        else
          ask_owner<queries::actor>("queries", queries::request{*who, request.from, operation(std::move(op))});
      },
      what);
}

template <class Owner, class Request>
void state::ask_owner(std::string_view owner, Request what) {
  around.trace(request.from, "exchange", owner, "request");
  self->request(around.peers->get<Owner>(), caf::infinite, std::move(what))
      .then(
          [this](answer<outcome>& done) {
            if (done && !request.writes() && around.boot_clock() >= who->good_until)
              return identify_again(std::move(done));
            answer_with(std::move(done));
          },
          [this](const caf::error& e) { fail(e); });
}

// A read that took longer than keys are served from memory: the key may have been revoked meanwhile, here or, while
// this node stood still, elsewhere. (What is written is refused by the store itself.)
void state::identify_again(answer<outcome> read) {
  self->request(around.peers->get<auth::actor>(), caf::infinite, auth::identify{request.from, request.credential, true})
      .then(
          [this, read](answer<principal>& known) mutable {
            answer_with(known ? std::move(read) : answer<outcome>(std::move(known.why())));
          },
          [this](const caf::error& e) { fail(e); });
}

void state::submit(submit_command what) {
  around.trace(request.from, "exchange", "pod_control", "locate");
  self->request(around.peers->get<pod_control::actor>(), caf::infinite,
                pod_control::locate{request.from, what.what.project})
      .then(
          [this, what](const answer<project>& where) mutable {
            if (!where)
              return replay_or_refuse(what.what.project, where.why());
            around.trace(request.from, "exchange", "command_queue", "submit");
            command_queue::submit message{*who, request.from, request.idempotency, std::move(what.what)};
            self->request(around.peers->get<command_queue::actor>(), caf::infinite, std::move(message))
                .then(
                    [this](answer<submitted>& done) {
                      if (!done)
                        return answer_with(std::move(done.why()));
                      answer_with(outcome(std::move(*done)));
                    },
                    [this](const caf::error& e) { fail(e); });
          },
          [this](const caf::error& e) { fail(e); });
}

// What was accepted once is answered like the first time, also when the project would refuse it by now.
void state::replay_or_refuse(const std::string& project, const refusal& why) {
  if (!request.idempotency)
    return answer_with(why);
  self->request(around.peers->get<command_queue::actor>(), caf::infinite,
                command_queue::look_up{who->family, request.from, *request.idempotency})
      .then(
          [this, project, why](const command_queue::looked_up& before) {
            const auto id = before.hit ? command_id::from_uuid(before.hit->resource) : std::nullopt;
            if (!id || !before.hit->same_body)
              return answer_with(why);
            answer_with(outcome(submitted{*id, project, true}));
          },
          [this](const caf::error& e) { fail(e); });
}

// A command of a project that the asker does not see is not found, so it is looked up first.
void state::cancel(const cancel_command& what) {
  around.trace(request.from, "exchange", "queries", "request");
  self->request(around.peers->get<queries::actor>(), caf::infinite,
                queries::request{*who, request.from, get_command{what.id}})
      .then(
          [this, what](answer<outcome>& found) {
            if (!found)
              return answer_with(std::move(found.why()));
            around.trace(request.from, "exchange", "command_queue", "cancel");
            cancel_order order{what.id, cancel_reason::user, who->key, who->key_name, request.from, who->revision};
            self->request(around.peers->get<command_queue::actor>(), caf::infinite,
                          command_queue::cancel{std::move(order)})
                .then(
                    [this, what](const command_queue::cancelled& done) {
                      switch (done.verdict) {
                      case cancel_verdict::not_found:
                        return answer_with(refusal{refusal_code::not_found, "there is no such command", {}, {}});
                      case cancel_verdict::ended:
                        return answer_with(refusal{refusal_code::conflict, "the command has ended already", {}, {}});
                      case cancel_verdict::never_ran:
                        return answer_with(outcome(cancel_accepted{what.id, command_status::cancelled}));
                      case cancel_verdict::key_changed:
                        return fail(to_error({fault::key_changed, ""}));
                      case cancel_verdict::requested:
                        return answer_with(outcome(cancel_accepted{what.id, command_status::running}));
                      }
                    },
                    [this](const caf::error& e) { fail(e); });
          },
          [this](const caf::error& e) { fail(e); });
}

void state::answer_with(answer<outcome> what) {
  if (deliver(std::move(what)))
    self->send(keeper, idle{self->id(), std::exchange(stranger, std::nullopt)});
}

bool state::deliver(answer<outcome> what) {
  if (!promise.pending())
    return false;
  if (!what)
    record_refusal(what.why());
  promise.deliver(api_reply{std::move(what), std::move(who), rate});
  request = {};
  walks = 1;
  unchanged = 0;
  who.reset();
  rate.reset();
  return true;
}

// Who was refused what is on record; a refusal keeps its own code even if the audit log is away.
void state::record_refusal(const refusal& why) {
  around.trace(request.from, "exchange", "refusals", "refused");
  self->send(around.peers->get<refusals::actor>(),
             refusals::refused{refusal_record(around, request.from, why, who, request.project)});
}

void state::fail(const caf::error& why) {
  const auto failed = to_failure(why);
  if (failed.code == fault::key_changed && walks < most_walks) {
    // Nothing was done: ask once more who this is, and what they may do now.
    if (++walks <= walks_without_pause)
      return identify();
    return self->delayed_send(self, std::chrono::milliseconds(10), walk_again{});
  }
  around.fault("exchange", failed);
  answer_with(as_refusal(failed.code));
}

// Whoever was too late may still answer: this exchange takes no other request.
void state::on_expired() {
  if (!deliver(as_refusal(fault::deadline)))
    return; // it was in time after all
  around.metrics->fault_seen("deadline");
  self->quit();
}

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, parent keeper) {
  self->state.around = around;
  self->state.keeper = std::move(keeper);
  return {
      [=](ingress::perform& what) { return self->state.on_perform(what); },
      [=](expired) { self->state.on_expired(); },
      [=](walk_again) { self->state.identify(); },
  };
}

} // namespace rdev::exchange
