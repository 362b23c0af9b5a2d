#include "tests/support/contracts/store_contract.hpp"

#include <algorithm>
#include <array>

namespace rdev::test {

namespace {

new_command with_key(new_command c, const std::string& idempotency_key, std::uint8_t body) {
  c.idempotency = idempotency{idempotency_key, digest_of(body)};
  return c;
}

} // namespace

TEST_P(CommandStore, AnswersABatchInTheOrderGiven) {
  std::vector<new_command> batch;
  for (int i = 0; i < 20; ++i)
    batch.push_back(a_command("p" + std::to_string(i)));
  std::reverse(batch.begin(), batch.end()); // not the order of the ids
  const auto receipts = value_of(commands->submit(batch));
  ASSERT_EQ(receipts.size(), batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    EXPECT_EQ(receipts[i].verdict, submit_verdict::created);
    EXPECT_EQ(receipts[i].id, batch[i].what.id);
    EXPECT_EQ(value_of(queries->find(batch[i].what.id))->project, batch[i].what.what.project);
  }
}

TEST_P(CommandStore, AnEmptyBatchIsNothing) {
  EXPECT_TRUE(value_of(commands->submit({})).empty());
  EXPECT_TRUE(value_of(commands->complete({})).empty());
  EXPECT_TRUE(value_of(commands->existing({})).empty());
}

TEST_P(CommandStore, ReplaysATwinWithinOneBatch) {
  const std::vector<new_command> batch{with_key(a_command(), "once", 1), with_key(a_command(), "once", 1),
                                       with_key(a_command(), "once", 2), with_key(a_command(), "other", 1)};
  const auto receipts = value_of(commands->submit(batch));
  ASSERT_EQ(receipts.size(), 4U);
  EXPECT_EQ(receipts[0].verdict, submit_verdict::created);
  EXPECT_EQ(receipts[1].verdict, submit_verdict::replayed);
  EXPECT_EQ(receipts[1].id, batch[0].what.id);
  EXPECT_EQ(receipts[2].verdict, submit_verdict::conflict);
  EXPECT_EQ(receipts[3].verdict, submit_verdict::created);
  EXPECT_FALSE(value_of(queries->find(batch[1].what.id)).has_value());
  EXPECT_FALSE(value_of(queries->find(batch[2].what.id)).has_value());
}

TEST_P(CommandStore, ReplaysATwinOfAnEarlierBatchAlsoFromAnotherNode) {
  const auto first = with_key(a_command(), "once", 1);
  submitted(first);
  const auto same = with_key(a_command(), "once", 1);
  const auto other = with_key(a_command(), "once", 2);
  const std::vector<new_command> batch{other, same};
  const auto receipts = value_of(rig->commands()->submit(batch));
  ASSERT_EQ(receipts.size(), 2U);
  EXPECT_EQ(receipts[0].verdict, submit_verdict::conflict);
  EXPECT_EQ(receipts[1].verdict, submit_verdict::replayed);
  EXPECT_EQ(receipts[1].id, first.what.id);
}

TEST_P(CommandStore, TheScopeOfAnIdempotencyKeyIsFamilyMethodAndPath) {
  submitted(with_key(a_command("a"), "once", 1));
  submitted(with_key(a_command("b"), "once", 2)); // another path
  auto put = with_key(a_command("a"), "once", 2);
  put.from.method = "PUT";
  submitted(put);
  const auto stranger = some_key("stranger");
  ASSERT_EQ(value_of(keys->create(stranger, {}, writer())).verdict, mint_verdict::created);
  auto theirs = with_key(a_command("a"), "once", 2);
  theirs.what.key = stranger.id;
  theirs.what.family = stranger.family;
  submitted(theirs);
}

TEST_P(CommandStore, AnExpiredIdempotencyRecordIsUsedAnew) {
  submitted(with_key(a_command(), "once", 1));
  rig->expire_idempotency();
  const auto fresh = with_key(a_command(), "once", 2);
  EXPECT_EQ(submitted(fresh), fresh.what.id);
  const auto again = with_key(a_command(), "once", 2);
  EXPECT_EQ(value_of(commands->submit({&again, 1}))[0].id, fresh.what.id);
}

TEST_P(CommandStore, WritesNothingForARevokedOrExpiredKey) {
  auto expired = some_key("expired");
  expired.expires_at = now_utc() - std::chrono::seconds(5);
  ASSERT_EQ(value_of(keys->create(expired, {}, writer())).verdict, mint_verdict::created);
  auto revoked = some_key("revoked");
  ASSERT_EQ(value_of(keys->create(revoked, {}, writer())).verdict, mint_verdict::created);
  revoke(revoked.id);
  std::vector<new_command> batch{with_key(a_command(), "a", 1), a_command(), with_key(a_command(), "a", 1),
                                 a_command()};
  batch[0].what.key = revoked.id;
  batch[1].what.key = expired.id;
  batch[3].what.key = key_id::make(); // nobody's
  const auto receipts = value_of(commands->submit(batch));
  ASSERT_EQ(receipts.size(), 4U);
  EXPECT_EQ(receipts[0].verdict, submit_verdict::key_changed);
  EXPECT_EQ(receipts[1].verdict, submit_verdict::key_changed);
  EXPECT_EQ(receipts[2].verdict, submit_verdict::created) << "a revoked twin must not take the place of a good one";
  EXPECT_EQ(receipts[3].verdict, submit_verdict::key_changed);
  const std::vector<command_id> ids{batch[0].what.id, batch[1].what.id, batch[2].what.id, batch[3].what.id};
  EXPECT_EQ(value_of(commands->existing(ids)), std::vector{batch[2].what.id});
}

TEST_P(CommandStore, SaysWhichCommandsExist) {
  const auto present = submitted();
  const std::vector<command_id> ids{command_id::make(), present, command_id::make()};
  EXPECT_EQ(value_of(commands->existing(ids)), std::vector{present});
}

TEST_P(CommandStore, KeepsEveryPartOfACommandByteForByte) {
  auto shell = a_command();
  shell.what.what.script = "echo \"{a,b}\" '\\' \n\t\u00e4\u20ac\U0001F600 NULL";
  shell.what.what.workdir = "sub \"dir\"/x";
  shell.what.what.env = {{"A", secret("x=\"y\"\n\\")}, {"EMPTY", secret("")}};
  auto git = a_command("demo", priority::low);
  git.what.what.type = command_type::git;
  git.what.what.script.reset();
  git.what.what.argv = {"commit", "-m", "", "NULL", "a,b", "{}", "\\\"", "\u00fc"};
  auto claude = a_command("demo", priority::critical);
  claude.what.what.type = command_type::claude;
  claude.what.what.script.reset();
  claude.what.what.prompt = "line 1\nline 2\u2028";
  for (const auto& one : {shell, git, claude})
    submitted(one);
  const auto got = claimed();
  ASSERT_EQ(got.size(), 3U);
  for (const auto& sent : {shell, git, claude}) {
    const auto found = std::find_if(got.begin(), got.end(), [&](const auto& l) { return l.what.id == sent.what.id; });
    ASSERT_NE(found, got.end());
    const auto& w = found->what.what;
    EXPECT_EQ(found->what.key, sent.what.key);
    EXPECT_EQ(found->what.family, sent.what.family);
    EXPECT_EQ(w.type, sent.what.what.type);
    EXPECT_EQ(w.project, sent.what.what.project);
    EXPECT_EQ(w.script, sent.what.what.script);
    EXPECT_EQ(w.argv, sent.what.what.argv);
    EXPECT_EQ(w.prompt, sent.what.what.prompt);
    EXPECT_EQ(w.workdir, sent.what.what.workdir);
    EXPECT_EQ(w.timeout, sent.what.what.timeout);
    EXPECT_EQ(w.priority, sent.what.what.priority);
    ASSERT_EQ(w.env.size(), sent.what.what.env.size());
    for (std::size_t i = 0; i < w.env.size(); ++i) {
      EXPECT_EQ(w.env[i].name, sent.what.what.env[i].name);
      EXPECT_EQ(w.env[i].value.reveal(), sent.what.what.env[i].value.reveal());
    }
  }
}

TEST_P(CommandStore, ACompletionCountsOnlyUnderItsToken) {
  const auto l = running();
  auto stale = l;
  stale.token = l.token - 1;
  EXPECT_FALSE(completed(stale));
  EXPECT_EQ(status_of(l.what.id), command_status::running);
  EXPECT_TRUE(completed(l, command_status::failed));
  EXPECT_EQ(status_of(l.what.id), command_status::failed);
  EXPECT_FALSE(completed(stale)) << "the lease is gone";
  EXPECT_EQ(status_of(l.what.id), command_status::failed);
}

TEST_P(CommandStore, TheRepeatOfACompletionIsAcceptedAndChangesNothing) {
  const auto l = running();
  ASSERT_TRUE(completed(l, command_status::failed));
  completion again{l.what.id, l.token, {}, {}};
  again.result.status = command_status::failed;
  EXPECT_EQ(value_of(commands->complete({&again, 1})), std::vector<bool>{true}) << "its first answer was lost";
  again.token += 1000;
  EXPECT_EQ(value_of(commands->complete({&again, 1})), std::vector<bool>{false});
  EXPECT_EQ(value_of(queries->find(l.what.id))->result->exit_code, 0) << "as it was written first";
}

TEST_P(CommandStore, TheEndIsWhenTheCommandEndedNotWhenItWasSeen) {
  const auto l = running();
  while (now_utc() < l.started_at + std::chrono::milliseconds(300))
    EXPECT_EQ(status_of(l.what.id), command_status::running); // it runs for a while
  completion one{l.what.id, l.token, {}, std::chrono::milliseconds(200)};
  ASSERT_EQ(value_of(commands->complete({&one, 1})), std::vector<bool>{true});
  const auto long_ago = running();
  completion other{long_ago.what.id, long_ago.token, {}, std::chrono::hours(1)};
  ASSERT_EQ(value_of(commands->complete({&other, 1})), std::vector<bool>{true});
  const auto end = value_of(queries->find(l.what.id))->result;
  const auto seen_last = value_of(queries->find(long_ago.what.id))->result;
  EXPECT_GE(end->finished_at, *end->started_at);
  EXPECT_LE(end->finished_at, *seen_last->started_at - std::chrono::milliseconds(200));
  EXPECT_EQ(seen_last->finished_at, *seen_last->started_at) << "never before its start";
}

TEST_P(CommandStore, OneStaleCompletionLeavesTheRestOfItsBatchAlone) {
  const auto a = running("a");
  const auto b = running("b");
  const auto c = running("c");
  std::vector<completion> batch{
      {a.what.id, a.token, {}, {}}, {b.what.id, b.token + 1000, {}, {}}, {c.what.id, c.token, {}, {}}};
  EXPECT_EQ(value_of(commands->complete(batch)), (std::vector<bool>{true, false, true}));
  EXPECT_EQ(status_of(b.what.id), command_status::running);
}

TEST_P(CommandStore, AResultIsShownAsItWasWritten) {
  const auto l = running();
  completion one{l.what.id, l.token, {}, {}};
  auto& r = one.result;
  r.status = command_status::timed_out;
  r.reason = "it took \"too\" long";
  r.exit_code = 137;
  r.signal = "SIGKILL";
  r.survivors = 2;
  r.out = {5, std::string(64, 'a'), 7};
  r.err = {3'000'000'000ULL, std::string(64, 'b'), 3'000'000'000ULL};
  ASSERT_EQ(value_of(commands->complete({&one, 1})), std::vector<bool>{true});
  const auto view = value_of(queries->find(l.what.id));
  ASSERT_TRUE(view && view->result);
  EXPECT_EQ(view->status, command_status::timed_out);
  EXPECT_EQ(view->result->reason, r.reason);
  EXPECT_EQ(view->result->exit_code, r.exit_code);
  EXPECT_EQ(view->result->signal, r.signal);
  EXPECT_EQ(view->result->survivors, 2);
  EXPECT_EQ(view->result->out.bytes, 5U);
  EXPECT_EQ(view->result->out.total_bytes, 7U);
  EXPECT_TRUE(view->result->out.truncated());
  EXPECT_EQ(view->result->err.sha256, r.err.sha256);
  EXPECT_EQ(view->result->err.bytes, r.err.bytes);
  EXPECT_FALSE(view->result->complete);
  EXPECT_EQ(view->started_at, l.started_at);
  EXPECT_EQ(view->result->started_at, l.started_at);
  EXPECT_GE(view->result->finished_at, l.started_at);
}

TEST_P(CommandStore, ACancelOfAQueuedCommandMeansItNeverRuns) {
  const auto id = submitted();
  EXPECT_EQ(cancel(id), cancel_verdict::never_ran);
  EXPECT_TRUE(claimed().empty());
  const auto view = value_of(queries->find(id));
  ASSERT_TRUE(view && view->result);
  EXPECT_EQ(view->status, command_status::cancelled);
  EXPECT_FALSE(view->started_at);
  EXPECT_FALSE(view->result->exit_code);
  EXPECT_EQ(view->result->out.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(cancel(id), cancel_verdict::ended);
}

TEST_P(CommandStore, ACancelOfARunningCommandIsAWishForItsOwner) {
  const auto l = running();
  EXPECT_EQ(cancel(l.what.id, cancel_reason::timeout), cancel_verdict::requested);
  EXPECT_EQ(cancel(l.what.id, cancel_reason::user), cancel_verdict::requested);
  EXPECT_EQ(status_of(l.what.id), command_status::running);
  EXPECT_TRUE(value_of(queries->find(l.what.id))->cancel_requested);
  EXPECT_EQ(value_of(leases->held(node)).at(0).cancel, cancel_reason::timeout) << "the first reason wins";
  EXPECT_TRUE(completed(l, command_status::timed_out));
  EXPECT_TRUE(value_of(leases->held(node)).empty());
  EXPECT_EQ(cancel(l.what.id), cancel_verdict::ended);
}

TEST_P(CommandStore, ACancelOfAnUnknownCommandFindsNothing) {
  EXPECT_EQ(cancel(command_id::make()), cancel_verdict::not_found);
}

TEST_P(CommandStore, RemembersTheCreationOfAProject) {
  const idempotency once{"once", digest_of(1)};
  project_change change{"demo2", "project.created", key.id, key.name, {"req_4", "", "127.0.0.1", "POST", "/projects"},
                        once};
  EXPECT_FALSE(value_of(commands->find_idempotent(key.family, change.from, once)).has_value());
  ASSERT_TRUE(commands->record(change));
  const auto same = value_of(commands->find_idempotent(key.family, change.from, once));
  ASSERT_TRUE(same);
  EXPECT_TRUE(same->same_body);
  EXPECT_EQ(same->resource, "demo2");
  const auto other = value_of(commands->find_idempotent(key.family, change.from, {"once", digest_of(2)}));
  ASSERT_TRUE(other);
  EXPECT_FALSE(other->same_body);
  EXPECT_FALSE(value_of(commands->find_idempotent(key_id::make(), change.from, once)).has_value());
  rig->expire_idempotency();
  EXPECT_FALSE(value_of(commands->find_idempotent(key.family, change.from, once)).has_value());
}

TEST_P(CommandStore, TheHealthOfAProjectIsNewsOnceForEachChange) {
  const auto news = [&](bool healthy) {
    return value_of(commands->observe({"demo2", healthy, "ErrImagePull: it's \"gone\""}));
  };
  EXPECT_FALSE(news(true)) << "nobody said that it was ill";
  EXPECT_TRUE(news(false));
  EXPECT_FALSE(news(false)) << "another node has seen it, too";
  EXPECT_TRUE(news(true));
  EXPECT_FALSE(news(true));
  EXPECT_TRUE(news(false));
  ASSERT_TRUE(commands->record({"demo2", "project.deleted", key.id, key.name, {}, std::nullopt}));
  EXPECT_FALSE(news(true)) << "that was another project of this name";
}

TEST_P(CommandStore, RecordsAProjectChangeWithoutAnIdempotencyKey) {
  EXPECT_TRUE(commands->record({"demo2", "project.removed", key.id, key.name, {}, std::nullopt}));
}

// ---- the cap of a key

TEST_P(CommandStore, AKeyHasNoMoreUnfinishedCommandsThanItsLimit) {
  key.concurrency_limit = 2;
  ASSERT_EQ(value_of(keys->change(key, writer())).verdict, change_verdict::changed);
  const auto verdicts = [&](const std::vector<new_command>& batch) {
    std::vector<submit_verdict> out;
    for (const auto& one : value_of(commands->submit(batch)))
      out.push_back(one.verdict);
    return out;
  };
  const auto one = [&] {
    auto c = a_command();
    c.key_revision = 1;
    return c;
  };
  using v = submit_verdict;
  EXPECT_EQ(verdicts({one(), one(), one()}), (std::vector{v::created, v::created, v::key_is_full}));
  EXPECT_EQ(verdicts({one()}), std::vector{v::key_is_full});
  const auto running = claimed();
  ASSERT_EQ(running.size(), 2U);
  EXPECT_EQ(verdicts({one()}), std::vector{v::key_is_full}) << "what runs counts";
  ASSERT_TRUE(completed(running[0]));
  auto next = one();
  EXPECT_EQ(verdicts({next}), std::vector{v::created}) << "one has ended";
  EXPECT_EQ(cancel(next.what.id), cancel_verdict::never_ran);
  EXPECT_EQ(verdicts({one()}), std::vector{v::created}) << "one was cancelled";
}

TEST_P(CommandStore, WhatWasUnderWayWhenALimitComesCountsToo) {
  submitted();
  key.concurrency_limit = 1;
  ASSERT_EQ(value_of(keys->change(key, writer())).verdict, change_verdict::changed);
  auto next = a_command();
  next.key_revision = 1;
  EXPECT_EQ(value_of(commands->submit(std::array{next}))[0].verdict, submit_verdict::key_is_full);
}

TEST_P(CommandStore, ARepeatIsAnsweredAlsoWhenTheKeyIsFull) {
  key.concurrency_limit = 1;
  ASSERT_EQ(value_of(keys->change(key, writer())).verdict, change_verdict::changed);
  auto first = a_command();
  first.key_revision = 1;
  first.idempotency = idempotency{"once", digest_of(1)};
  ASSERT_EQ(value_of(commands->submit(std::array{first}))[0].verdict, submit_verdict::created);
  auto again = first;
  again.what.id = command_id::make();
  const auto receipt = value_of(commands->submit(std::array{again}))[0];
  EXPECT_EQ(receipt.verdict, submit_verdict::replayed);
  EXPECT_EQ(receipt.id, first.what.id);
  auto other = a_command();
  other.key_revision = 1;
  other.idempotency = idempotency{"twice", digest_of(1)};
  EXPECT_EQ(value_of(commands->submit(std::array{other}))[0].verdict, submit_verdict::key_is_full);
  ASSERT_TRUE(completed(claimed().at(0)));
  EXPECT_EQ(value_of(commands->submit(std::array{other}))[0].verdict, submit_verdict::created)
      << "what was refused is not remembered";
}

TEST_P(CommandStore, WhatIsSubmittedByACommandIsWrittenOnlyWhileThatRuns) {
  const auto by = [&](const command_id& holder) {
    auto c = a_command();
    c.holder = holder;
    return c;
  };
  using v = submit_verdict;
  const auto verdicts = [&](const std::vector<new_command>& batch) {
    std::vector<submit_verdict> out;
    for (const auto& one : value_of(commands->submit(batch)))
      out.push_back(one.verdict);
    return out;
  };
  const auto queued = submitted();
  EXPECT_EQ(verdicts({by(queued)}), std::vector{v::key_changed}) << "it does not run yet";
  const auto running = claimed().at(0);
  ASSERT_EQ(running.what.id, queued);
  EXPECT_EQ(verdicts({by(queued), by(command_id::make()), a_command(), by(queued)}),
            (std::vector{v::created, v::key_changed, v::created, v::created}));
  ASSERT_TRUE(completed(running));
  EXPECT_EQ(verdicts({by(queued), a_command()}), (std::vector{v::key_changed, v::created}));
}

TEST_P(CommandStore, TwinsInOneBatchTakeOnePlace) {
  key.concurrency_limit = 2;
  ASSERT_EQ(value_of(keys->change(key, writer())).verdict, change_verdict::changed);
  const auto with = [&](const char* name) {
    auto c = a_command();
    c.key_revision = 1;
    c.idempotency = idempotency{name, digest_of(1)};
    return c;
  };
  const std::vector<new_command> batch{with("a"), with("a"), with("a"), with("b"), with("c"), with("c"), with("b")};
  std::vector<submit_verdict> verdicts;
  for (const auto& one : value_of(commands->submit(batch)))
    verdicts.push_back(one.verdict);
  using v = submit_verdict;
  EXPECT_EQ(verdicts, (std::vector{v::created, v::replayed, v::replayed, v::created, v::key_is_full, v::key_is_full,
                                   v::replayed}));
}

TEST_P(CommandStore, ARevokedKeyCancelsNothing) {
  const auto one = submitted();
  revoke(key.id);
  EXPECT_EQ(cancel(one), cancel_verdict::key_changed);
  EXPECT_EQ(status_of(one), command_status::queued);
}

TEST_P(CommandStore, WhatARevokedKeyHasInTheQueueIsCancelledInPieces) {
  const auto runs = running();
  std::vector<command_id> waiting;
  for (const auto* project : {"a", "b", "a"})
    waiting.push_back(submitted(project));
  const auto stranger = some_key("stranger");
  ASSERT_EQ(value_of(keys->create(stranger, {}, writer())).verdict, mint_verdict::created);
  auto theirs = a_command();
  theirs.what.key = stranger.id;
  theirs.what.family = stranger.family;
  submitted(theirs);
  revoke(key.id);
  const queue_order order{key.id, stranger.id, "stranger", {"req_4", "", "127.0.0.1", "DELETE", "/keys"}};
  auto gone = value_of(commands->cancel_queued(order, 2));
  EXPECT_EQ(gone.size(), 2U);
  const auto rest = value_of(commands->cancel_queued(order, 2));
  EXPECT_EQ(rest.size(), 1U);
  gone.insert(gone.end(), rest.begin(), rest.end());
  EXPECT_TRUE(std::is_permutation(gone.begin(), gone.end(), waiting.begin(), waiting.end()));
  EXPECT_TRUE(value_of(commands->cancel_queued(order, 2)).empty());
  for (const auto& id : waiting) {
    const auto view = value_of(queries->find(id));
    ASSERT_TRUE(view && view->result);
    EXPECT_EQ(view->status, command_status::cancelled);
    EXPECT_EQ(view->result->reason, "its key was revoked before it was started");
    EXPECT_EQ(view->result->out.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  }
  EXPECT_EQ(status_of(runs.what.id), command_status::running);
  EXPECT_FALSE(value_of(queries->find(runs.what.id))->cancel_requested);
  EXPECT_EQ(status_of(theirs.what.id), command_status::queued);
}

} // namespace rdev::test
