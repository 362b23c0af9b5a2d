#include "actors/exchange.hpp"

#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

namespace rdev::exchange {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// All peers say yes unless a test says otherwise; `steps` is who was asked, in order.
class Exchange : public test::actor_house {
protected:
  Exchange() {
    who = test::who_has(test::a_key({scope::projects_execute, scope::keys_write}));
    request.from = test::a_request();
    request.needed = scope::projects_execute;
    request.recipe = [this]() -> answer<operation> {
      steps.emplace_back("recipe");
      return what;
    };
    play<auth::actor>([this](const auth::identify& asked) -> caf::result<answer<principal>> {
      fresh.push_back(asked.fresh);
      if (changes && identified)
        ++identified->revision;
      return step<answer<principal>>("auth", identified);
    });
    play<rate_limit::actor>([this](const rate_limit::meter&) -> caf::result<rate_limit::metered> {
      return step<rate_limit::metered>("rate_limit", metered);
    });
    play<pod_control::actor>(
        [this](const pod_control::locate&) -> caf::result<answer<project>> {
          return step<answer<project>>("locate", located);
        },
        [this](const pod_control::request&) -> caf::result<answer<outcome>> {
          return step<answer<outcome>>("pod_control", answer<outcome>(outcome(project{})));
        });
    play<command_queue::actor>(
        [this](const command_queue::submit& asked) -> caf::result<answer<submitted>> {
          submits.push_back(asked);
          return step<answer<submitted>>("submit", answer<submitted>(submitted{command_id::make(), "demo", false}));
        },
        [this](const command_queue::cancel& asked) -> caf::result<command_queue::cancelled> {
          cancels.push_back(asked.order);
          return step<command_queue::cancelled>("cancel", command_queue::cancelled{verdict});
        });
    play<queries::actor>([this](const queries::request&) -> caf::result<answer<outcome>> {
      return step<answer<outcome>>("queries", found);
    });
    play<api_keys::actor>([this](const api_keys::request&) -> caf::result<answer<outcome>> {
      return step<answer<outcome>>("api_keys", answer<outcome>(outcome(page<api_key>{})));
    });
    play<endpoints::actor>([this](const endpoints::request&) -> caf::result<answer<outcome>> {
      return step<answer<outcome>>("endpoints", answer<outcome>(outcome(page<webhook>{})));
    });
    play<refusals::actor>([this](const refusals::refused& row) { audited.push_back(row.what); });
  }

  // Stands for INGRESS.
  parent keeper() {
    return caf::actor_cast<parent>(open([this](caf::event_based_actor*) {
      return caf::behavior{[this](const idle& free) { idlers.push_back(free.who); }};
    }));
  }

  template <class Reply>
  caf::result<Reply> step(const std::string& name, const Reply& yes) {
    steps.push_back(name);
    if (failing == name)
      return to_error({code, "planned"});
    return yes;
  }
  api_reply walk() {
    one = open(behavior, around(), keeper());
    return ask<api_reply>(one, ingress::perform{request}).reply();
  }
  refusal_code refused() {
    auto reply = walk();
    EXPECT_FALSE(reply.what);
    return reply.what ? refusal_code::internal_error : reply.what.why().code;
  }

  actor one;
  api_request request;
  operation what = submit_command{test::a_script()};
  principal who;
  answer<principal> identified = answer<principal>(principal{});
  rate_limit::metered metered;
  answer<project> located = answer<project>(project{});
  answer<outcome> found = answer<outcome>(outcome(command_view{}));
  cancel_verdict verdict = cancel_verdict::requested;
  bool changes = false; // the key, all the time
  std::string failing;
  fault code = fault::unavailable;
  std::vector<std::string> steps;
  std::vector<bool> fresh;
  std::vector<caf::actor_id> idlers;
  std::vector<audit_record> audited;
  std::vector<command_queue::submit> submits;
  std::vector<cancel_order> cancels;

  void SetUp() override {
    identified = answer<principal>(who);
  }
};

TEST_F(Exchange, WalksASubmissionFromActorToActor) {
  auto reply = walk();
  ASSERT_TRUE(reply.what);
  EXPECT_TRUE(std::holds_alternative<submitted>(*reply.what));
  EXPECT_EQ(reply.who->key, who.key);
  EXPECT_THAT(steps, ElementsAre("auth", "rate_limit", "recipe", "locate", "submit"));
  EXPECT_THAT(audited, IsEmpty());
  EXPECT_TRUE(lines.says("to=command_queue message=submit"));
}

TEST_F(Exchange, HandsTheIdempotencyKeyOn) {
  request.idempotency = test::an_idempotency_key("k");
  walk();
  ASSERT_EQ(submits.size(), 1U);
  EXPECT_EQ(submits[0].idempotency->key, "k");
}

// ---- secrets

TEST_F(Exchange, PutsNoSecretIntoTheRecordOfARefusal) {
  const auto hidden = hidden_by.hide(secret("pass word/1"));
  request.from.path = "/projects/pass word/1/shell";
  request.from.request_id = "id-cGFzcyB3b3JkLzE";
  located = answer<project>(refusal{refusal_code::not_found, "", {}, {}});
  EXPECT_EQ(refused(), refusal_code::not_found);
  ASSERT_EQ(audited.size(), 1U);
  EXPECT_EQ(audited[0].target, "POST /projects/[redacted]/shell");
  EXPECT_EQ(audited[0].from.request_id, "id-[redacted]");
  EXPECT_EQ(audited[0].reason, "NOT_FOUND");
  EXPECT_EQ(audited[0].actor_name, who.key_name);
  EXPECT_GE(counts.count("redacted audit"), 2);
}

TEST_F(Exchange, HandsOnNoSecretThatWouldBeRecorded) {
  const auto hidden = hidden_by.hide(secret("hunter2-hunter2"));
  who.key_name = "key of hunter2-hunter2";
  identified = answer<principal>(who);
  request.from.request_id = "hunter2-hunter2";
  request.from.path = "/projects/hunter2-hunter2/shell";
  walk();
  ASSERT_EQ(submits.size(), 1U);
  EXPECT_EQ(submits[0].who.key_name, "key of [redacted]");
  EXPECT_EQ(submits[0].from.request_id, "[redacted]");
  EXPECT_EQ(submits[0].from.path, request.from.path) << "a repeat is known by it";
}

// ---- the order of refusals

TEST_F(Exchange, StopsAtAnUnknownKeyBeforeAnythingElse) {
  identified = answer<principal>(refusal{refusal_code::key_expired, "", {}, {}});
  auto reply = walk();
  EXPECT_EQ(reply.what.why().code, refusal_code::key_expired);
  EXPECT_FALSE(reply.who);
  EXPECT_FALSE(reply.rate);
  EXPECT_THAT(steps, ElementsAre("auth", "rate_limit"));
}

TEST_F(Exchange, MetersByAddressWhoHasNoGoodKeyAndSaysThatFirst) {
  identified = answer<principal>(refusal{refusal_code::unauthorized, "", {}, {}});
  metered = {rate_limit::rule::address, {20, 0, std::chrono::seconds(1), std::chrono::milliseconds(300)}};
  const auto reply = walk();
  EXPECT_EQ(reply.what.why().code, refusal_code::too_many_requests);
  EXPECT_EQ(reply.what.why().details.at(0).field, "address");
  EXPECT_FALSE(reply.rate) << "the headers are about keys";
}

TEST_F(Exchange, StopsAtABanBeforeAnythingElse) {
  identified = answer<principal>(refusal{refusal_code::too_many_requests, "", {{"ban", ""}}, {}});
  EXPECT_EQ(walk().what.why().details.at(0).field, "ban");
  EXPECT_THAT(steps, ElementsAre("auth"));
}

TEST_F(Exchange, StopsAtTheRateLimitBeforeScopeAndBody) {
  request.needed = scope::admin;
  metered = {rate_limit::rule::key, {10, 0, std::chrono::seconds(1), std::chrono::milliseconds(300)}};
  auto reply = walk();
  EXPECT_EQ(reply.what.why().code, refusal_code::too_many_requests);
  EXPECT_EQ(reply.what.why().retry_after, std::chrono::milliseconds(300));
  EXPECT_EQ(reply.what.why().details.at(0).field, "key");
  EXPECT_EQ(reply.rate->quota, 10);
  EXPECT_THAT(steps, ElementsAre("auth", "rate_limit"));
}

TEST_F(Exchange, StopsAtAMissingScopeBeforeProjectAndBody) {
  request.needed = scope::audit_read;
  request.project = "elsewhere";
  identified->project_ids = std::vector<std::string>{"demo"};
  auto reply = walk();
  EXPECT_EQ(reply.what.why().code, refusal_code::forbidden);
  EXPECT_NE(reply.what.why().message.find("audit:read"), std::string::npos);
  EXPECT_THAT(steps, ElementsAre("auth", "rate_limit"));
}

TEST_F(Exchange, StopsAtAForeignProjectBeforeTheBody) {
  request.project = "elsewhere";
  identified->project_ids = std::vector<std::string>{"demo"};
  EXPECT_EQ(refused(), refusal_code::forbidden);
  EXPECT_THAT(steps, ElementsAre("auth", "rate_limit"));
}

TEST_F(Exchange, StopsAtABadBodyBeforeTheProjectIsLookedFor) {
  request.recipe = [] { return answer<operation>(refusal{refusal_code::unsupported_media_type, "", {}, {}}); };
  located = answer<project>(refusal{refusal_code::not_found, "", {}, {}});
  EXPECT_EQ(refused(), refusal_code::unsupported_media_type);
  EXPECT_THAT(steps, ElementsAre("auth", "rate_limit"));
}

TEST_F(Exchange, QueuesNothingForAProjectThatIsNotThereOrStopped) {
  for (const auto code_of_project : {refusal_code::not_found, refusal_code::conflict}) {
    steps.clear();
    located = answer<project>(refusal{code_of_project, "", {}, {}});
    EXPECT_EQ(refused(), code_of_project);
    EXPECT_THAT(steps, ElementsAre("auth", "rate_limit", "recipe", "locate"));
  }
}

// ---- who carries out what

TEST_F(Exchange, AsksTheOwnerOfEachOperation) {
  what = list_projects{};
  walk();
  what = get_queue{};
  walk();
  what = list_keys{};
  walk();
  std::erase_if(steps, [](const auto& s) { return s == "auth" || s == "rate_limit" || s == "recipe"; });
  EXPECT_THAT(steps, ElementsAre("pod_control", "queries", "api_keys"));
}

TEST_F(Exchange, AsksTheOwnerOfWebhooksForAllThatIsAboutThem) {
  const webhook_id id;
  const std::vector<operation> all{list_webhooks{},        create_webhook{},          get_webhook{id},
                                   change_webhook{id, {}}, delete_webhook{id},        test_webhook{id},
                                   list_deliveries{},      rotate_webhook_secret{id}, get_delivery{id, {}},
                                   redeliver{id, {}},      replay_deliveries{}};
  for (const auto& each : all) {
    what = each;
    steps.clear();
    EXPECT_TRUE(walk().what);
    EXPECT_EQ(steps.back(), "endpoints") << each.index();
  }
}

TEST_F(Exchange, CancelsOnlyWhatTheAskerSees) {
  what = cancel_command{command_id::make()};
  found = answer<outcome>(refusal{refusal_code::not_found, "", {}, {}});
  EXPECT_EQ(refused(), refusal_code::not_found);
  EXPECT_THAT(cancels, IsEmpty());
}

TEST_F(Exchange, TellsTheVerdictOfACancel) {
  const auto id = command_id::make();
  what = cancel_command{id};
  auto accepted = std::get<cancel_accepted>(*walk().what);
  EXPECT_EQ(accepted.id, id);
  EXPECT_EQ(accepted.status, command_status::running);
  EXPECT_EQ(cancels.at(0).by, who.key);
  EXPECT_EQ(cancels.at(0).reason, cancel_reason::user);
  verdict = cancel_verdict::never_ran;
  EXPECT_EQ(std::get<cancel_accepted>(*walk().what).status, command_status::cancelled);
  verdict = cancel_verdict::ended;
  EXPECT_EQ(refused(), refusal_code::conflict);
  verdict = cancel_verdict::not_found;
  EXPECT_EQ(refused(), refusal_code::not_found);
}

// ---- faults

TEST_F(Exchange, TurnsAFaultOfEachStepIntoARefusal) {
  for (const auto* step : {"auth", "rate_limit", "locate", "submit"}) {
    failing = step;
    EXPECT_EQ(refused(), refusal_code::service_unavailable) << step;
  }
  what = cancel_command{command_id::make()};
  for (const auto* step : {"queries", "cancel"}) {
    failing = step;
    EXPECT_EQ(refused(), refusal_code::service_unavailable) << step;
  }
  EXPECT_EQ(counts.count("fault_seen exchange"), 6);
}

TEST_F(Exchange, GivesEachFaultItsRefusal) {
  failing = "submit";
  const std::vector<std::pair<fault, refusal_code>> expected{
      {fault::unavailable, refusal_code::service_unavailable},
      {fault::no_space, refusal_code::service_unavailable},
      {fault::unknown_outcome, refusal_code::service_unavailable},
      {fault::deadline, refusal_code::service_unavailable},
      {fault::stale_token, refusal_code::internal_error},
      {fault::invalid, refusal_code::internal_error},
      {fault::internal, refusal_code::internal_error}};
  for (const auto& [fault_code, refused_as] : expected) {
    code = fault_code;
    auto reply = walk();
    EXPECT_EQ(reply.what.why().code, refused_as) << to_string(fault_code);
    EXPECT_EQ(reply.what.why().message.find("planned"), std::string::npos) << "internals leak";
    if (refused_as == refusal_code::service_unavailable) {
      EXPECT_GT(reply.what.why().retry_after.count(), 0);
    }
  }
}

TEST_F(Exchange, AsksAgainWhoThisIsWhenTheKeyWasChangedUnderWay) {
  failing = "submit";
  code = fault::key_changed;
  changes = true;
  one = open(behavior, around(), keeper());
  const auto asked = ask<api_reply>(one, ingress::perform{request});
  advance(std::chrono::seconds(1));
  const auto& reply = asked.reply();
  EXPECT_EQ(reply.what.why().code, refusal_code::service_unavailable) << "changed again and again";
  EXPECT_NE(reply.what.why().message.find("key"), std::string::npos) << "nothing is away";
  std::vector<std::string> expected{"auth", "rate_limit", "recipe", "locate", "submit"};
  std::vector<bool> asked_anew{false};
  for (int i = 1; i < most_walks; ++i) {
    expected.insert(expected.end(), {"auth", "recipe", "locate", "submit"});
    asked_anew.push_back(true);
  }
  EXPECT_EQ(steps, expected);
  EXPECT_EQ(fresh, asked_anew);
}

TEST_F(Exchange, BelievesTheStoreThatAKeyHasEndedWhichDidNotChange) {
  failing = "submit";
  code = fault::key_changed; // the store's clock is ahead of ours
  one = open(behavior, around(), keeper());
  const auto asked = ask<api_reply>(one, ingress::perform{request});
  advance(std::chrono::seconds(1));
  EXPECT_EQ(asked.reply().what.why().code, refusal_code::key_expired);
  EXPECT_THAT(fresh, ElementsAre(false, true, true, true));
}

TEST_F(Exchange, SaysAfterACommitInDoubtThatTheOutcomeIsUnknown) {
  failing = "submit";
  code = fault::unknown_outcome;
  EXPECT_NE(walk().what.why().message.find("same Idempotency-Key"), std::string::npos);
}

TEST_F(Exchange, AnswersWhenAPeerIsAwayOrDies) {
  kill(peers.get<command_queue::actor>());
  EXPECT_EQ(refused(), refusal_code::service_unavailable);
  peers.set(auth::actor{});
  EXPECT_EQ(refused(), refusal_code::service_unavailable);
}

TEST_F(Exchange, AnswersAtItsDeadlineAndEnds) {
  play_with<auth::actor>([](caf::event_based_actor* me) {
    return caf::behavior{[me](const auth::identify&) {
      me->set_default_handler(caf::skip);
      return me->make_response_promise<answer<principal>>(); // never
    }};
  });
  one = open(behavior, around(), keeper());
  auto late = ask<api_reply>(one, ingress::perform{request});
  EXPECT_TRUE(late.open());
  tell(one, expired{});
  EXPECT_EQ(late.reply().what.why().code, refusal_code::service_unavailable);
  EXPECT_NE(late.reply().what.why().message.find("unknown"), std::string::npos);
  EXPECT_EQ(counts.count("fault_seen deadline"), 1);
  EXPECT_THAT(idlers, IsEmpty()) << "somebody may still answer the former request";
}

TEST_F(Exchange, MayHaveTheNextRequestWhenItHasAnswered) {
  located = answer<project>(refusal{refusal_code::conflict, "", {}, {}});
  EXPECT_EQ(refused(), refusal_code::conflict);
  EXPECT_THAT(idlers, ElementsAre(one.id()));
  metered.refused_by = rate_limit::rule::key;
  auto next = ask<api_reply>(one, ingress::perform{request});
  EXPECT_EQ(next.reply().what.why().code, refusal_code::too_many_requests);
  EXPECT_EQ(idlers.size(), 2U);
  tell(one, expired{}); // too late: it has answered
  EXPECT_EQ(counts.count("fault_seen deadline"), 0);
  metered.refused_by.reset();
  located = answer<project>(project{});
  EXPECT_TRUE(ask<api_reply>(one, ingress::perform{request}).reply().what);
}

// ---- what is on record

TEST_F(Exchange, RecordsWhoWasRefusedWhat) {
  request.project = "elsewhere";
  identified->project_ids = std::vector<std::string>{"demo"};
  walk();
  ASSERT_EQ(audited.size(), 1U);
  EXPECT_EQ(audited[0].action, "request.refused");
  EXPECT_EQ(audited[0].actor, who.key);
  EXPECT_EQ(audited[0].actor_name, who.key_name);
  EXPECT_EQ(audited[0].target, "POST /projects/demo/shell");
  EXPECT_EQ(audited[0].project, "elsewhere");
  EXPECT_EQ(audited[0].reason, "FORBIDDEN");
  EXPECT_EQ(audited[0].from.request_id, request.from.request_id);
}

TEST_F(Exchange, RecordsARefusalOfSomebodyUnknown) {
  identified = answer<principal>(refusal{refusal_code::unauthorized, "", {}, {}});
  walk();
  ASSERT_EQ(audited.size(), 1U);
  EXPECT_FALSE(audited[0].actor);
  EXPECT_EQ(audited[0].actor_name, "unknown");
}

TEST_F(Exchange, RefusesAlsoWhenTheAuditLogIsAway) {
  kill(peers.get<audit::actor>());
  identified = answer<principal>(refusal{refusal_code::key_revoked, "", {}, {}});
  EXPECT_EQ(refused(), refusal_code::key_revoked);
}

} // namespace
} // namespace rdev::exchange
