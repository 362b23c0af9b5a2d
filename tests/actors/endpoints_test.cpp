#include "actors/endpoints.hpp"

#include "adapters/crypto.hpp"
#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"
#include "tests/support/scripted_sender.hpp"

#include <gmock/gmock.h>

namespace rdev::endpoints {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using strings = std::vector<std::string>;

class Endpoints : public test::actor_house {
protected:
  Endpoints() {
    me = test::a_key({scope::admin});
    world->put_key(me);
    bound = test::a_key({scope::webhooks_write}, "rdev_boundkey");
    bound.project_ids = strings{"demo", "shop"};
    world->put_key(bound);
    world->put_node(node);
    play<audit::actor>([this](const audit::committed& what) { audited += what.rows; });
    play<webhooks::actor>([](const webhooks::committed&) {}, [this](webhooks::changed) { ++told; });
    endpoints = open(behavior, around(), memory::make_webhook_registry(world), sender);
  }

  test::asked<answer<outcome>> want(const api_key& who, operation what, std::optional<idempotency> key = {}) {
    return ask<answer<outcome>>(
        endpoints, request{test::who_has(who), test::a_request("POST", "/webhooks"), std::move(key), std::move(what)});
  }
  template <class T>
  T done_by(const api_key& who, operation what, std::optional<idempotency> key = {}) {
    auto asked = want(who, std::move(what), std::move(key));
    EXPECT_TRUE(asked.reply()) << asked.reply().why().message;
    return std::get<T>(*asked.reply());
  }
  template <class T>
  T done(operation what, std::optional<idempotency> key = {}) {
    return done_by<T>(me, std::move(what), std::move(key));
  }
  refusal refused(const api_key& who, operation what, std::optional<idempotency> key = {}) {
    auto asked = want(who, std::move(what), std::move(key));
    EXPECT_FALSE(asked.reply());
    return asked.reply().why();
  }
  static create_webhook a_wish(std::optional<strings> projects = {}) {
    return {{"https://hooks.example/in", {"command.*"}, std::move(projects), "a sample", false}};
  }
  webhook an_endpoint(std::optional<strings> projects = {}) {
    return done<minted_webhook>(a_wish(std::move(projects))).what;
  }
  static change_webhook renamed(const webhook_id& id, std::string description = "renamed") {
    change_webhook out{id, {}};
    out.what.description = std::move(description);
    return out;
  }
  // Every operation about one endpoint.
  static std::vector<operation> all_about(const webhook_id& id) {
    auto out = writes_about(id);
    out.insert(out.end(), {get_webhook{id}, list_deliveries{id, {}, {}}, get_delivery{id, delivery_id::make()}});
    return out;
  }
  static std::vector<operation> writes_about(const webhook_id& id) {
    return {renamed(id),
            delete_webhook{id},
            test_webhook{id},
            rotate_webhook_secret{id},
            redeliver{id, delivery_id::make()},
            replay_deliveries{id, {}}};
  }
  void change_meanwhile(const webhook_id& id, const std::function<void(webhook&)>& how) {
    const auto store = memory::make_webhook_registry(world);
    auto now = **store->find(id);
    how(now);
    ASSERT_EQ(store->change(now, {})->verdict, change_verdict::changed);
  }
  // What deliveries are signed with.
  signing_secrets secrets_of(const webhook_id& id) {
    const auto owned = memory::make_webhook_outbox(world)->own(node);
    for (const auto& one : owned->mine)
      if (one.webhook.id == id)
        return one.secrets;
    return {};
  }
  std::vector<delivery> deliveries_of(const webhook_id& id, delivery_filter which = {}) {
    return done<page<delivery>>(list_deliveries{id, std::move(which), {}}).items;
  }

  std::shared_ptr<memory::world> world = memory::make_world();
  std::shared_ptr<test::scripted_sender> sender = std::make_shared<test::scripted_sender>();
  node_id node = node_id::make();
  api_key me;
  api_key bound;
  actor endpoints;
  int audited = 0;
  int told = 0;
};

// ---- create

TEST_F(Endpoints, CreatesWhatIsAskedFor) {
  const auto made = done<minted_webhook>(
      create_webhook{{"https://hooks.example/in?a=b", {"command.*", "key.created"}, strings{"demo"}, "mine", true}});
  EXPECT_EQ(made.what.url, "https://hooks.example/in?a=b");
  EXPECT_THAT(made.what.events, ElementsAre("command.*", "key.created"));
  EXPECT_EQ(made.what.projects, strings{"demo"});
  EXPECT_EQ(made.what.description, "mine");
  EXPECT_TRUE(made.what.ordered);
  EXPECT_EQ(made.what.status(), webhook_status::active);
  EXPECT_EQ(made.what.created_by, me.id);
  EXPECT_FALSE(made.replayed);
  const auto found = done<webhook>(get_webhook{made.what.id});
  EXPECT_EQ(found.url, made.what.url);
  EXPECT_EQ(found.created_by, me.id);
}

TEST_F(Endpoints, TellsAuditAndWebhooksOfWhatWasCreated) {
  const auto id = an_endpoint().id;
  EXPECT_EQ(audited, 1);
  EXPECT_EQ(told, 1);
  ASSERT_THAT(world->audit_rows(), SizeIs(1));
  const auto row = world->audit_rows()[0].what;
  EXPECT_EQ(row.target, id.uuid());
  EXPECT_EQ(row.action, "webhook.create");
  EXPECT_EQ(row.actor, me.id);
}

TEST_F(Endpoints, MakesASecretOf32BytesThatDeliveriesAreSignedWith) {
  const auto made = done<minted_webhook>(a_wish());
  ASSERT_TRUE(made.text);
  const auto text = made.text->reveal();
  ASSERT_TRUE(text.starts_with("whsec_"));
  const auto bytes = from_base64(text.substr(6));
  ASSERT_TRUE(bytes);
  EXPECT_THAT(*bytes, SizeIs(32));
  EXPECT_EQ(secrets_of(made.what.id).current.reveal(), *bytes);
  EXPECT_FALSE(secrets_of(made.what.id).former);
  EXPECT_NE(done<minted_webhook>(a_wish()).text->reveal(), text);
}

TEST_F(Endpoints, AnswersARepetitionWithTheFirstOneAndWithoutItsSecret) {
  const auto key = test::an_idempotency_key("once");
  const auto first = done<minted_webhook>(a_wish(), key);
  const auto again = done<minted_webhook>(a_wish(), key);
  EXPECT_EQ(again.what.id, first.what.id);
  EXPECT_TRUE(again.replayed);
  EXPECT_FALSE(again.text);
  EXPECT_EQ(audited, 1);
  EXPECT_EQ(told, 1);
  EXPECT_THAT(done<page<webhook>>(list_webhooks{}).items, SizeIs(1));
}

TEST_F(Endpoints, RefusesAnotherBodyUnderTheSameKey) {
  (void)done<minted_webhook>(a_wish(), test::an_idempotency_key("once", 1));
  EXPECT_EQ(refused(me, a_wish(), test::an_idempotency_key("once", 2)).code, refusal_code::conflict);
}

TEST_F(Endpoints, FindsTheFirstOneWhenItsAnswerWasLost) {
  const auto key = test::an_idempotency_key("once");
  world->fail_next_of("endpoints.create", fault::unknown_outcome, 1, memory::moment::after);
  EXPECT_EQ(want(me, a_wish(), key).failed(), fault::unknown_outcome);
  EXPECT_TRUE(done<minted_webhook>(a_wish(), key).replayed);
}

TEST_F(Endpoints, RefusesAUrlThatTheSenderWouldNotTakeAndStoresNothing) {
  auto wish = a_wish();
  wish.what.url = "http://10.0.0.1/";
  const auto why = refused(me, wish);
  EXPECT_EQ(why.code, refusal_code::bad_request);
  ASSERT_THAT(why.details, SizeIs(1));
  EXPECT_EQ(why.details[0].field, "url");
  EXPECT_EQ(why.details[0].problem, "must begin with https://");
  EXPECT_THAT(done<page<webhook>>(list_webhooks{}).items, IsEmpty());

  const auto id = an_endpoint().id;
  change_webhook change{id, {}};
  change.what.url = "http://10.0.0.1/";
  change.what.description = "changed as well";
  EXPECT_EQ(refused(me, change).details.at(0).field, "url");
  EXPECT_EQ(done<webhook>(get_webhook{id}).description, "a sample");
  EXPECT_EQ(audited, 1);
}

// ---- keys that are bound to projects

TEST_F(Endpoints, BindsAnEndpointToTheProjectsOfItsKeyUnlessToldOtherwise) {
  EXPECT_EQ(done_by<minted_webhook>(bound, a_wish()).what.projects, bound.project_ids);
  EXPECT_EQ(done_by<minted_webhook>(bound, a_wish(strings{"shop"})).what.projects, strings{"shop"});
  EXPECT_EQ(an_endpoint().projects, std::nullopt) << "of a key that is bound to none: all";
}

TEST_F(Endpoints, RefusesProjectsThatTheKeyIsNotBoundTo) {
  EXPECT_EQ(refused(bound, a_wish(strings{"other"})).code, refusal_code::forbidden);
  EXPECT_EQ(refused(bound, a_wish(strings{"demo", "other"})).code, refusal_code::forbidden);
  EXPECT_THAT(done<page<webhook>>(list_webhooks{}).items, IsEmpty());
  const auto mine = done_by<minted_webhook>(bound, a_wish(strings{"demo"})).what.id;
  change_webhook wider{mine, {}};
  wider.what.projects = std::optional(strings{"demo", "other"});
  EXPECT_EQ(refused(bound, wider).code, refusal_code::forbidden);
  wider.what.projects = std::optional<strings>{};
  EXPECT_EQ(refused(bound, wider).code, refusal_code::forbidden) << "all";
  wider.what.projects = std::optional(strings{"demo", "shop"});
  EXPECT_EQ(done_by<webhook>(bound, wider).projects, bound.project_ids);
}

TEST_F(Endpoints, HidesEndpointsOfOtherProjects) {
  for (const auto& id : {an_endpoint(strings{"other"}).id, an_endpoint(strings{"demo", "other"}).id, an_endpoint().id})
    for (const auto& what : all_about(id)) {
      const auto why = refused(bound, what);
      EXPECT_EQ(why.code, refusal_code::not_found) << what.index();
      EXPECT_EQ(why.message, "there is no such webhook") << what.index();
    }
  EXPECT_EQ(audited, 3) << "nothing but what was created";
}

TEST_F(Endpoints, ListsOnlyWhatTheKeySees) {
  an_endpoint();
  an_endpoint(strings{"other"});
  const auto a = an_endpoint(strings{"demo"}).id;
  const auto b = done_by<minted_webhook>(bound, a_wish()).what.id;
  auto seen = done_by<page<webhook>>(bound, list_webhooks{}).items;
  ASSERT_THAT(seen, SizeIs(2));
  EXPECT_EQ(seen[0].id, b);
  EXPECT_EQ(seen[1].id, a);
  const auto first = done<page<webhook>>(list_webhooks{{std::nullopt, 3}});
  EXPECT_THAT(first.items, SizeIs(3));
  ASSERT_TRUE(first.next_cursor);
  const auto rest = done<page<webhook>>(list_webhooks{{first.next_cursor, 3}});
  EXPECT_THAT(rest.items, SizeIs(1));
  EXPECT_FALSE(rest.next_cursor);
}

TEST_F(Endpoints, LetsABoundKeyDoEverythingToItsOwn) {
  const auto id = done_by<minted_webhook>(bound, a_wish()).what.id;
  EXPECT_EQ(done_by<webhook>(bound, get_webhook{id}).id, id);
  EXPECT_EQ(done_by<webhook>(bound, renamed(id)).description, "renamed");
  EXPECT_TRUE(done_by<minted_webhook>(bound, rotate_webhook_secret{id}).text);
  const auto delivery = done_by<delivery_queued>(bound, test_webhook{id}).what.id;
  EXPECT_THAT(done_by<page<rdev::delivery>>(bound, list_deliveries{id, {}, {}}).items, SizeIs(1));
  EXPECT_EQ(done_by<rdev::delivery>(bound, get_delivery{id, delivery}).id, delivery);
  EXPECT_EQ(done_by<delivery_queued>(bound, redeliver{id, delivery}).what.id, delivery);
  EXPECT_EQ(done_by<deliveries_queued>(bound, replay_deliveries{id, {}}).deliveries, 1);
  EXPECT_EQ(done_by<webhook>(bound, delete_webhook{id}).id, id);
}

// ---- change

TEST_F(Endpoints, ChangesWhatIsAskedForAndNothingElse) {
  const auto before = an_endpoint(strings{"demo"});
  change_webhook what{before.id, {}};
  what.what.enabled = false;
  auto now = done<webhook>(what);
  EXPECT_EQ(now.status(), webhook_status::paused);
  EXPECT_EQ(now.url, before.url);
  EXPECT_EQ(now.events, before.events);
  EXPECT_EQ(now.projects, before.projects);
  EXPECT_EQ(now.description, before.description);
  what.what = {};
  what.what.url = "https://another.example/";
  what.what.events = strings{"*"};
  what.what.projects = std::optional<strings>{};
  what.what.description = "";
  what.what.ordered = true;
  now = done<webhook>(what);
  EXPECT_FALSE(now.enabled) << "as it was";
  EXPECT_EQ(now.url, "https://another.example/");
  EXPECT_EQ(now.events, strings{"*"});
  EXPECT_EQ(now.projects, std::nullopt);
  EXPECT_EQ(now.description, "");
  EXPECT_TRUE(now.ordered);
  EXPECT_GT(now.revision, before.revision);
  EXPECT_EQ(audited, 3);
  EXPECT_EQ(told, 3);
}

TEST_F(Endpoints, RepeatsAChangeWhenAnotherOneCameInBetween) {
  const auto id = an_endpoint().id;
  world->meanwhile("endpoints.change",
                   [&] { change_meanwhile(id, [](webhook& w) { w.url = "https://another.example/"; }); });
  const auto now = done<webhook>(renamed(id));
  EXPECT_EQ(now.description, "renamed");
  EXPECT_EQ(now.url, "https://another.example/") << "the other change stands";
  EXPECT_EQ(told, 2) << "of one change";
}

TEST_F(Endpoints, GivesUpAChangeWhenOthersComeInBetweenAgainAndAgain) {
  const auto id = an_endpoint().id;
  int others = 0;
  std::function<void()> another = [&] {
    change_meanwhile(id, [&](webhook& w) { w.description = std::to_string(++others); });
    world->meanwhile("endpoints.change", another);
  };
  world->meanwhile("endpoints.change", another);
  EXPECT_EQ(want(me, renamed(id)).failed(), fault::unavailable);
  EXPECT_EQ(others, 5);
  EXPECT_EQ(done<webhook>(get_webhook{id}).description, "5");
}

TEST_F(Endpoints, LooksAgainAtWhatAKeySeesWhenAChangeIsRepeated) {
  const auto id = done_by<minted_webhook>(bound, a_wish()).what.id;
  world->meanwhile("endpoints.change",
                   [&] { change_meanwhile(id, [](webhook& w) { w.projects = strings{"other"}; }); });
  EXPECT_EQ(refused(bound, renamed(id)).code, refusal_code::not_found);
  EXPECT_EQ(done<webhook>(get_webhook{id}).description, "a sample");
}

// ---- what is not there

TEST_F(Endpoints, KnowsNothingOfWhatIsNotThereAndLooksOnce) {
  for (const auto& what : all_about(webhook_id::make())) {
    const auto before = world->calls("endpoints.find").size();
    EXPECT_EQ(refused(me, what).code, refusal_code::not_found) << what.index();
    EXPECT_THAT(world->calls("endpoints.find"), SizeIs(before + 1)) << what.index();
  }
  EXPECT_EQ(audited, 0);
  EXPECT_EQ(told, 0);
}

TEST_F(Endpoints, KnowsNothingOfWhatIsRemovedAtTheSameMoment) {
  for (const auto* call : {"change", "remove", "test", "rotate", "redeliver", "replay"}) {
    const auto id = an_endpoint().id;
    const auto all = writes_about(id);
    const std::string name = std::string("endpoints.") + call;
    const std::map<std::string, std::size_t> place{{"change", 0}, {"remove", 1},    {"test", 2},
                                                   {"rotate", 3}, {"redeliver", 4}, {"replay", 5}};
    auto gone = [&] { EXPECT_TRUE(memory::make_webhook_registry(world)->remove(id, {})); };
    world->meanwhile(name, gone);
    EXPECT_EQ(refused(me, all[place.at(call)]).code, refusal_code::not_found) << call;
  }
}

TEST_F(Endpoints, RemovesAnEndpointOnceAndShowsItAsItWas) {
  const auto id = an_endpoint().id;
  EXPECT_EQ(done<webhook>(delete_webhook{id}).description, "a sample");
  EXPECT_EQ(refused(me, get_webhook{id}).code, refusal_code::not_found);
  EXPECT_EQ(refused(me, delete_webhook{id}).code, refusal_code::not_found);
  EXPECT_EQ(told, 2);
  EXPECT_EQ(audited, 2);
}

// ---- secrets

TEST_F(Endpoints, SignsWithBothSecretsDuringARotation) {
  const auto made = done<minted_webhook>(a_wish());
  const auto fresh = done<minted_webhook>(rotate_webhook_secret{made.what.id, 1h});
  EXPECT_FALSE(fresh.replayed);
  ASSERT_TRUE(fresh.text);
  const auto now = secrets_of(made.what.id);
  EXPECT_EQ("whsec_" + to_base64(now.current.reveal()), fresh.text->reveal());
  ASSERT_TRUE(now.former);
  EXPECT_EQ("whsec_" + to_base64(now.former->reveal()), made.text->reveal());
  EXPECT_THAT(now.current.reveal(), SizeIs(32));
  EXPECT_EQ(told, 2);
}

TEST_F(Endpoints, LetsTheFormerSecretGoAtOnceWhereNoOverlapIsAskedFor) {
  const auto id = an_endpoint().id;
  (void)done<minted_webhook>(rotate_webhook_secret{id, 0s});
  EXPECT_FALSE(secrets_of(id).former);
}

// ---- deliveries

TEST_F(Endpoints, QueuesATestForThisEndpointAlone) {
  const auto a = an_endpoint().id;
  const auto b = an_endpoint().id;
  const auto queued = done<delivery_queued>(test_webhook{a}).what;
  EXPECT_EQ(queued.webhook, a);
  EXPECT_EQ(queued.event, "webhook.test");
  EXPECT_EQ(queued.status, delivery_status::pending);
  EXPECT_THAT(deliveries_of(a), SizeIs(1));
  EXPECT_THAT(deliveries_of(b), IsEmpty());
  EXPECT_EQ(told, 3);
}

TEST_F(Endpoints, ShowsDeliveriesOfThisEndpointOnly) {
  const auto a = an_endpoint().id;
  const auto b = an_endpoint().id;
  const auto of_a = done<delivery_queued>(test_webhook{a}).what.id;
  EXPECT_EQ(done<delivery>(get_delivery{a, of_a}).id, of_a);
  EXPECT_EQ(refused(me, get_delivery{b, of_a}).message, "there is no such delivery");
  EXPECT_EQ(refused(me, get_delivery{a, delivery_id::make()}).code, refusal_code::not_found);
  EXPECT_EQ(refused(me, redeliver{b, of_a}).message, "there is no such delivery");
  EXPECT_EQ(refused(me, redeliver{a, delivery_id::make()}).code, refusal_code::not_found);
}

TEST_F(Endpoints, ListsDeliveriesByFilterAndPage) {
  const auto id = an_endpoint().id;
  for (int i = 0; i < 5; ++i)
    (void)done<delivery_queued>(test_webhook{id});
  delivery_filter which;
  which.status = delivery_status::delivered;
  EXPECT_THAT(deliveries_of(id, which), IsEmpty());
  which.status = delivery_status::pending;
  EXPECT_THAT(deliveries_of(id, which), SizeIs(5));
  const auto first = done<page<delivery>>(list_deliveries{id, {}, {std::nullopt, 3}});
  EXPECT_THAT(first.items, SizeIs(3));
  ASSERT_TRUE(first.next_cursor);
  EXPECT_THAT(done<page<delivery>>(list_deliveries{id, {}, {first.next_cursor, 3}}).items, SizeIs(2));
}

TEST_F(Endpoints, SendsADeliveryAgainAndAllThatMatch) {
  const auto id = an_endpoint().id;
  for (int i = 0; i < 3; ++i)
    (void)done<delivery_queued>(test_webhook{id});
  const auto outbox = memory::make_webhook_outbox(world);
  const auto owned = outbox->own(node);
  ASSERT_THAT(owned->mine, SizeIs(1));
  const auto due = outbox->due(id, owned->mine[0].token, 10);
  for (const auto& each : *due) {
    attempt_record record;
    record.webhook = id;
    record.token = owned->mine[0].token;
    record.delivery = each.id;
    ASSERT_TRUE(outbox->record({&record, 1})->at(0));
  }
  delivery_filter waiting;
  waiting.status = delivery_status::pending;
  ASSERT_THAT(deliveries_of(id, waiting), IsEmpty());
  const auto one = deliveries_of(id).at(1);
  const auto again = done<delivery_queued>(redeliver{id, one.id}).what;
  EXPECT_EQ(again.message, one.message);
  EXPECT_EQ(again.sequence, one.sequence);
  EXPECT_THAT(deliveries_of(id, waiting), SizeIs(1));
  delivery_filter rest;
  rest.status = delivery_status::delivered;
  EXPECT_EQ(done<deliveries_queued>(replay_deliveries{id, rest}).deliveries, 2);
  EXPECT_THAT(deliveries_of(id, waiting), SizeIs(3));
  EXPECT_EQ(told, 6);
}

// ---- trouble

TEST_F(Endpoints, CarriesNothingOutForAKeyThatIsNotWhatItWas) {
  const auto id = an_endpoint().id;
  const auto delivery = done<delivery_queued>(test_webhook{id}).what.id;
  auto narrowed = me;
  ++narrowed.revision;
  world->put_key(narrowed);
  auto all = writes_about(id);
  all.emplace_back(redeliver{id, delivery});
  all.emplace_back(a_wish());
  for (const auto& what : all)
    EXPECT_EQ(want(me, what).failed(), fault::key_changed) << what.index();
  EXPECT_EQ(told, 2);
  EXPECT_EQ(done<webhook>(get_webhook{id}).description, "a sample");
}

TEST_F(Endpoints, PassesFaultsOnAndTellsNobody) {
  const auto id = an_endpoint().id;
  world->unreachable(true);
  auto all = all_about(id);
  all.emplace_back(list_webhooks{});
  all.emplace_back(a_wish());
  for (const auto& what : all)
    EXPECT_EQ(want(me, what).failed(), fault::unavailable) << what.index();
  EXPECT_EQ(told, 1);
}

TEST_F(Endpoints, AsksAStoreThatIsAwayOnlyOnce) {
  const auto id = an_endpoint().id;
  world->fail_next_of("endpoints.find", fault::unavailable);
  EXPECT_EQ(want(me, renamed(id)).failed(), fault::unavailable);
  world->fail_next_of("endpoints.change", fault::unknown_outcome);
  EXPECT_EQ(want(me, renamed(id)).failed(), fault::unknown_outcome);
  EXPECT_EQ(done<webhook>(get_webhook{id}).description, "a sample");
}

TEST_F(Endpoints, PassesFaultsOfTheSecondStepOn) {
  const auto id = an_endpoint().id;
  for (const auto* call : {"change", "remove", "test", "rotate", "redeliver", "replay", "deliveries", "find_delivery"})
    world->fail_next_of(std::string("endpoints.") + call, fault::unknown_outcome);
  for (const auto& what : all_about(id))
    if (!std::holds_alternative<get_webhook>(what)) {
      EXPECT_EQ(want(me, what).failed(), fault::unknown_outcome) << what.index();
    }
  EXPECT_EQ(told, 1);
}

TEST_F(Endpoints, TellsNobodyOfWhatWasOnlyRead) {
  const auto id = an_endpoint().id;
  (void)done<webhook>(get_webhook{id});
  (void)done<page<webhook>>(list_webhooks{});
  (void)deliveries_of(id);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(audited, 1);
}

TEST_F(Endpoints, DoesNothingButWebhooks) {
  EXPECT_EQ(want(me, list_projects{}).failed(), fault::internal);
}

} // namespace
} // namespace rdev::endpoints
