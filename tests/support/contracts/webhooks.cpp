#include "tests/support/contracts/store_contract.hpp"

#include <algorithm>
#include <array>

namespace rdev::test {

void Webhooks::SetUp() {
  StoreContract::SetUp();
  endpoints = rig->endpoints();
  outbox = rig->outbox();
  (void)spread(); // what has happened so far
}

webhook Webhooks::a_webhook(std::vector<std::string> events) const {
  webhook out;
  out.id = webhook_id::make();
  out.url = "https://user:pass@hooks.example.com/in?token=t0p#x";
  out.events = std::move(events);
  out.created_by = key.id;
  return out;
}

webhook Webhooks::made(const webhook& what) {
  auto receipt = value_of(endpoints->create(what, secret("the secret of " + what.id.text()), writer()));
  EXPECT_EQ(receipt.verdict, mint_verdict::created);
  return receipt.webhook;
}

webhook Webhooks::made(std::vector<std::string> events) {
  return made(a_webhook(std::move(events)));
}

webhook Webhooks::now(const webhook_id& id) {
  auto found = value_of(endpoints->find(id));
  EXPECT_TRUE(found);
  return found.value_or(webhook{});
}

void Webhooks::happen(int n, const std::string& event, const std::string& project) {
  for (int i = 0; i < n; ++i)
    rig->happens(event, project);
  while (spread().more) {
  }
}

fan_out Webhooks::spread(int most) {
  fan_out out;
  do { // a server may have open transactions of its own
    auto part = value_of(outbox->spread(most - out.events));
    out.events += part.events;
    out.webhooks.insert(out.webhooks.end(), part.webhooks.begin(), part.webhooks.end());
    out.more = part.more;
    out.held = part.held;
  } while (out.held && out.events < most);
  return out;
}

std::optional<owned_webhook> Webhooks::owned(const webhook_id& id, const node_id& by) {
  for (auto& one : value_of(outbox->own(by)).mine)
    if (one.webhook.id == id)
      return one;
  return std::nullopt;
}

std::optional<owned_webhook> Webhooks::owned(const webhook_id& id) {
  return owned(id, node.id);
}

std::vector<due_delivery> Webhooks::due(const webhook_id& id, int most) {
  const auto mine = owned(id);
  return mine ? value_of(outbox->due(id, mine->token, most)) : std::vector<due_delivery>{};
}

std::vector<delivery> Webhooks::deliveries(const webhook_id& id, const delivery_filter& which, int limit) {
  return value_of(endpoints->deliveries({id, which, {std::nullopt, limit}})).items;
}

delivery Webhooks::delivery_of(const webhook_id& id, const delivery_id& which) {
  auto found = value_of(endpoints->find_delivery(id, which));
  EXPECT_TRUE(found);
  return found.value_or(delivery{});
}

attempt_record Webhooks::attempt(const webhook_id& id, const delivery_id& which, attempt_outcome outcome) {
  attempt_record out;
  out.webhook = id;
  out.token = owned(id).value_or(owned_webhook{}).token;
  out.delivery = which;
  out.outcome = outcome;
  out.retry_in = std::chrono::hours(1);
  const bool good = outcome == attempt_outcome::delivered;
  out.what.status = good ? 200 : 500;
  out.what.error = good ? "" : "answered 500";
  return out;
}

bool Webhooks::recorded(const attempt_record& one) {
  const auto verdicts = value_of(outbox->record({&one, 1}));
  return verdicts.size() == 1 && verdicts[0];
}

bool Webhooks::recorded(const webhook_id& id, const delivery_id& which, attempt_outcome outcome) {
  return recorded(attempt(id, which, outcome));
}

std::vector<std::string> Webhooks::events_of(const webhook_id& id) {
  auto waiting = due(id);
  std::sort(waiting.begin(), waiting.end(), [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
  std::vector<std::string> out;
  for (const auto& one : waiting)
    out.push_back(one.what.event);
  return out;
}

key_writer Webhooks::bound_writer() const {
  auto out = writer();
  out.by = key.id;
  return out;
}

} // namespace rdev::test
