#include "adapters/http/render.hpp"

#include "adapters/crypto.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rdev::http {
namespace {

using namespace std::chrono_literals;

const timestamp day = *from_rfc3339("2026-01-02T03:04:05.678Z");
constexpr auto day_text = "2026-01-02T03:04:05.678Z";

json::value parsed(const std::string& text) {
  auto out = json::parse(text);
  EXPECT_TRUE(std::holds_alternative<json::value>(out)) << text;
  return std::holds_alternative<json::value>(out) ? std::get<json::value>(out) : json::value();
}

std::string data(const outcome& what) {
  return parsed(render(what, "req_1"))["data"].text();
}

TEST(Envelope, HoldsDataAndMeta) {
  const auto v = parsed(render(project{}, "my-id"));
  EXPECT_THAT(v.members(), testing::ElementsAre("data", "meta"));
  EXPECT_EQ(v["meta"]["request_id"].as_string(), "my-id");
  const auto at = from_rfc3339(v["meta"]["timestamp"].as_string());
  ASSERT_TRUE(at);
  EXPECT_LT(std::chrono::abs(now_utc() - *at), 30s);
  EXPECT_FALSE(v["meta"]["next_cursor"].exists()) << "of lists only";
}

TEST(Envelope, OfAListHoldsTheNextCursor) {
  const auto last = parsed(render(page<project>{}, "r"));
  EXPECT_TRUE(last["data"].is_array());
  EXPECT_TRUE(last["meta"]["next_cursor"].is_null());
  const auto more = parsed(render(page<project>{{project{}, project{}}, "p2"}, "r"));
  EXPECT_EQ(more["data"].size(), 2U);
  EXPECT_EQ(more["meta"]["next_cursor"].as_string(), "p2");
}

TEST(Envelope, OfARefusalHoldsTheError) {
  const auto v = parsed(render(refusal{refusal_code::bad_request, "why", {{"field", "problem"}}, {}}, "r"));
  EXPECT_THAT(v.members(), testing::ElementsAre("error", "meta"));
  EXPECT_EQ(v["error"].text(),
            R"({"code":"BAD_REQUEST","message":"why","details":[{"field":"field","problem":"problem"}]})");
  EXPECT_EQ(v["meta"]["request_id"].as_string(), "r");
  const auto plain = parsed(render(refusal{refusal_code::key_revoked, "why", {}, {}}, "r"));
  EXPECT_EQ(plain["error"].text(), R"({"code":"KEY_REVOKED","message":"why"})");
}

TEST(Rendered, ProjectIsTheContracts) {
  project p;
  p.id = "demo";
  p.status = project_status::unhealthy;
  p.phase = "Running";
  p.labels = {{"a", "1"}, {"b", "\"x\""}};
  p.created_at = day;
  EXPECT_EQ(
      data(p),
      R"({"id":"demo","status":"unhealthy","reason":null,"phase":"Running","ready":true,"restarts":0,"last_seen":null,)"
      R"("labels":{"a":"1","b":"\"x\""},"created_at":"2026-01-02T03:04:05.678Z"})");
  p.reason = "no disk";
  p.ready = false;
  p.restarts = 3;
  p.last_seen = day;
  EXPECT_THAT(
      data(project_created{p, false}),
      testing::HasSubstr(R"("reason":"no disk","phase":"Running","ready":false,"restarts":3,"last_seen":"2026-)"));
}

TEST(Rendered, SubmissionIsTheContracts) {
  const auto id = command_id::make();
  EXPECT_EQ(data(submitted{id, "demo", false}), R"({"id":")" + id.text() +
                                                    R"(","stream_url":"/projects/demo/events?stream_id=)" + id.text() +
                                                    R"(","status":"queued"})");
}

TEST(Rendered, CancelIsTheContracts) {
  const auto id = command_id::make();
  EXPECT_EQ(data(cancel_accepted{id, command_status::running}), R"({"id":")" + id.text() + R"(","status":"running"})");
}

command_view view_of(command_id id) {
  command_view c;
  c.id = id;
  c.project = "demo";
  c.created_at = day;
  c.env_names = {"A", "B"};
  return c;
}

TEST(Rendered, WaitingCommandHasNoEnd) {
  const auto id = command_id::make();
  auto c = view_of(id);
  c.waiting_for = "pod";
  EXPECT_EQ(
      data(c),
      R"({"id":")" + id.text() +
          R"(","project":"demo","type":"shell","status":"queued","reason":null,"waiting_for":"pod",)"
          R"("priority":"normal","exit_code":null,"signal":null,"survivors":0,"created_at":"2026-01-02T03:04:05.678Z",)"
          R"("started_at":null,"finished_at":null,"duration_ms":null,"stdout":null,"stderr":null,"complete":false,"env":["A","B"]})");
}

TEST(Rendered, EndedCommandHasAReceipt) {
  const auto id = command_id::make();
  auto c = view_of(id);
  c.status = command_status::failed;
  c.started_at = day;
  command_result r;
  r.status = command_status::failed;
  r.reason = "killed";
  r.exit_code = 137;
  r.signal = "SIGKILL";
  r.survivors = 2;
  r.started_at = day;
  r.finished_at = day + 1500ms;
  r.out = {5, "ab", 9};
  r.err = {0, "cd", 0};
  r.complete = false;
  c.result = r;
  EXPECT_EQ(
      data(c),
      R"({"id":")" + id.text() +
          R"(","project":"demo","type":"shell","status":"failed","reason":"killed","waiting_for":null,)"
          R"("priority":"normal","exit_code":137,"signal":"SIGKILL","survivors":2,"created_at":"2026-01-02T03:04:05.678Z",)"
          R"("started_at":"2026-01-02T03:04:05.678Z","finished_at":"2026-01-02T03:04:07.178Z","duration_ms":1500,)"
          R"("stdout":{"bytes":5,"sha256":"ab","total_bytes":9,"truncated":true},)"
          R"("stderr":{"bytes":0,"sha256":"cd","total_bytes":0,"truncated":false},"complete":false,"env":["A","B"]})");
}

TEST(Rendered, CommandThatNeverStartedHasNoDuration) {
  EXPECT_FALSE(duration_ms(std::nullopt, day));
  EXPECT_EQ(duration_ms(day, day + 1999us), 1);
}

TEST(Rendered, QueueIsTheContracts) {
  queue_view q;
  q.depth = {1, 2, 3, 4};
  q.by_project = {{"demo", 5, 1}};
  q.oldest_seconds = 1.5;
  q.running = 7;
  q.completed_per_minute = 8;
  EXPECT_EQ(
      data(q),
      R"({"depth":{"critical":1,"high":2,"normal":3,"low":4},"by_project":[{"project":"demo","depth":5,"running":1}],)"
      R"("oldest_seconds":1.5,"running":7,"completed_per_minute":8})");
}

TEST(Rendered, OutputIsTextOrBase64) {
  chunk text;
  text.seq = 3;
  text.bytes = std::make_shared<const std::string>("a\n");
  text.at = day;
  chunk bytes = text;
  bytes.seq = 4;
  bytes.stream = stream::err;
  bytes.offset = 2;
  bytes.bytes = std::make_shared<const std::string>("\xff");
  const auto v = parsed(render(output_list{{text, bytes}, 4}, "r"));
  EXPECT_EQ(
      v["data"].text(),
      R"([{"seq":3,"stream":"stdout","offset":0,"at":"2026-01-02T03:04:05.678Z","encoding":"utf-8","data":"a\n"},)"
      R"({"seq":4,"stream":"stderr","offset":2,"at":"2026-01-02T03:04:05.678Z","encoding":"base64","data":"/w=="}])");
  EXPECT_EQ(v["meta"]["next_cursor"].as_string(), "4");
}

api_key some_key(key_id id) {
  api_key k;
  k.id = id;
  k.name = "ci";
  k.prefix = "rdev_12345678";
  k.granted = {scope::projects_read};
  k.created_at = day;
  return k;
}

TEST(Rendered, KeyIsTheContractsAndShowsNoHash) {
  const auto id = key_id::make();
  auto k = some_key(id);
  k.hash.fill(0xab);
  const auto plain = data(k);
  EXPECT_EQ(
      plain,
      R"({"id":")" + id.text() +
          R"(","name":"ci","key_prefix":"rdev_12345678","scopes":["projects:read"],"project_ids":null,)"
          R"("allowed_ips":null,"rate_limit":null,"concurrency_limit":null,"created_at":"2026-01-02T03:04:05.678Z","created_by":null,"expires_at":null,)"
          R"("last_used_at":null,"last_used_ip":null,"revoked_at":null,"revoked_by":null,"rotated_from":null,"active":true})");
  EXPECT_EQ(plain.find(to_hex(k.hash)), std::string::npos);
  k.project_ids = std::vector<std::string>{"a", "b"};
  k.rate_limit = 5;
  k.revoked_at = day;
  k.revoked_by = id;
  k.rotated_from = id;
  const auto full = data(k);
  EXPECT_THAT(full, testing::HasSubstr(R"("project_ids":["a","b"])"));
  EXPECT_THAT(full, testing::HasSubstr(R"("rate_limit":5)"));
  EXPECT_THAT(
      full, testing::HasSubstr(std::string(R"("revoked_at":")") + day_text + R"(","revoked_by":")" + id.text() + "\""));
  EXPECT_THAT(full, testing::HasSubstr(R"("active":false})"));
}

TEST(Rendered, MintedKeyShowsItsSecretOnce) {
  const auto first = parsed(render(minted_key{some_key(key_id::make()), secret(std::string("rdev_x")), false}, "r"));
  EXPECT_THAT(first["data"].members(), testing::ElementsAre("key", "secret"));
  EXPECT_EQ(first["data"]["secret"].as_string(), "rdev_x");
  const auto again = parsed(render(minted_key{some_key(key_id::make()), std::nullopt, true}, "r"));
  EXPECT_TRUE(again["data"]["secret"].is_null());
}

TEST(Readiness, IsGoodOnlyWhenEveryCheckIs) {
  bool good = false;
  EXPECT_EQ(render_ready({{"database", true, "ok"}}, good), R"({"status":"ok","checks":{"database":{"status":"ok"}}})");
  EXPECT_TRUE(good);
  EXPECT_EQ(render_ready({{"database", true, "ok"}, {"runner", false, "no space"}}, good),
            R"({"status":"unavailable","checks":{"database":{"status":"ok"},"runner":{"status":"no space"}}})");
  EXPECT_FALSE(good);
  render_ready({}, good);
  EXPECT_FALSE(good) << "nothing was looked at yet";
}

TEST(Location, SaysWhereWhatWasMadeIs) {
  const auto id = command_id::make();
  const auto key = key_id::make();
  project p;
  p.id = "demo";
  EXPECT_EQ(location_of(submitted{id, "demo", false}), "/commands/" + id.text());
  EXPECT_EQ(location_of(project_created{p, false}), "/projects/demo");
  EXPECT_EQ(location_of(minted_key{some_key(key), std::nullopt, false}), "/keys/" + key.text());
  EXPECT_EQ(location_of(p), "");
}

TEST(Replay, IsTold) {
  EXPECT_TRUE(is_replay(submitted{command_id::make(), "demo", true}));
  EXPECT_FALSE(is_replay(submitted{command_id::make(), "demo", false}));
  EXPECT_TRUE(is_replay(project_created{project{}, true}));
  EXPECT_TRUE(is_replay(minted_key{some_key(key_id::make()), std::nullopt, true}));
  EXPECT_FALSE(is_replay(project{}));
}

} // namespace
} // namespace rdev::http
