#include "tests/support/contracts/store_contract.hpp"

#include <algorithm>
#include <array>

namespace rdev::test {

using namespace std::chrono_literals;

namespace {

delivery_filter of_status(delivery_status status) {
  delivery_filter out;
  out.status = status;
  return out;
}

} // namespace

TEST_P(WebhookRegistry, KeepsEveryPartOfAWebhook) {
  auto what = a_webhook({"command.*", "key.created"});
  what.projects = std::vector<std::string>{"a", "b-1"};
  what.description = "a \"hook\", {with} \\ all \u00e4";
  what.ordered = true;
  const auto receipt = value_of(endpoints->create(what, secret("s"), writer()));
  EXPECT_EQ(receipt.verdict, mint_verdict::created);
  const auto listed = value_of(endpoints->list({}, std::nullopt)).items;
  ASSERT_EQ(listed.size(), 1U);
  for (const auto& got : {receipt.webhook, now(what.id), listed[0]}) {
    EXPECT_EQ(got.id, what.id);
    EXPECT_EQ(got.url, what.url);
    EXPECT_EQ(got.events, what.events);
    EXPECT_EQ(got.projects, what.projects);
    EXPECT_EQ(got.description, what.description);
    EXPECT_TRUE(got.enabled);
    EXPECT_TRUE(got.ordered);
    EXPECT_EQ(got.disabled_reason, "");
    EXPECT_FALSE(got.failing_since);
    EXPECT_GT(got.created_at, now_utc() - 5min);
    EXPECT_EQ(got.created_by, key.id);
    EXPECT_EQ(got.revision, 0);
  }
}

TEST_P(WebhookRegistry, FindsNothingThatIsNotThere) {
  const auto one = made();
  const auto nobody = webhook_id::make();
  EXPECT_FALSE(value_of(endpoints->find(nobody)));
  EXPECT_TRUE(deliveries(nobody).empty());
  EXPECT_FALSE(value_of(endpoints->find_delivery(one.id, delivery_id::make())));
  auto what = a_webhook();
  EXPECT_EQ(value_of(endpoints->change(what, writer())).verdict, change_verdict::not_found);
  EXPECT_EQ(value_of(endpoints->rotate(nobody, secret("x"), 1h, writer())).verdict, change_verdict::not_found);
  EXPECT_EQ(value_of(endpoints->remove(nobody, writer())).verdict, change_verdict::not_found);
  EXPECT_EQ(value_of(endpoints->test(nobody, writer())).verdict, change_verdict::not_found);
  EXPECT_EQ(value_of(endpoints->redeliver(one.id, delivery_id::make(), writer())).verdict, change_verdict::not_found);
  EXPECT_EQ(value_of(endpoints->replay({nobody, {}}, writer())).verdict, change_verdict::not_found);
}

TEST_P(WebhookRegistry, ReplaysARepeatedCreation) {
  auto w = bound_writer();
  w.idempotency = idempotency{"once", digest_of(1)};
  const auto first = a_webhook();
  const auto receipt = value_of(endpoints->create(first, secret("s"), w));
  ASSERT_EQ(receipt.verdict, mint_verdict::created);
  const auto again = value_of(endpoints->create(a_webhook(), secret("t"), w));
  EXPECT_EQ(again.verdict, mint_verdict::replayed);
  EXPECT_EQ(again.webhook.id, first.id);
  EXPECT_EQ(again.webhook.created_at, receipt.webhook.created_at);
  EXPECT_EQ(owned(first.id)->secrets.current.reveal(), "s");
  w.idempotency->body_digest = digest_of(2);
  const auto third = a_webhook();
  EXPECT_EQ(value_of(endpoints->create(third, secret("s"), w)).verdict, mint_verdict::conflict);
  EXPECT_FALSE(value_of(endpoints->find(third.id)));
  rig->expire_idempotency();
  w.by.reset();
  EXPECT_EQ(value_of(endpoints->create(third, secret("s"), w)).verdict, mint_verdict::created);
}

TEST_P(WebhookRegistry, AReplayShowsTheWebhookAsItWasMadeAlsoWhenItIsGone) {
  auto w = writer();
  w.idempotency = idempotency{"once", digest_of(1)};
  const auto first = value_of(endpoints->create(a_webhook(), secret("s"), w)).webhook;
  auto changed = first;
  changed.url = "https://elsewhere.example.com/";
  changed.enabled = false;
  ASSERT_EQ(value_of(endpoints->change(changed, writer())).verdict, change_verdict::changed);
  for (int i = 0; i < 2; ++i) {
    const auto again = value_of(endpoints->create(a_webhook(), secret("s"), w));
    EXPECT_EQ(again.verdict, mint_verdict::replayed);
    EXPECT_EQ(again.webhook.id, first.id);
    EXPECT_EQ(again.webhook.url, first.url);
    EXPECT_EQ(again.webhook.revision, 0);
    EXPECT_EQ(again.webhook.status(), webhook_status::active);
    EXPECT_LT(std::chrono::abs(again.webhook.created_at - first.created_at), 5min);
    if (i == 0) {
      ASSERT_EQ(value_of(endpoints->remove(first.id, writer())).verdict, change_verdict::changed);
    }
  }
}

TEST_P(WebhookRegistry, AWriterWhoseKeyHasChangedDoesNothing) {
  const auto one = made();
  happen(1);
  const auto dlv = deliveries(one.id).at(0);
  auto stale = bound_writer();
  stale.revision = 7;
  auto revoked = bound_writer();
  const auto refused = [&](const key_writer& w) {
    const auto late = a_webhook();
    EXPECT_EQ(value_of(endpoints->create(late, secret("s"), w)).verdict, mint_verdict::writer_changed);
    EXPECT_FALSE(value_of(endpoints->find(late.id)));
    auto change = one;
    change.enabled = false;
    EXPECT_EQ(value_of(endpoints->change(change, w)).verdict, change_verdict::writer_changed);
    EXPECT_EQ(value_of(endpoints->rotate(one.id, secret("x"), 1h, w)).verdict, change_verdict::writer_changed);
    EXPECT_EQ(value_of(endpoints->remove(one.id, w)).verdict, change_verdict::writer_changed);
    EXPECT_EQ(value_of(endpoints->test(one.id, w)).verdict, change_verdict::writer_changed);
    EXPECT_EQ(value_of(endpoints->redeliver(one.id, dlv.id, w)).verdict, change_verdict::writer_changed);
    const auto again = value_of(endpoints->replay({one.id, {}}, w));
    EXPECT_EQ(again.verdict, change_verdict::writer_changed);
    EXPECT_EQ(again.deliveries, 0);
  };
  ASSERT_TRUE(recorded(one.id, dlv.id, attempt_outcome::delivered));
  refused(stale);
  revoke(key.id);
  refused(revoked);
  EXPECT_EQ(now(one.id).revision, 0);
  EXPECT_TRUE(now(one.id).enabled);
  ASSERT_EQ(deliveries(one.id).size(), 1U);
  EXPECT_EQ(deliveries(one.id)[0].status, delivery_status::delivered);
  EXPECT_FALSE(owned(one.id)->secrets.former);
}

TEST_P(WebhookRegistry, AGoodKeyWrites) {
  const auto w = bound_writer();
  auto one = a_webhook();
  ASSERT_EQ(value_of(endpoints->create(one, secret("s"), w)).verdict, mint_verdict::created);
  one.description = "new";
  EXPECT_EQ(value_of(endpoints->change(one, w)).verdict, change_verdict::changed);
  EXPECT_EQ(value_of(endpoints->rotate(one.id, secret("x"), 1h, w)).verdict, change_verdict::changed);
  const auto sent = value_of(endpoints->test(one.id, w));
  ASSERT_EQ(sent.verdict, change_verdict::changed);
  EXPECT_EQ(due(one.id).at(0).what.key, key.id);
  EXPECT_EQ(value_of(endpoints->redeliver(one.id, sent.delivery.id, w)).verdict, change_verdict::changed);
  EXPECT_EQ(value_of(endpoints->replay({one.id, {}}, w)).deliveries, 1);
  EXPECT_EQ(value_of(endpoints->remove(one.id, w)).verdict, change_verdict::changed);
}

TEST_P(WebhookRegistry, ListsNewestFirstPageByPage) {
  std::vector<webhook_id> ids;
  for (int i = 0; i < 5; ++i)
    ids.push_back(made().id);
  std::reverse(ids.begin(), ids.end());
  std::vector<webhook_id> got;
  page_request at{std::nullopt, 2};
  do {
    const auto p = value_of(endpoints->list(at, std::nullopt));
    for (const auto& one : p.items)
      got.push_back(one.id);
    at.cursor = p.next_cursor;
  } while (at.cursor && got.size() < 20);
  EXPECT_EQ(got, ids);
}

TEST_P(WebhookRegistry, ListsWhatLiesWithinSomeProjects) {
  const auto bound = [&](std::vector<std::string> projects) {
    auto what = a_webhook();
    what.projects = std::move(projects);
    return made(what).id;
  };
  made();
  const auto a = bound({"a"});
  const auto ab = bound({"a", "b"});
  bound({"a", "c"});
  const auto ids = [&](std::vector<std::string> projects) {
    std::vector<webhook_id> out;
    for (const auto& one : value_of(endpoints->list({}, std::move(projects))).items)
      out.push_back(one.id);
    return out;
  };
  EXPECT_EQ(ids({"a"}), (std::vector{a}));
  EXPECT_EQ(ids({"b", "a"}), (std::vector{ab, a}));
  EXPECT_TRUE(ids({"z"}).empty());
}

TEST_P(WebhookRegistry, AChangeIsWrittenToTheRevisionItWasMadeOf) {
  auto one = made();
  one.url = "http://10.0.0.1/x";
  one.events = {"key.*"};
  one.projects = std::vector<std::string>{"p"};
  one.description = "other";
  one.enabled = false;
  one.ordered = true;
  const auto receipt = value_of(endpoints->change(one, writer()));
  ASSERT_EQ(receipt.verdict, change_verdict::changed);
  for (const auto& got : {receipt.webhook, now(one.id)}) {
    EXPECT_EQ(got.url, one.url);
    EXPECT_EQ(got.events, one.events);
    EXPECT_EQ(got.projects, one.projects);
    EXPECT_EQ(got.description, "other");
    EXPECT_EQ(got.status(), webhook_status::paused);
    EXPECT_TRUE(got.ordered);
    EXPECT_EQ(got.revision, 1);
  }
  one.description = "late";
  EXPECT_EQ(value_of(endpoints->change(one, writer())).verdict, change_verdict::stale);
  EXPECT_EQ(now(one.id).description, "other");
  auto next = receipt.webhook;
  next.projects.reset();
  EXPECT_EQ(value_of(endpoints->change(next, writer())).verdict, change_verdict::changed);
  EXPECT_FALSE(now(one.id).projects);
}

TEST_P(WebhookRegistry, EnablingForgetsTheTroubleAndMakesWhatWaitsDueAtOnce) {
  const auto one = made();
  happen(2);
  const auto waiting = due(one.id);
  ASSERT_EQ(waiting.size(), 2U);
  ASSERT_TRUE(recorded(one.id, waiting[0].id, attempt_outcome::retry));
  ASSERT_TRUE(recorded(one.id, waiting[1].id, attempt_outcome::disable));
  auto row = now(one.id);
  ASSERT_EQ(row.status(), webhook_status::disabled);
  EXPECT_EQ(row.disabled_reason, "answered 500");
  auto stale = one;
  stale.description = "carries enabled along";
  EXPECT_EQ(value_of(endpoints->change(stale, writer())).verdict, change_verdict::stale)
      << "what was read before it was disabled must not enable it";
  row.description = "still disabled";
  row = value_of(endpoints->change(row, writer())).webhook;
  EXPECT_EQ(row.disabled_reason, "answered 500");
  row.enabled = true;
  row = value_of(endpoints->change(row, writer())).webhook;
  EXPECT_EQ(row.status(), webhook_status::active);
  EXPECT_EQ(row.disabled_reason, "");
  EXPECT_FALSE(row.failing_since);
  const auto after = due(one.id);
  ASSERT_EQ(after.size(), 2U);
  for (const auto& d : after) {
    EXPECT_LE(d.due_in, 0ms);
    EXPECT_EQ(d.attempts, 1);
  }
  ASSERT_TRUE(recorded(one.id, waiting[0].id, attempt_outcome::retry));
  ASSERT_EQ(value_of(endpoints->change(row, writer())).verdict, change_verdict::changed);
  EXPECT_EQ(now(one.id).status(), webhook_status::failing) << "it was enabled before";
  EXPECT_GT(due(one.id).at(1).due_in, 0ms);
}

TEST_P(WebhookRegistry, ARotationLetsTheFormerSecretSignForAWhile) {
  auto what = a_webhook();
  ASSERT_EQ(value_of(endpoints->create(what, secret("one"), writer())).verdict, mint_verdict::created);
  EXPECT_EQ(owned(what.id)->secrets.current.reveal(), "one");
  EXPECT_FALSE(owned(what.id)->secrets.former);
  const auto receipt = value_of(endpoints->rotate(what.id, secret("two"), 1h, writer()));
  EXPECT_EQ(receipt.verdict, change_verdict::changed);
  EXPECT_EQ(receipt.webhook.id, what.id);
  auto secrets = owned(what.id)->secrets;
  EXPECT_EQ(secrets.current.reveal(), "two");
  ASSERT_TRUE(secrets.former);
  EXPECT_EQ(secrets.former->reveal(), "one");
  (void)value_of(endpoints->rotate(what.id, secret("three"), 1h, writer()));
  EXPECT_EQ(owned(what.id)->secrets.former->reveal(), "two");
  (void)value_of(endpoints->rotate(what.id, secret("four"), 0s, writer()));
  secrets = owned(what.id)->secrets;
  EXPECT_EQ(secrets.current.reveal(), "four");
  EXPECT_FALSE(secrets.former) << "it is over at once";
}

TEST_P(WebhookRegistry, ARemovalTakesEverythingAlong) {
  const auto one = made();
  const auto other = made();
  happen(3);
  EXPECT_EQ(value_of(outbox->pending()), 6);
  const auto waiting = due(one.id);
  const auto sent = attempt(one.id, waiting.at(0).id, attempt_outcome::delivered);
  const auto receipt = value_of(endpoints->remove(one.id, writer()));
  EXPECT_EQ(receipt.verdict, change_verdict::changed);
  EXPECT_EQ(receipt.webhook.url, one.url);
  EXPECT_FALSE(value_of(endpoints->find(one.id)));
  EXPECT_TRUE(deliveries(one.id).empty());
  EXPECT_FALSE(value_of(endpoints->find_delivery(one.id, waiting[0].id)));
  EXPECT_FALSE(owned(one.id));
  EXPECT_FALSE(recorded(sent)) << "an answer that comes late";
  EXPECT_EQ(value_of(outbox->pending()), 3);
  EXPECT_EQ(value_of(endpoints->remove(one.id, writer())).verdict, change_verdict::not_found);
  happen(1);
  EXPECT_EQ(due(other.id).size(), 4U);
  ASSERT_TRUE(leases->upkeep());
  EXPECT_EQ(due(other.id).size(), 4U);
}

TEST_P(WebhookRegistry, ATestIsDeliveredToThatEndpointAlone) {
  const auto one = made({"key.created"});
  const auto other = made({"*"});
  happen(2, "key.created");
  const auto receipt = value_of(endpoints->test(one.id, writer()));
  ASSERT_EQ(receipt.verdict, change_verdict::changed);
  EXPECT_EQ(receipt.delivery.webhook, one.id);
  EXPECT_EQ(receipt.delivery.event, "webhook.test");
  EXPECT_EQ(receipt.delivery.sequence, 3);
  EXPECT_EQ(receipt.delivery.status, delivery_status::pending);
  EXPECT_TRUE(receipt.delivery.next_attempt_at);
  happen(1, "key.created");
  EXPECT_EQ(events_of(one.id), (std::vector<std::string>{"key.created", "key.created", "webhook.test", "key.created"}));
  EXPECT_EQ(events_of(other.id).size(), 3U);
  for (const auto& d : due(one.id))
    if (d.what.event == "webhook.test") {
      EXPECT_EQ(d.what.data, "{}");
      EXPECT_EQ(d.what.id, receipt.delivery.message);
    }
}

TEST_P(WebhookRegistry, ATestOfAPausedEndpointIsKept) {
  auto one = made();
  one.enabled = false;
  (void)value_of(endpoints->change(one, writer()));
  const auto receipt = value_of(endpoints->test(one.id, writer()));
  EXPECT_EQ(receipt.verdict, change_verdict::changed);
  EXPECT_EQ(receipt.delivery.status, delivery_status::blocked);
}

TEST_P(WebhookRegistry, ShowsDeliveriesWithAllTheirAttempts) {
  const auto one = made();
  happen(4);
  const auto waiting = due(one.id);
  ASSERT_EQ(waiting.size(), 4U);
  auto first = attempt(one.id, waiting[0].id, attempt_outcome::retry);
  first.ago = 5s;
  first.what = {{}, 503, 1234ms, "answered 503", "busy \"\\ \u00e4 {}"};
  ASSERT_TRUE(recorded(first));
  auto second = first;
  second.ago = 0s;
  second.what = {{}, std::nullopt, 15s, "timed out", ""};
  ASSERT_TRUE(recorded(second));
  ASSERT_TRUE(recorded(one.id, waiting[1].id, attempt_outcome::delivered));
  ASSERT_TRUE(recorded(one.id, waiting[2].id, attempt_outcome::failed));
  const auto shown = deliveries(one.id);
  ASSERT_EQ(shown.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto& d = shown[3 - i];
    EXPECT_EQ(d.id, waiting[i].id);
    EXPECT_EQ(d.webhook, one.id);
    EXPECT_EQ(d.event, "command.queued");
    EXPECT_EQ(d.message, waiting[i].what.id);
    EXPECT_EQ(d.sequence, static_cast<std::int64_t>(i) + 1);
    EXPECT_GT(d.created_at, now_utc() - 5min);
    const auto alone = delivery_of(one.id, d.id);
    EXPECT_EQ(alone.status, d.status);
    EXPECT_EQ(alone.attempts.size(), d.attempts.size());
  }
  const auto& retried = shown[3];
  EXPECT_EQ(retried.status, delivery_status::pending);
  ASSERT_TRUE(retried.next_attempt_at);
  EXPECT_GT(*retried.next_attempt_at, now_utc() + 50min);
  ASSERT_EQ(retried.attempts.size(), 2U);
  EXPECT_EQ(retried.attempts[0].status, 503);
  EXPECT_EQ(retried.attempts[0].latency, 1234ms);
  EXPECT_EQ(retried.attempts[0].error, "answered 503");
  EXPECT_EQ(retried.attempts[0].body, first.what.body);
  EXPECT_FALSE(retried.attempts[1].status);
  EXPECT_EQ(retried.attempts[1].error, "timed out");
  EXPECT_GT(retried.attempts[1].at - retried.attempts[0].at, 4s);
  EXPECT_EQ(shown[2].status, delivery_status::delivered);
  EXPECT_EQ(shown[2].attempts.at(0).status, 200);
  EXPECT_EQ(shown[1].status, delivery_status::failed);
  EXPECT_EQ(shown[0].status, delivery_status::pending);
  EXPECT_TRUE(shown[0].attempts.empty());
  for (const auto i : {1, 2})
    EXPECT_FALSE(shown[static_cast<std::size_t>(i)].next_attempt_at);
}

TEST_P(WebhookRegistry, WhatWaitsForAPausedEndpointIsBlocked) {
  auto one = made();
  happen(2);
  ASSERT_TRUE(recorded(one.id, due(one.id).at(0).id, attempt_outcome::delivered));
  one.enabled = false;
  one = value_of(endpoints->change(one, writer())).webhook;
  const auto blocked = deliveries(one.id, of_status(delivery_status::blocked));
  ASSERT_EQ(blocked.size(), 1U);
  EXPECT_FALSE(blocked[0].next_attempt_at);
  EXPECT_TRUE(deliveries(one.id, of_status(delivery_status::pending)).empty());
  EXPECT_EQ(deliveries(one.id, of_status(delivery_status::delivered)).size(), 1U);
  one.enabled = true;
  (void)value_of(endpoints->change(one, writer()));
  EXPECT_TRUE(deliveries(one.id, of_status(delivery_status::blocked)).empty());
  EXPECT_EQ(deliveries(one.id, of_status(delivery_status::pending)).size(), 1U);
}

TEST_P(WebhookRegistry, FiltersDeliveriesAndPagesThroughThem) {
  const auto one = made();
  const auto other = made();
  happen(5, "command.queued");
  happen(4, "key.created");
  const auto waiting = due(one.id);
  ASSERT_TRUE(recorded(one.id, waiting.at(0).id, attempt_outcome::delivered));
  ASSERT_TRUE(recorded(one.id, waiting.at(1).id, attempt_outcome::failed));
  ASSERT_TRUE(recorded(one.id, waiting.at(8).id, attempt_outcome::failed));
  const auto count = [&](const delivery_filter& f) {
    std::vector<delivery_id> got;
    list_deliveries what{one.id, f, {std::nullopt, 2}};
    do {
      const auto p = value_of(endpoints->deliveries(what));
      EXPECT_LE(p.items.size(), 2U);
      for (const auto& d : p.items)
        got.push_back(d.id);
      what.at.cursor = p.next_cursor;
    } while (what.at.cursor && got.size() < 50);
    EXPECT_TRUE(std::is_sorted(got.rbegin(), got.rend()));
    EXPECT_EQ(std::adjacent_find(got.begin(), got.end()), got.end());
    return got.size();
  };
  EXPECT_EQ(count({}), 9U);
  EXPECT_EQ(count(of_status(delivery_status::pending)), 6U);
  EXPECT_EQ(count(of_status(delivery_status::failed)), 2U);
  EXPECT_EQ(count(of_status(delivery_status::delivered)), 1U);
  EXPECT_EQ(count({std::nullopt, {"command.*"}, {}, {}}), 5U);
  EXPECT_EQ(count({std::nullopt, {"key.created", "auth.*"}, {}, {}}), 4U);
  EXPECT_EQ(count({std::nullopt, {"*"}, {}, {}}), 9U);
  EXPECT_EQ(count({delivery_status::failed, {"command.*"}, {}, {}}), 1U);
  EXPECT_EQ(count({std::nullopt, {"command"}, {}, {}}), 0U);
  const auto middle = deliveries(one.id).at(3).created_at; // of the first key.created
  EXPECT_EQ(count({std::nullopt, {"key.*"}, middle, {}}), 4U);
  EXPECT_EQ(count({std::nullopt, {"key.*"}, {}, middle}), 0U);
  EXPECT_EQ(count({std::nullopt, {"command.*"}, {}, middle}), 5U);
  EXPECT_EQ(count({std::nullopt, {}, now_utc() + 1h, {}}), 0U);
  EXPECT_EQ(count({std::nullopt, {}, now_utc() - 24h, now_utc() + 24h}), 9U);
  EXPECT_EQ(deliveries(other.id).size(), 9U);
}

TEST_P(WebhookRegistry, SendsADeliveryAgainWhateverItsState) {
  const auto one = made();
  const auto other = made();
  happen(3);
  const auto waiting = due(one.id);
  ASSERT_TRUE(recorded(one.id, waiting.at(0).id, attempt_outcome::delivered));
  ASSERT_TRUE(recorded(one.id, waiting.at(1).id, attempt_outcome::failed));
  ASSERT_TRUE(recorded(one.id, waiting.at(2).id, attempt_outcome::retry));
  EXPECT_EQ(value_of(endpoints->redeliver(other.id, waiting[0].id, writer())).verdict, change_verdict::not_found);
  for (const auto& w : waiting) {
    const auto before = delivery_of(one.id, w.id);
    const auto receipt = value_of(endpoints->redeliver(one.id, w.id, writer()));
    EXPECT_EQ(receipt.verdict, change_verdict::changed);
    EXPECT_EQ(receipt.delivery.id, w.id);
    EXPECT_EQ(receipt.delivery.status, delivery_status::pending);
    EXPECT_EQ(receipt.delivery.message, before.message);
    EXPECT_EQ(receipt.delivery.sequence, before.sequence);
    EXPECT_EQ(receipt.delivery.attempts.size(), 1U);
  }
  const auto again = due(one.id);
  ASSERT_EQ(again.size(), 3U);
  for (const auto& d : again) {
    EXPECT_EQ(d.attempts, 0) << "a fresh schedule";
    EXPECT_LE(d.due_in, 0ms);
    EXPECT_EQ(d.what.data, "{}");
    ASSERT_TRUE(recorded(one.id, d.id, attempt_outcome::delivered));
  }
  for (const auto& d : deliveries(one.id)) {
    EXPECT_EQ(d.status, delivery_status::delivered) << "also the one that had failed";
    EXPECT_EQ(d.attempts.size(), 2U);
  }
}

TEST_P(WebhookRegistry, ReplaysWhatMatchesAFilter) {
  const auto one = made();
  happen(3, "command.queued");
  happen(3, "key.created");
  const auto waiting = due(one.id);
  ASSERT_EQ(waiting.size(), 6U);
  const auto reset = [&] { // delivered, failed and waiting of each event
    for (const std::size_t i : {0U, 3U}) {
      recorded(one.id, waiting[i].id, attempt_outcome::delivered);
      recorded(one.id, waiting[i + 1].id, attempt_outcome::failed);
      recorded(one.id, waiting[i + 2].id, attempt_outcome::retry);
    }
    EXPECT_EQ(value_of(outbox->pending()), 2);
  };
  const auto replayed = [&](const delivery_filter& f) {
    reset();
    const auto receipt = value_of(endpoints->replay({one.id, f}, writer()));
    EXPECT_EQ(receipt.verdict, change_verdict::changed);
    return receipt.deliveries;
  };
  EXPECT_EQ(replayed({}), 6);
  for (const auto& d : due(one.id)) {
    EXPECT_EQ(d.attempts, 0);
    EXPECT_LE(d.due_in, 0ms);
  }
  EXPECT_EQ(due(one.id).front().id, waiting[0].id) << "oldest first";
  EXPECT_EQ(replayed(of_status(delivery_status::failed)), 2);
  EXPECT_EQ(value_of(outbox->pending()), 4);
  EXPECT_EQ(replayed(of_status(delivery_status::delivered)), 2);
  EXPECT_EQ(replayed(of_status(delivery_status::pending)), 2);
  EXPECT_EQ(value_of(outbox->pending()), 2);
  EXPECT_EQ(replayed(of_status(delivery_status::blocked)), 0);
  EXPECT_EQ(replayed({std::nullopt, {"key.*"}, {}, {}}), 3);
  EXPECT_EQ(replayed({delivery_status::failed, {"key.*"}, {}, {}}), 1);
  EXPECT_EQ(replayed({std::nullopt, {}, now_utc() + 1h, {}}), 0);
  EXPECT_EQ(replayed({std::nullopt, {}, {}, now_utc() + 1h}), 6);
}

TEST_P(WebhookRegistry, AReplayForADisabledEndpointIsSentWhenThatEnds) {
  auto one = made();
  happen(2);
  for (const auto& d : due(one.id))
    ASSERT_TRUE(recorded(one.id, d.id, attempt_outcome::failed));
  one.enabled = false;
  one = value_of(endpoints->change(one, writer())).webhook;
  EXPECT_EQ(value_of(endpoints->replay({one.id, {}}, writer())).deliveries, 2);
  EXPECT_TRUE(due(one.id).empty());
  EXPECT_EQ(deliveries(one.id, of_status(delivery_status::blocked)).size(), 2U);
  EXPECT_EQ(value_of(endpoints->replay({one.id, of_status(delivery_status::blocked)}, writer())).deliveries, 2);
  one.enabled = true;
  (void)value_of(endpoints->change(one, writer()));
  EXPECT_EQ(due(one.id).size(), 2U);
}

} // namespace rdev::test
