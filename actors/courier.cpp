#include "actors/courier.hpp"

#include "adapters/crypto.hpp"

#include <algorithm>
#include <utility>

namespace rdev::courier {

namespace {

constexpr int gone = 410;
constexpr int too_many_requests = 429;
constexpr int service_unavailable = 503;

// Whether an answer says that the endpoint itself is in trouble, rather than that it does not like this request.
bool in_trouble(const sent_message& how) {
  return !how.error.empty() && (!how.status || *how.status >= 500 || *how.status == too_many_requests);
}

bool same(const secret& a, const secret& b) {
  return a.reveal() == b.reveal();
}

bool same(const signing_secrets& a, const signing_secrets& b) {
  return same(a.current, b.current) && a.former.has_value() == b.former.has_value() &&
         (!a.former || same(*a.former, *b.former));
}

// Whether a wish that comes with this status is about more than the one request.
bool of_the_whole_endpoint(int status) {
  return status == too_many_requests || status == service_unavailable;
}

} // namespace

std::size_t state::at_once() const {
  return endpoint.webhook.ordered ? 1 : static_cast<std::size_t>(settings.concurrency);
}

void state::on_serve(serve& what) {
  if (what.what.webhook.revision != endpoint.webhook.revision)
    start_afresh();
  if (hidden.empty() || !same(what.what.secrets, endpoint.secrets))
    hide(what.what.secrets);
  endpoint = std::move(what.what);
  good_until = what.good_until;
  more = more || endpoint.has_due;
  pump();
}

// As bytes and as the text that its owner was given (behind `whsec_`).
void state::hide(const signing_secrets& secrets) {
  std::vector<redactor::registration> all;
  for (const auto* one : {&secrets.current, secrets.former ? &*secrets.former : nullptr}) {
    if (one == nullptr || one->empty())
      continue;
    all.push_back(around.hide(*one));
    all.push_back(around.hide(secret(to_base64(one->reveal()))));
  }
  hidden = std::move(all);
}

// Its owner changed it: another order may count, and what was known of how it fares may be of another endpoint.
void state::start_afresh() {
  forget_fetched();
  leave_alone_until = std::chrono::milliseconds(0);
  breaker.recovered();
}

void state::on_wake() {
  more = true;
  replenish();
}

void state::on_go_on() {
  if (around.boot_clock() >= timer_is_set_for) // else it was set before a sooner one
    timer_is_set_for = std::chrono::milliseconds(0);
  pump();
}

void state::on_stop() {
  stopping = true;
  buffer.clear();
  if (flights.empty())
    self->send(keeper, stopped{endpoint.webhook.id, endpoint.token});
}

void state::replenish() {
  const auto wanted = static_cast<std::size_t>(settings.buffer);
  if (fetching || stopping || !more || !endpoint.webhook.enabled || buffer.size() > wanted / 2)
    return;
  fetching = true;
  settled.clear();
  const auto most = static_cast<int>(wanted + flights.size());
  self->request(keeper, caf::infinite, fetch{endpoint.webhook.id, endpoint.token, most})
      .then(
          [this, most](fetched& got) {
            fetching = false;
            const bool counts = !std::exchange(outdated, false);
            more = !counts || static_cast<int>(got.all.size()) == most;
            if (counts)
              take(got.all);
            pump();
          },
          [this](const caf::error&) { fetching = outdated = false; }); // WEBHOOKS says again and again what is due
}

// What is under way, or came back while this was being fetched, is not sent again.
void state::take(std::vector<due_delivery>& all) {
  buffer.clear();
  for (auto& one : all) {
    if (flights.contains(one.id) || settled.contains(one.id))
      continue;
    if (one.due_in > std::chrono::milliseconds(0)) {
      more = false; // WEBHOOKS says when it is due
      break;
    }
    buffer.push_back(std::move(one));
  }
}

void state::forget_fetched() {
  buffer.clear();
  outdated = fetching;
}

void state::pump() {
  while (!buffer.empty() && may_send()) {
    auto next = std::move(buffer.front());
    buffer.pop_front();
    send_one(std::move(next));
  }
  replenish();
}

bool state::may_send() {
  const auto now = around.boot_clock();
  if (stopping || !endpoint.webhook.enabled || flights.size() >= at_once() || now >= good_until)
    return false;
  const auto then = std::max(leave_alone_until, now + breaker.remaining(now));
  if (then <= now)
    return true;
  wait_until(then);
  return false;
}

void state::wait_until(std::chrono::milliseconds then) {
  const bool one_is_set = timer_is_set_for > std::chrono::milliseconds(0);
  if (one_is_set && timer_is_set_for <= then)
    return;
  timer_is_set_for = then;
  self->delayed_send(self, then - around.boot_clock(), go_on{});
}

void state::send_one(due_delivery what) {
  const auto now = around.boot_clock();
  const auto pass = breaker.admit(now);
  outgoing_message message{endpoint.webhook.id, endpoint.webhook.url, endpoint.secrets, what.sequence, what.what};
  const auto id = what.id;
  flights.insert_or_assign(id, under_way{std::move(what), pass.value_or(0), now, endpoint.webhook.revision});
  sender->send(std::move(message), [me = actor(self), id](sent_message how) {
    caf::anon_send(me, sent{id, std::move(how)});
  });
}

void state::on_sent(sent& what) {
  const auto found = flights.find(what.delivery);
  if (found == flights.end())
    return;
  const auto flight = std::move(found->second);
  flights.erase(found);
  if (fetching)
    settled.insert(what.delivery);
  const auto now = around.boot_clock();
  const auto before = breaker.state();
  breaker.ended(now, flight.pass, !in_trouble(what.how), what.how.latency);
  if (breaker.state() != before)
    around.log->info(breaker.state() == circuit_state::open ? log_message("an endpoint is left alone")
                                                            : log_message("an endpoint is well again"),
                     {{"webhook", endpoint.webhook.id.text()}, {"why", what.how.error}});
  const bool wishes = flight.revision == endpoint.webhook.revision && what.how.retry_after;
  if (wishes && of_the_whole_endpoint(what.how.status.value_or(0)))
    leave_alone_until = std::max(leave_alone_until, now + retry_schedule::wish_of(*what.how.retry_after));
  auto record = judged(flight, what.how);
  if (record.outcome == attempt_outcome::retry && endpoint.webhook.ordered)
    forget_fetched(); // it comes before all others
  if (record.outcome == attempt_outcome::disable) {
    endpoint.webhook.enabled = false;
    forget_fetched(); // the store says whether anything is to be sent, once it knows
  }
  self->send(keeper, attempted{std::move(record)});
  if (stopping && flights.empty())
    return self->send(keeper, stopped{endpoint.webhook.id, endpoint.token});
  pump();
}

attempt_record state::judged(const under_way& flight, sent_message& how) {
  attempt_record out;
  out.webhook = endpoint.webhook.id;
  out.token = endpoint.token;
  out.delivery = flight.what.id;
  out.ago = around.boot_clock() - flight.since;
  const bool delivered = how.error.empty();
  if (!delivered && how.status == gone && flight.revision == endpoint.webhook.revision) {
    out.outcome = attempt_outcome::disable;
  } else if (!delivered) {
    const auto chance = std::uniform_real_distribution<double>(0, 1)(dice);
    const auto next = settings.retries.after(flight.what.attempts + 1, how.retry_after, chance);
    out.outcome = next ? attempt_outcome::retry : attempt_outcome::failed;
    out.retry_in = next.value_or(std::chrono::milliseconds(0));
  }
  out.what.status = how.status;
  out.what.latency = how.latency;
  out.what.error = std::move(how.error);
  out.what.body = std::move(how.body);
  return out;
}

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, config settings, parent keeper,
                              std::shared_ptr<webhook_sender> sender) {
  self->state.around = around;
  self->state.breaker = circuit(settings.limits);
  self->state.settings = std::move(settings);
  self->state.keeper = std::move(keeper);
  self->state.sender = std::move(sender);
  return {
      [=](serve& what) { self->state.on_serve(what); },
      [=](wake) { self->state.on_wake(); },
      [=](stop) { self->state.on_stop(); },
      [=](sent& what) { self->state.on_sent(what); },
      [=](go_on) { self->state.on_go_on(); },
  };
}

} // namespace rdev::courier
