#include "adapters/http/render.hpp"
#include "adapters/http/routes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rdev::http {
namespace {

using namespace std::chrono_literals;

const timestamp day = *from_rfc3339("2026-01-02T03:04:05.678Z");

json::value parsed(const std::string& text) {
  auto out = json::parse(text);
  EXPECT_TRUE(std::holds_alternative<json::value>(out)) << text;
  return std::holds_alternative<json::value>(out) ? std::get<json::value>(out) : json::value();
}

json::value data(const outcome& what) {
  return parsed(render(what, "req_1"))["data"];
}

webhook some_webhook(webhook_id id = webhook_id::make()) {
  webhook w;
  w.id = id;
  w.url = "https://example.com/hook";
  w.events = {"command.*", "*"};
  w.created_at = day;
  return w;
}

delivery some_delivery() {
  delivery d;
  d.id = delivery_id::make();
  d.webhook = webhook_id::make();
  d.event = "command.completed";
  d.message = message_id::make();
  d.sequence = 7;
  d.created_at = day;
  return d;
}

TEST(RenderedWebhook, IsTheContracts) {
  const auto w = some_webhook();
  EXPECT_EQ(data(w).text(),
            R"({"id":")" + w.id.text() +
                R"(","url":"https://example.com/hook","events":["command.*","*"],"projects":null,"description":"",)"
                R"("enabled":true,"ordered":false,"status":"active","reason":null,"failing_since":null,)"
                R"("created_at":"2026-01-02T03:04:05.678Z","created_by":null})");
}

TEST(RenderedWebhook, TellsItsState) {
  auto w = some_webhook();
  w.projects = std::vector<std::string>{"a", "b"};
  w.description = "for \"us\"";
  w.ordered = true;
  w.created_by = key_id::make();
  w.failing_since = day;
  auto shown = data(w);
  EXPECT_EQ(shown["projects"].text(), R"(["a","b"])");
  EXPECT_EQ(shown["description"].as_string(), "for \"us\"");
  EXPECT_TRUE(shown["ordered"].as_boolean());
  EXPECT_EQ(shown["created_by"].as_string(), w.created_by->text());
  EXPECT_EQ(shown["status"].as_string(), "failing");
  EXPECT_EQ(shown["failing_since"].as_string(), "2026-01-02T03:04:05.678Z");
  w.enabled = false;
  shown = data(w);
  EXPECT_EQ(shown["status"].as_string(), "paused");
  EXPECT_TRUE(shown["reason"].is_null());
  w.disabled_reason = "it answered 410 Gone";
  shown = data(w);
  EXPECT_EQ(shown["status"].as_string(), "disabled");
  EXPECT_EQ(shown["reason"].as_string(), "it answered 410 Gone");
  EXPECT_FALSE(shown["enabled"].as_boolean());
}

TEST(RenderedWebhook, ShowsItsSecretOnce) {
  const auto first = data(minted_webhook{some_webhook(), secret(std::string("whsec_x")), false});
  EXPECT_THAT(first.members(), testing::ElementsAre("webhook", "secret"));
  EXPECT_EQ(first["secret"].as_string(), "whsec_x");
  EXPECT_EQ(first["webhook"]["url"].as_string(), "https://example.com/hook");
  EXPECT_TRUE(data(minted_webhook{some_webhook(), std::nullopt, true})["secret"].is_null());
  EXPECT_FALSE(is_replay(minted_webhook{some_webhook(), std::nullopt, false}));
  EXPECT_TRUE(is_replay(minted_webhook{some_webhook(), std::nullopt, true}));
  const auto id = webhook_id::make();
  EXPECT_EQ(location_of(minted_webhook{some_webhook(id), std::nullopt, false}), "/webhooks/" + id.text());
}

TEST(RenderedDelivery, IsTheContracts) {
  const auto d = some_delivery();
  EXPECT_EQ(data(d).text(), R"({"id":")" + d.id.text() + R"(","webhook_id":")" + d.webhook.text() +
                                R"(","event":"command.completed","message_id":")" + d.message.text() +
                                R"(","sequence":7,"status":"pending","created_at":"2026-01-02T03:04:05.678Z",)"
                                R"("attempts":[],"next_attempt_at":null})");
}

TEST(RenderedDelivery, ShowsEveryAttempt) {
  auto d = some_delivery();
  d.status = delivery_status::delivered;
  d.next_attempt_at = day;
  d.attempts = {{day, std::nullopt, 30'000ms, "timed out", ""},
                {day, 503, 5ms, "it answered 503", "b\xff\"sy"},
                {day, 204, 0ms, "", ""}};
  const auto shown = data(d);
  EXPECT_EQ(shown["status"].as_string(), "delivered");
  EXPECT_EQ(shown["next_attempt_at"].as_string(), "2026-01-02T03:04:05.678Z");
  EXPECT_EQ(shown["attempts"].text(),
            R"([{"at":"2026-01-02T03:04:05.678Z","status":null,"latency_ms":30000,"error":"timed out","body":""},)"
            R"({"at":"2026-01-02T03:04:05.678Z","status":503,"latency_ms":5,"error":"it answered 503","body":"b)"
            "\xef\xbf\xbd"
            R"(\"sy"},)"
            R"({"at":"2026-01-02T03:04:05.678Z","status":204,"latency_ms":0,"error":null,"body":""}])");
}

TEST(RenderedDelivery, OfAListIsAnItem) {
  const auto v = parsed(render(page<delivery>{{some_delivery(), some_delivery()}, "next"}, "r"));
  EXPECT_EQ(v["data"].size(), 2U);
  EXPECT_EQ(v["meta"]["next_cursor"].as_string(), "next");
  EXPECT_EQ(parsed(render(page<webhook>{{some_webhook()}, std::nullopt}, "r"))["data"].at(0)["enabled"].text(), "true");
}

TEST(RenderedDelivery, ThatIsQueuedSaysWhereItIs) {
  const auto d = some_delivery();
  EXPECT_EQ(data(delivery_queued{d}).text(), data(d).text());
  EXPECT_EQ(location_of(delivery_queued{d}), "/webhooks/" + d.webhook.text() + "/deliveries/" + d.id.text());
  EXPECT_EQ(data(deliveries_queued{12}).text(), R"({"deliveries":12})");
  EXPECT_EQ(location_of(deliveries_queued{12}), "");
}

TEST(Status, OfWebhooksIsCreatedAcceptedOrOk) {
  EXPECT_EQ(success_status(minted_webhook{}, "createWebhook"), 201);
  EXPECT_EQ(success_status(minted_webhook{}, "rotateWebhookSecret"), 200);
  EXPECT_EQ(success_status(delivery_queued{}, "testWebhook"), 202);
  EXPECT_EQ(success_status(delivery_queued{}, "redeliver"), 202);
  EXPECT_EQ(success_status(deliveries_queued{}, "replayDeliveries"), 202);
  EXPECT_EQ(success_status(webhook{}, "changeWebhook"), 200);
  EXPECT_EQ(success_status(webhook{}, "deleteWebhook"), 200);
  EXPECT_EQ(success_status(delivery{}, "getDelivery"), 200);
  EXPECT_EQ(success_status(page<delivery>{}, "listDeliveries"), 200);
}

} // namespace
} // namespace rdev::http
