#include "adapters/http/bodies.hpp"
#include "adapters/http/routes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rdev::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using namespace std::chrono_literals;

constexpr auto some_time = "2026-01-02T03:04:05Z";

answer<operation> asked(std::string_view method, std::string_view path, const std::string& body,
                        const std::string& query = "") {
  const auto m = find_route(method, path);
  EXPECT_TRUE(m && m->found != nullptr) << path;
  call c;
  c.path = m->path;
  c.query = *parse_query(query);
  c.body = body;
  return m->found->make(c);
}

template <class Operation>
Operation good(const answer<operation>& made) {
  EXPECT_TRUE(made) << (made ? "" : made.why().message);
  return made ? std::get<Operation>(*made) : Operation{};
}

std::vector<std::string> bad(const answer<operation>& made) {
  std::vector<std::string> out;
  EXPECT_FALSE(made);
  if (made)
    return out;
  EXPECT_EQ(made.why().code, refusal_code::bad_request);
  for (const auto& d : made.why().details) {
    EXPECT_FALSE(d.problem.empty()) << d.field;
    out.push_back(d.field);
  }
  return out;
}

class Webhooks : public testing::Test {
protected:
  const webhook_id id = webhook_id::make();
  const delivery_id did = delivery_id::make();
  const std::string there = "/webhooks/" + id.text();

  static answer<operation> created(const std::string& body) {
    return asked("POST", "/webhooks", body);
  }
  [[nodiscard]] answer<operation> changed(const std::string& body) const {
    return asked("PATCH", there, body);
  }
  [[nodiscard]] answer<operation> rotated(const std::string& body) const {
    return asked("POST", there + "/rotate-secret", body);
  }
  [[nodiscard]] answer<operation> replayed(const std::string& body) const {
    return asked("POST", there + "/redeliver", body);
  }
  [[nodiscard]] answer<operation> listed(const std::string& query) const {
    return asked("GET", there + "/deliveries", "", query);
  }
};

// ---- POST /webhooks

TEST_F(Webhooks, AreMadeOfAUrlAndFilters) {
  const auto what =
      good<create_webhook>(created(R"({"url":"https://example.com/hook","events":["command.*","key.revoked"]})")).what;
  EXPECT_EQ(what.url, "https://example.com/hook");
  EXPECT_THAT(what.events, ElementsAre("command.*", "key.revoked"));
  EXPECT_FALSE(what.projects) << "none is all that the key is bound to";
  EXPECT_EQ(what.description, "");
  EXPECT_FALSE(what.ordered);
}

TEST_F(Webhooks, TakeWhatIsOptional) {
  const auto what =
      good<create_webhook>(
          created(R"({"url":"x","events":["*"],"projects":["b","a"],"description":"é\n","ordered":true})"))
          .what;
  EXPECT_THAT(*what.projects, ElementsAre("b", "a"));
  EXPECT_EQ(what.description, "é\n");
  EXPECT_TRUE(what.ordered);
  EXPECT_EQ(what.url, "x") << "what a URL must be is not known here";
}

TEST_F(Webhooks, NameEveryProblemAtOnce) {
  EXPECT_THAT(bad(created(R"({"url":"","events":["*","command.nothing"],"projects":["a","B"],"description":5,
                              "ordered":"yes","secret":"x"})")),
              UnorderedElementsAre("url", "events[1]", "projects[1]", "description", "ordered", "secret"));
  EXPECT_THAT(bad(created(R"({"url":"a\u0000","events":["*"],"description":"\u0000"})")),
              UnorderedElementsAre("url", "description"));
  EXPECT_THAT(bad(created("{}")), UnorderedElementsAre("url", "events"));
}

TEST_F(Webhooks, SayWhichEventsThereAre) {
  const auto refused = created(R"({"url":"x","events":["command.done"]})");
  ASSERT_THAT(bad(refused), ElementsAre("events[0]"));
  for (const auto name : all_event_names)
    EXPECT_THAT(refused.why().details.at(0).problem, HasSubstr(std::string(name)));
  EXPECT_THAT(refused.why().details.at(0).problem, HasSubstr("command.*"));
}

TEST_F(Webhooks, AreNeitherForNothingNorForTooMuch) {
  const auto with = [](const std::string& fields) { return created(R"({"url":"x","events":["*"],)" + fields + "}"); };
  const auto list = [](std::size_t n, const std::string& item) {
    std::string out;
    for (std::size_t i = 0; i < n; ++i)
      out += (i == 0 ? "[" : ",") + item;
    return out + "]";
  };
  const auto events = [&](std::size_t n) { return created(R"({"url":"x","events":)" + list(n, R"("*")") + "}"); };
  EXPECT_THAT(bad(created(R"({"url":"x","events":[]})")), ElementsAre("events"));
  EXPECT_TRUE(events(50)) << "a filter may be given twice";
  EXPECT_THAT(bad(events(51)), ElementsAre("events"));
  EXPECT_THAT(bad(with(R"("projects":[])")), ElementsAre("projects")) << "nothing is not everything";
  EXPECT_THAT(bad(with(R"("projects":null)")), ElementsAre("projects"));
  EXPECT_TRUE(with(R"("projects":)" + list(100, R"("a")")));
  EXPECT_THAT(bad(with(R"("projects":)" + list(101, R"("a")"))), ElementsAre("projects"));
  EXPECT_TRUE(with(R"("description":")" + std::string(500, 'x') + "\""));
  EXPECT_THAT(bad(with(R"("description":")" + std::string(501, 'x') + "\"")), ElementsAre("description"));
  EXPECT_TRUE(created(R"({"events":["*"],"url":")" + std::string(2048, 'x') + "\"}"));
  EXPECT_THAT(bad(created(R"({"events":["*"],"url":")" + std::string(2049, 'x') + "\"}")), ElementsAre("url"));
}

// ---- PATCH /webhooks/{id}

TEST_F(Webhooks, AreChangedInWhatIsNamed) {
  auto change = good<change_webhook>(changed(R"({"enabled":false})"));
  EXPECT_EQ(change.id, id);
  EXPECT_EQ(change.what.enabled, false);
  EXPECT_FALSE(change.what.url || change.what.events || change.what.projects || change.what.description ||
               change.what.ordered);
  change = good<change_webhook>(
      changed(R"({"url":"y","events":["auth.*"],"projects":["a"],"description":"","enabled":true,"ordered":false})"));
  EXPECT_EQ(change.what.url, "y");
  EXPECT_THAT(*change.what.events, ElementsAre("auth.*"));
  EXPECT_EQ(change.what.projects, std::optional(std::vector<std::string>{"a"}));
  EXPECT_EQ(change.what.description, "") << "it is taken away";
  EXPECT_EQ(change.what.enabled, true);
  EXPECT_EQ(change.what.ordered, false);
}

TEST_F(Webhooks, AreUnboundByNull) {
  const auto what = good<change_webhook>(changed(R"({"projects":null})")).what;
  ASSERT_TRUE(what.projects);
  EXPECT_FALSE(*what.projects);
}

TEST_F(Webhooks, AreNotChangedByNothingOrNonsense) {
  EXPECT_THAT(bad(changed("{}")), ElementsAre("body"));
  EXPECT_THAT(
      bad(changed(R"({"url":null,"events":[],"projects":[],"description":null,"enabled":null,"ordered":1,"id":"x",
                              "secret":"x","status":"active"})")),
      UnorderedElementsAre("url", "events", "projects", "description", "enabled", "ordered", "id", "secret", "status"));
  EXPECT_THAT(bad(changed(R"({"url":"a\u0000","description":"\u0000"})")), UnorderedElementsAre("url", "description"));
}

// ---- the rest

TEST_F(Webhooks, RotateWithAnOverlap) {
  EXPECT_EQ(good<rotate_webhook_secret>(rotated("")).overlap, 24h);
  EXPECT_EQ(good<rotate_webhook_secret>(rotated("{}")).id, id);
  EXPECT_EQ(good<rotate_webhook_secret>(rotated(R"({"overlap":"0s"})")).overlap, 0s);
  EXPECT_EQ(good<rotate_webhook_secret>(rotated(R"({"overlap":"30d"})")).overlap, 30 * 24h);
  for (const auto* body : {R"({"overlap":"31d"})", R"({"overlap":"long"})", R"({"overlap":5})", R"({"overlap":null})"})
    EXPECT_THAT(bad(rotated(body)), ElementsAre("overlap")) << body;
}

TEST_F(Webhooks, ReplayWhatFailedUnlessToldOtherwise) {
  const auto plain = good<replay_deliveries>(replayed(""));
  EXPECT_EQ(plain.webhook, id);
  EXPECT_EQ(plain.which.status, delivery_status::failed);
  EXPECT_THAT(plain.which.events, IsEmpty());
  EXPECT_FALSE(plain.which.from || plain.which.to);
  const auto which =
      good<replay_deliveries>(replayed(std::string(R"({"status":"delivered","events":["key.*"],"from":")") + some_time +
                                       R"(","to":"2026-01-03T00:00:00.5Z"})"))
          .which;
  EXPECT_EQ(which.status, delivery_status::delivered);
  EXPECT_THAT(which.events, ElementsAre("key.*"));
  EXPECT_EQ(which.from, from_rfc3339(some_time));
  EXPECT_EQ(which.to, from_rfc3339("2026-01-03T00:00:00.5Z"));
}

TEST_F(Webhooks, ReplayNothingOnNonsense) {
  EXPECT_THAT(bad(replayed(R"({"status":"lost","events":["x"],"from":5,"to":"","all":true})")),
              testing::IsSupersetOf({"status", "events[0]", "from", "all"}));
  EXPECT_THAT(bad(replayed(R"({"from":"yesterday","to":"2026-13-01T00:00:00Z"})")), UnorderedElementsAre("from", "to"));
  EXPECT_THAT(bad(replayed(R"({"events":[]})")), ElementsAre("events"));
}

TEST_F(Webhooks, ListTheirDeliveries) {
  const auto all = good<list_deliveries>(listed(""));
  EXPECT_EQ(all.webhook, id);
  EXPECT_FALSE(all.which.status || all.which.from || all.which.to);
  EXPECT_THAT(all.which.events, IsEmpty());
  EXPECT_EQ(all.at.limit, 50);
  const auto some = good<list_deliveries>(listed("status=blocked&event=command.*&from=" + std::string(some_time) +
                                                 "&to=" + some_time + "&limit=7&cursor=" + did.text()));
  EXPECT_EQ(some.which.status, delivery_status::blocked);
  EXPECT_THAT(some.which.events, ElementsAre("command.*"));
  EXPECT_EQ(some.which.from, from_rfc3339(some_time));
  EXPECT_EQ(some.which.to, from_rfc3339(some_time));
  EXPECT_EQ(some.at.cursor, did.text());
  EXPECT_EQ(some.at.limit, 7);
  EXPECT_TRUE(listed("event=webhook.test")) << "nobody subscribes to it, but it is there";
}

TEST_F(Webhooks, ListNothingForNonsense) {
  const auto refused = listed("status=lost&event=command&from=now&to=2026&limit=0&cursor=" + id.text());
  EXPECT_THAT(bad(refused), UnorderedElementsAre("status", "event", "from", "to", "limit", "cursor"));
  EXPECT_THAT(bad(listed("event=")), ElementsAre("event"));
  for (const auto& d : refused.why().details)
    if (d.field == "event") {
      EXPECT_THAT(d.problem, HasSubstr("command.completed"));
      EXPECT_THAT(d.problem, HasSubstr("webhook.test"));
    }
}

TEST_F(Webhooks, AndTheirDeliveriesHaveIds) {
  EXPECT_EQ(good<get_webhook>(asked("GET", there, "")).id, id);
  EXPECT_EQ(good<delete_webhook>(asked("DELETE", there, "")).id, id);
  EXPECT_EQ(good<test_webhook>(asked("POST", there + "/test", "")).id, id);
  EXPECT_EQ(good<list_webhooks>(asked("GET", "/webhooks", "", "cursor=" + id.text())).at.cursor, id.text());
  const auto one = good<get_delivery>(asked("GET", there + "/deliveries/" + did.text(), ""));
  EXPECT_EQ(one.webhook, id);
  EXPECT_EQ(one.id, did);
  const auto again = good<redeliver>(asked("POST", there + "/deliveries/" + did.text() + "/redeliver", ""));
  EXPECT_EQ(again.webhook, id);
  EXPECT_EQ(again.id, did);
}

TEST_F(Webhooks, WithOtherIdsAreNotThere) {
  const auto missing = [](std::string_view method, const std::string& path, const std::string& body = "") {
    const auto refused = asked(method, path, body);
    EXPECT_FALSE(refused) << path;
    EXPECT_TRUE(refused || refused.why().code == refusal_code::not_found) << path;
  };
  for (const auto& text : {std::string("x"), key_id::make().text(), std::string("wh_"), did.text()}) {
    const auto path = "/webhooks/" + text;
    for (const auto* method : {"GET", "DELETE"})
      missing(method, path);
    missing("PATCH", path, R"({"enabled":true})");
    missing("GET", path + "/deliveries");
    missing("GET", path + "/deliveries/" + did.text());
    for (const auto* verb : {"/test", "/rotate-secret", "/redeliver"})
      missing("POST", path + verb);
    missing("POST", path + "/deliveries/" + did.text() + "/redeliver");
  }
  missing("GET", there + "/deliveries/" + id.text());
  missing("POST", there + "/deliveries/x/redeliver");
}

TEST_F(Webhooks, AreLookedForAfterWhatIsAsked) {
  for (const auto* verb : {"/rotate-secret", "/redeliver"})
    EXPECT_THAT(bad(asked("POST", std::string("/webhooks/x") + verb, R"({"what":1})")), ElementsAre("what"));
  EXPECT_THAT(bad(asked("PATCH", "/webhooks/x", "{}")), ElementsAre("body"));
  EXPECT_THAT(bad(asked("GET", "/webhooks/x/deliveries", "", "status=x")), ElementsAre("status"));
}

} // namespace
} // namespace rdev::http
