#include "tests/support/contracts/store_contract.hpp"

#include <algorithm>
#include <array>
#include <set>

namespace rdev::test {

using namespace std::chrono_literals;

TEST_P(WebhookOutbox, DeliversWhatPassesTheFiltersOfAnEndpoint) {
  const auto all = made({"*"});
  const auto commands_only = made({"command.*"});
  const auto two = made({"key.created", "command.failed"});
  const auto none = made({"webhook.disabled"});
  for (const auto* event : {"command.queued", "command.failed", "key.created", "key.revoked", "auth.lockout"})
    rig->happens(event, std::nullopt);
  const auto fanned = spread();
  EXPECT_EQ(fanned.events, 5);
  EXPECT_EQ(std::set(fanned.webhooks.begin(), fanned.webhooks.end()), (std::set{all.id, commands_only.id, two.id}));
  EXPECT_FALSE(fanned.more);
  EXPECT_EQ(events_of(all.id).size(), 5U);
  EXPECT_EQ(events_of(commands_only.id), (std::vector<std::string>{"command.queued", "command.failed"}));
  EXPECT_EQ(events_of(two.id), (std::vector<std::string>{"command.failed", "key.created"}));
  EXPECT_TRUE(events_of(none.id).empty());
}

TEST_P(WebhookOutbox, AnEndpointOfSomeProjectsHearsOfThemAlone) {
  auto what = a_webhook();
  what.projects = std::vector<std::string>{"a", "b"};
  const auto bound = made(what);
  const auto free = made();
  happen(1, "project.created", "a");
  happen(2, "project.stopped", "b");
  happen(1, "project.deleted", "c");
  rig->happens("key.created", std::nullopt);
  (void)spread();
  EXPECT_EQ(events_of(bound.id), (std::vector<std::string>{"project.created", "project.stopped", "project.stopped"}));
  EXPECT_EQ(events_of(free.id).size(), 5U);
}

TEST_P(WebhookOutbox, NumbersDeliveriesWithoutGapsInTheOrderOfTheEvents) {
  const auto all = made();
  const auto keys_only = made({"key.*"});
  std::vector<std::string> expected;
  for (int i = 0; i < 12; ++i) {
    const std::string event = i % 3 == 0 ? "key.created" : "command.queued";
    rig->happens(event, "demo");
    expected.push_back(event);
    if (i % 5 == 0)
      (void)spread();
  }
  (void)spread();
  EXPECT_EQ(events_of(all.id), expected);
  for (const auto& id : {all.id, keys_only.id}) {
    auto shown = deliveries(id);
    std::reverse(shown.begin(), shown.end());
    std::int64_t n = 0;
    for (const auto& d : shown)
      EXPECT_EQ(d.sequence, ++n);
    EXPECT_EQ(n, id == all.id ? 12 : 4);
  }
}

TEST_P(WebhookOutbox, SpreadsInPartsAndSaysWhetherThereIsMore) {
  const auto one = made();
  (void)spread();
  for (int i = 0; i < 5; ++i)
    rig->happens("command.queued", "demo");
  auto part = spread(2);
  EXPECT_EQ(part.events, 2);
  EXPECT_TRUE(part.more);
  part = spread(2);
  EXPECT_EQ(part.events, 2);
  EXPECT_TRUE(part.more);
  EXPECT_EQ(due(one.id).size(), 4U);
  part = spread(1);
  EXPECT_EQ(part.events, 1);
  EXPECT_FALSE(part.more);
  part = spread(1);
  EXPECT_EQ(part.events, 0);
  EXPECT_TRUE(part.webhooks.empty());
  EXPECT_EQ(due(one.id).size(), 5U);
}

TEST_P(WebhookOutbox, DeliversNothingOfBeforeAnEndpointWasMade) {
  rig->happens("command.queued", "demo");
  const auto one = made();
  rig->happens("command.started", "demo");
  (void)spread();
  EXPECT_EQ(events_of(one.id), (std::vector<std::string>{"command.started"}));
}

TEST_P(WebhookOutbox, TellsWhatHappened) {
  const auto one = made();
  const auto command = submitted("p1");
  (void)spread();
  const auto waiting = due(one.id);
  ASSERT_EQ(waiting.size(), 1U);
  EXPECT_EQ(waiting[0].sequence, 1);
  EXPECT_EQ(waiting[0].attempts, 0);
  EXPECT_LE(waiting[0].due_in, 0ms);
  const auto& what = waiting[0].what;
  EXPECT_FALSE(what.id.empty());
  EXPECT_EQ(what.event, "command.queued");
  EXPECT_GT(what.at, now_utc() - 5min);
  EXPECT_EQ(what.project, "p1");
  EXPECT_EQ(what.command, command);
  EXPECT_EQ(what.command_type, "shell");
  EXPECT_EQ(what.key, key.id);
  EXPECT_EQ(what.data.front(), '{');
  EXPECT_EQ(what.data.back(), '}');
  rig->happens("auth.lockout", std::nullopt);
  (void)spread();
  const auto next = due(one.id).at(1).what;
  EXPECT_FALSE(next.project);
  EXPECT_FALSE(next.command);
  EXPECT_EQ(next.command_type, "");
  EXPECT_FALSE(next.key);
}

TEST_P(WebhookOutbox, TwoEndpointsGetTheSameMessageAsDeliveriesOfTheirOwn) {
  const auto a = made();
  const auto b = made();
  happen(1);
  EXPECT_EQ(due(a.id).at(0).what.id, due(b.id).at(0).what.id);
  EXPECT_NE(due(a.id).at(0).id, due(b.id).at(0).id);
}

// ---- leases

TEST_P(WebhookOutbox, ANodeTakesEndpointsAndKeepsThemWithTheirTokens) {
  const auto one = made();
  const auto two = made();
  const auto first = value_of(outbox->own(node.id));
  ASSERT_EQ(first.mine.size(), 2U);
  EXPECT_EQ(first.share, 2);
  EXPECT_GT(first.left, 30s);
  EXPECT_LE(first.left, 60s);
  EXPECT_EQ(owned(one.id)->webhook.url, one.url);
  EXPECT_EQ(owned(two.id)->secrets.current.reveal(), "the secret of " + two.id.text());
  const auto again = value_of(outbox->own(node.id));
  ASSERT_EQ(again.mine.size(), 2U);
  for (const std::size_t i : {0U, 1U})
    EXPECT_EQ(again.mine[i].token, first.mine[i].token);
}

TEST_P(WebhookOutbox, LivingNodesShareTheEndpoints) {
  for (int i = 0; i < 5; ++i)
    made();
  const node_info other{node_id::make(), "two", "", here};
  ASSERT_TRUE(value_of(leases->beat(other, 1min)));
  const auto mine = value_of(outbox->own(node.id));
  EXPECT_EQ(mine.share, 3);
  EXPECT_EQ(mine.mine.size(), 3U);
  const auto theirs = value_of(outbox->own(other.id));
  EXPECT_EQ(theirs.mine.size(), 2U);
  std::set<webhook_id> all;
  for (const auto& o : {mine, theirs})
    for (const auto& one : o.mine)
      all.insert(one.webhook.id);
  EXPECT_EQ(all.size(), 5U);
}

TEST_P(WebhookOutbox, ANewNodeGetsWhatIsReleased) {
  for (int i = 0; i < 4; ++i)
    made();
  auto mine = value_of(outbox->own(node.id)).mine;
  ASSERT_EQ(mine.size(), 4U);
  const node_info other{node_id::make(), "two", "", here};
  ASSERT_TRUE(value_of(leases->beat(other, 1min)));
  EXPECT_TRUE(value_of(outbox->own(other.id)).mine.empty()) << "the owner lives";
  const auto now = value_of(outbox->own(node.id));
  EXPECT_EQ(now.mine.size(), 4U);
  EXPECT_EQ(now.share, 2);
  const std::array spare{mine[0].webhook.id, mine[1].webhook.id};
  ASSERT_TRUE(outbox->release(other.id, spare)) << "not its own";
  EXPECT_EQ(value_of(outbox->own(node.id)).mine.size(), 4U);
  ASSERT_TRUE(outbox->release(node.id, spare));
  EXPECT_EQ(value_of(outbox->own(node.id)).mine.size(), 2U) << "not more than its share";
  const auto theirs = value_of(outbox->own(other.id)).mine;
  ASSERT_EQ(theirs.size(), 2U);
  for (const auto& one : theirs)
    EXPECT_NE(one.token, one.webhook.id == mine[0].webhook.id ? mine[0].token : mine[1].token);
}

TEST_P(WebhookOutbox, WhatADeadNodeHadIsTakenOverUnderANewToken) {
  const auto one = made();
  happen(1);
  const auto before = *owned(one.id);
  const auto sent = attempt(one.id, due(one.id).at(0).id, attempt_outcome::delivered);
  const node_info other{node_id::make(), "two", "", here};
  ASSERT_TRUE(value_of(leases->beat(other, 1min)));
  EXPECT_FALSE(owned(one.id, other.id));
  ASSERT_TRUE(leases->leave(node.id));
  const auto taken = owned(one.id, other.id);
  ASSERT_TRUE(taken);
  EXPECT_NE(taken->token, before.token);
  EXPECT_FALSE(recorded(sent));
  EXPECT_TRUE(value_of(outbox->due(one.id, before.token, 10)).empty());
  const auto waiting = value_of(outbox->due(one.id, taken->token, 10));
  ASSERT_EQ(waiting.size(), 1U);
  EXPECT_TRUE(delivery_of(one.id, waiting[0].id).attempts.empty());
  auto theirs = sent;
  theirs.token = taken->token;
  EXPECT_TRUE(recorded(theirs));
  (void)value_of(leases->beat(node, 1min));
  EXPECT_FALSE(owned(one.id)) << "it has gone to another one";
}

TEST_P(WebhookOutbox, ANodeThatHasExpiredTakesNothingButKeepsWhatNobodyTook) {
  const auto one = made();
  const auto before = *owned(one.id);
  ASSERT_TRUE(leases->leave(node.id));
  const auto two = made();
  const auto expired = value_of(outbox->own(node.id));
  EXPECT_EQ(expired.left, 0ms);
  ASSERT_EQ(expired.mine.size(), 1U);
  EXPECT_EQ(expired.mine[0].token, before.token);
  EXPECT_EQ(value_of(outbox->own(node_id::make())).left, 0ms);
  EXPECT_TRUE(value_of(outbox->own(node_id::make())).mine.empty());
  (void)value_of(leases->beat(node, 1min));
  EXPECT_EQ(owned(one.id)->token, before.token);
  EXPECT_TRUE(owned(two.id));
}

TEST_P(WebhookOutbox, PausedEndpointsAreNotTakenAndDoNotCount) {
  auto paused = made();
  const auto one = made();
  paused.enabled = false;
  paused = value_of(endpoints->change(paused, writer())).webhook;
  auto mine = value_of(outbox->own(node.id));
  EXPECT_EQ(mine.share, 1);
  ASSERT_EQ(mine.mine.size(), 1U);
  EXPECT_EQ(mine.mine[0].webhook.id, one.id);
  paused.enabled = true;
  paused = value_of(endpoints->change(paused, writer())).webhook;
  EXPECT_TRUE(owned(paused.id));
  happen(1);
  EXPECT_TRUE(owned(paused.id)->has_due);
  paused.enabled = false;
  (void)value_of(endpoints->change(paused, writer()));
  ASSERT_TRUE(owned(paused.id)) << "its owner learns it so";
  EXPECT_FALSE(owned(paused.id)->webhook.enabled);
  EXPECT_FALSE(owned(paused.id)->has_due);
  EXPECT_TRUE(due(paused.id).empty());
}

// ---- what is due

TEST_P(WebhookOutbox, GivesWhatIsDueFirst) {
  const auto one = made();
  EXPECT_FALSE(owned(one.id)->has_due);
  happen(4);
  EXPECT_TRUE(owned(one.id)->has_due);
  const auto waiting = due(one.id);
  ASSERT_EQ(waiting.size(), 4U);
  EXPECT_EQ(due(one.id, 2).size(), 2U);
  auto later = attempt(one.id, waiting[0].id, attempt_outcome::retry);
  ASSERT_TRUE(recorded(later));
  later.delivery = waiting[2].id;
  later.retry_in = 60s;
  ASSERT_TRUE(recorded(later));
  const auto after = due(one.id);
  ASSERT_EQ(after.size(), 4U);
  for (const auto& [place, was] : std::map<std::size_t, std::size_t>{{0, 1}, {1, 3}, {2, 2}, {3, 0}})
    EXPECT_EQ(after[place].id, waiting[was].id) << place;
  EXPECT_EQ(after[2].attempts, 1);
  EXPECT_GT(after[2].due_in, 30s);
  EXPECT_LE(after[2].due_in, 60s);
  for (const std::size_t i : {1U, 3U})
    ASSERT_TRUE(recorded(one.id, waiting[i].id, attempt_outcome::delivered));
  EXPECT_FALSE(owned(one.id)->has_due) << "what waits is due later";
}

TEST_P(WebhookOutbox, AnOrderedEndpointGetsTheFirstOneFirst) {
  auto what = a_webhook();
  what.ordered = true;
  const auto one = made(what);
  happen(3);
  auto waiting = due(one.id);
  ASSERT_EQ(waiting.size(), 3U);
  ASSERT_TRUE(recorded(one.id, waiting[0].id, attempt_outcome::retry));
  const auto after = due(one.id);
  ASSERT_EQ(after.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(after[i].id, waiting[i].id);
  EXPECT_GT(after[0].due_in, 0ms);
  EXPECT_FALSE(owned(one.id)->has_due) << "the others wait for the first one";
  EXPECT_EQ(value_of(endpoints->redeliver(one.id, waiting[0].id, writer())).verdict, change_verdict::changed);
  EXPECT_TRUE(owned(one.id)->has_due);
}

// ---- what came of it

TEST_P(WebhookOutbox, RecordsEveryOutcome) {
  const auto one = made();
  happen(3);
  const auto waiting = due(one.id);
  ASSERT_EQ(waiting.size(), 3U);
  const std::array batch{attempt(one.id, waiting[0].id, attempt_outcome::delivered),
                         attempt(one.id, waiting[1].id, attempt_outcome::failed),
                         attempt(one.id, waiting[2].id, attempt_outcome::retry),
                         attempt(one.id, delivery_id::make(), attempt_outcome::delivered)};
  EXPECT_EQ(value_of(outbox->record(batch)), (std::vector<bool>{true, true, true, false}));
  EXPECT_EQ(delivery_of(one.id, waiting[0].id).status, delivery_status::delivered);
  EXPECT_EQ(delivery_of(one.id, waiting[1].id).status, delivery_status::failed);
  EXPECT_EQ(delivery_of(one.id, waiting[2].id).status, delivery_status::pending);
  EXPECT_EQ(value_of(outbox->pending()), 1);
  EXPECT_EQ(value_of(outbox->record(batch)), (std::vector<bool>{false, false, true, false}));
  EXPECT_EQ(due(one.id).at(0).attempts, 2);
  EXPECT_TRUE(value_of(outbox->record({})).empty());
}

TEST_P(WebhookOutbox, RefusesWhatWasSentUnderAnotherToken) {
  const auto one = made();
  const auto other = made();
  happen(2);
  const auto waiting = due(one.id);
  auto stale = attempt(one.id, waiting.at(0).id, attempt_outcome::delivered);
  ++stale.token;
  auto strange = attempt(other.id, waiting.at(0).id, attempt_outcome::delivered);
  const std::array batch{stale, strange, attempt(one.id, waiting.at(1).id, attempt_outcome::delivered)};
  EXPECT_EQ(value_of(outbox->record(batch)), (std::vector<bool>{false, false, true}));
  EXPECT_EQ(delivery_of(one.id, waiting[0].id).status, delivery_status::pending);
  EXPECT_TRUE(value_of(outbox->due(one.id, stale.token, 10)).empty());
}

TEST_P(WebhookOutbox, AnswersOfAPausedEndpointAreStillWrittenDown) {
  auto one = made();
  happen(1);
  const auto sent = attempt(one.id, due(one.id).at(0).id, attempt_outcome::delivered);
  one.enabled = false;
  (void)value_of(endpoints->change(one, writer()));
  EXPECT_TRUE(recorded(sent));
  EXPECT_EQ(delivery_of(one.id, sent.delivery).status, delivery_status::delivered);
}

TEST_P(WebhookOutbox, KnowsSinceWhenAnEndpointHasFailed) {
  const auto one = made();
  happen(9);
  const auto waiting = due(one.id);
  ASSERT_EQ(waiting.size(), 9U);
  std::size_t next = 0;
  const auto ends = [&](std::initializer_list<attempt_outcome> outcomes) {
    std::vector<attempt_record> batch;
    for (const auto outcome : outcomes)
      batch.push_back(attempt(one.id, waiting.at(next++).id, outcome));
    EXPECT_EQ(value_of(outbox->record(batch)), std::vector<bool>(batch.size(), true));
    return now(one.id).failing_since;
  };
  using enum attempt_outcome;
  EXPECT_FALSE(ends({delivered}));
  const auto since = ends({retry});
  ASSERT_TRUE(since);
  EXPECT_EQ(now(one.id).status(), webhook_status::failing);
  EXPECT_EQ(ends({failed}), since) << "it is the first failure that counts";
  EXPECT_FALSE(ends({delivered}));
  const auto later = ends({delivered, retry});
  ASSERT_TRUE(later) << "the last one decides";
  EXPECT_FALSE(ends({retry, delivered}));
  EXPECT_TRUE(ends({failed}));
}

TEST_P(WebhookOutbox, ASuccessBetweenFailuresBeginsTheCountAnew) {
  const auto one = made();
  happen(3);
  const auto waiting = due(one.id);
  ASSERT_TRUE(recorded(one.id, waiting.at(0).id, attempt_outcome::failed));
  const auto since = now(one.id).failing_since;
  const std::array batch{attempt(one.id, waiting[1].id, attempt_outcome::delivered),
                         attempt(one.id, waiting[2].id, attempt_outcome::failed)};
  (void)value_of(outbox->record(batch));
  EXPECT_GT(now(one.id).failing_since, since);
}

TEST_P(WebhookOutbox, AnEndpointThatIsGoneIsDisabledAndTheOthersHearOfItOnce) {
  const auto one = made();
  const auto other = made();
  happen(2);
  const auto waiting = due(one.id);
  auto batch = std::array{attempt(one.id, waiting.at(0).id, attempt_outcome::disable),
                          attempt(one.id, waiting.at(1).id, attempt_outcome::disable)};
  batch[0].what.error = "it answered 410";
  EXPECT_EQ(value_of(outbox->record(batch)), (std::vector<bool>{true, true}));
  const auto row = now(one.id);
  EXPECT_EQ(row.status(), webhook_status::disabled);
  EXPECT_EQ(row.disabled_reason, "it answered 410");
  EXPECT_GT(row.revision, one.revision);
  EXPECT_TRUE(due(one.id).empty());
  for (const auto& d : deliveries(one.id)) {
    EXPECT_EQ(d.status, delivery_status::blocked);
    EXPECT_EQ(d.attempts.size(), 1U);
  }
  (void)spread();
  EXPECT_EQ(deliveries(one.id).size(), 2U) << "it is not told about itself";
  const auto told = due(other.id);
  ASSERT_EQ(told.size(), 3U);
  EXPECT_EQ(told[2].what.event, "webhook.disabled");
  for (const auto* part : {"https://hooks.example.com/in\"", "it answered 410"})
    EXPECT_NE(told[2].what.data.find(part), std::string::npos) << told[2].what.data;
  EXPECT_NE(told[2].what.data.find(one.id.uuid()), std::string::npos);
  for (const auto* hidden : {"t0p", "pass"})
    EXPECT_EQ(told[2].what.data.find(hidden), std::string::npos) << told[2].what.data;
  EXPECT_TRUE(recorded(batch[0])) << "what was on its way";
  EXPECT_EQ(spread().events, 0) << "it is said once";
}

TEST_P(WebhookOutbox, AnEndpointItsOwnerHasPausedStaysPaused) {
  auto one = made();
  happen(1);
  const auto gone = attempt(one.id, due(one.id).at(0).id, attempt_outcome::disable);
  one.enabled = false;
  (void)value_of(endpoints->change(one, writer()));
  EXPECT_TRUE(recorded(gone));
  EXPECT_EQ(now(one.id).status(), webhook_status::paused);
  EXPECT_EQ(spread().events, 0);
}

TEST_P(WebhookOutbox, DisablesWhatHasFailedForLong) {
  const auto failing = made();
  const auto good = made();
  happen(1);
  ASSERT_TRUE(recorded(failing.id, due(failing.id).at(0).id, attempt_outcome::failed));
  ASSERT_TRUE(recorded(good.id, due(good.id).at(0).id, attempt_outcome::delivered));
  EXPECT_EQ(value_of(outbox->disable_failing(1h)), 0);
  EXPECT_EQ(value_of(outbox->disable_failing(0ms)), 1);
  EXPECT_EQ(value_of(outbox->disable_failing(0ms)), 0);
  const auto row = now(failing.id);
  EXPECT_EQ(row.status(), webhook_status::disabled);
  EXPECT_TRUE(row.disabled_reason.starts_with("it has failed since 20")) << row.disabled_reason;
  EXPECT_EQ(now(good.id).status(), webhook_status::active);
  (void)spread();
  EXPECT_EQ(events_of(good.id), (std::vector<std::string>{"webhook.disabled"}));
  EXPECT_TRUE(events_of(failing.id).empty());
}

TEST_P(WebhookOutbox, KeepsDeliveriesWhileAnEndpointIsDisabled) {
  auto one = made();
  happen(1);
  ASSERT_TRUE(recorded(one.id, due(one.id).at(0).id, attempt_outcome::disable));
  happen(2);
  EXPECT_EQ(value_of(outbox->pending()), 3);
  EXPECT_FALSE(owned(one.id)->has_due);
  one = now(one.id);
  one.enabled = true;
  (void)value_of(endpoints->change(one, writer()));
  EXPECT_TRUE(owned(one.id)->has_due);
  EXPECT_EQ(due(one.id).size(), 3U);
}

} // namespace rdev::test
