#include "adapters/http/openapi.hpp"
#include "adapters/json/json.hpp"
#include "tests/values/seeded.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

namespace rdev::json {
namespace {

using testing::IsEmpty;
using testing::UnorderedElementsAre;

value parsed(std::string_view text) {
  auto out = parse(text);
  EXPECT_TRUE(std::holds_alternative<value>(out)) << text.substr(0, 200);
  return std::holds_alternative<value>(out) ? std::get<value>(out) : value();
}

const schema& named(const std::string& name) {
  static const auto document = parsed(http::openapi_json);
  static std::map<std::string, schema> compiled;
  const auto known = compiled.find(name);
  return known != compiled.end()
             ? known->second
             : compiled.emplace(name, schema(document, "/components/schemas/" + name)).first->second;
}

std::vector<schema_problem> problems(const std::string& name, std::string_view body) {
  return named(name).problems_of(parsed(body));
}

std::vector<std::string> fields(const std::string& name, std::string_view body) {
  std::vector<std::string> out;
  for (const auto& p : problems(name, body)) {
    EXPECT_FALSE(p.problem.empty()) << p.field;
    out.push_back(p.field);
  }
  return out;
}

std::string problem_with(const std::string& name, std::string_view body, const std::string& field) {
  for (const auto& p : problems(name, body))
    if (p.field == field)
      return p.problem;
  return {};
}

TEST(JsonSchema, TakesGoodBodies) {
  EXPECT_THAT(fields("ShellRequest", R"({"command":"ls"})"), IsEmpty());
  EXPECT_THAT(fields("ShellRequest",
                     R"({"command":["ls","-l"],"timeout_seconds":5,"priority":"high","env":{"A":"1"},"workdir":"x"})"),
              IsEmpty());
  EXPECT_THAT(fields("KeyRequest",
                     R"({"name":"n","scopes":["admin"],"project_ids":null,"allowed_ips":null,"rate_limit":null})"),
              IsEmpty());
  EXPECT_THAT(fields("RotateRequest", "{}"), IsEmpty());
}

TEST(JsonSchema, FindsAllProblemsAtOnceWithTheirFields) {
  EXPECT_THAT(
      fields(
          "ShellRequest",
          R"({"timeout_seconds":0,"priority":"urgent","env":{"A":1,"B":"b","C":null},"workdir":7,"extra":1,"more":2})"),
      UnorderedElementsAre("command", "timeout_seconds", "priority", "env.A", "env.C", "workdir", "extra", "more"));
}

TEST(JsonSchema, NamesThePlaceWithinLists) {
  EXPECT_THAT(fields("KeyRequest", R"({"name":"n","scopes":["projects:read","nonsense","admin","worse"]})"),
              UnorderedElementsAre("scopes[1]", "scopes[3]"));
  EXPECT_THAT(fields("GitRequest", R"({"args":["status",5]})"), UnorderedElementsAre("args[1]"));
}

TEST(JsonSchema, SaysWhatIsAllowed) {
  EXPECT_EQ(problem_with("ShellRequest", R"({"command":"x","priority":"urgent"})", "priority"),
            "must be one of critical, high, normal, low");
  EXPECT_EQ(problem_with("ShellRequest", "{}", "command"), "is required");
  EXPECT_EQ(problem_with("ShellRequest", R"({"command":"x","extra":1})", "extra"),
            "is not a field of this request: remove it");
  EXPECT_THAT(problem_with("ShellRequest", R"({"command":"x","timeout_seconds":0})", "timeout_seconds"),
              testing::HasSubstr("whole seconds"));
  EXPECT_THAT(problem_with("KeyRequest", R"({"name":"n","scopes":["x"]})", "scopes[0]"),
              testing::HasSubstr("projects:read"));
}

TEST(JsonSchema, RefusesABodyThatIsNoObject) {
  for (const auto* body : {"null", "[]", "\"text\"", "7", "true"})
    EXPECT_THAT(fields("ShellRequest", body), UnorderedElementsAre("")) << body;
}

TEST(JsonSchema, RefusesEitherFormOfACommandWhenItIsNeither) {
  for (const auto* command : {R"("")", "[]", "5", "null", "{}", R"([1])", R"(["a",null])"})
    EXPECT_FALSE(problems("ShellRequest", std::string(R"({"command":)") + command + "}").empty()) << command;
}

TEST(JsonSchema, TakesNumbersAtTheirBordersOnly) {
  const auto timeout = [](const std::string& n) {
    return problems("ShellRequest", R"({"command":"x","timeout_seconds":)" + n + "}").empty();
  };
  EXPECT_TRUE(timeout("1"));
  EXPECT_TRUE(timeout("604800"));
  for (const auto* n :
       {"0", "-1", "604801", "1.5", "1e3", "\"5\"", "true", "null", "[]", "2147483648", "9223372036854775807",
        "9223372036854775808", "18446744073709551615", "-9223372036854775808", "1e300"})
    EXPECT_FALSE(timeout(n)) << n;
}

TEST(JsonSchema, TakesTextAtItsBordersOnly) {
  const auto name = [](const std::string& text) {
    return problems("KeyRequest", R"({"scopes":["admin"],"name":")" + text + "\"}").empty();
  };
  EXPECT_FALSE(name(""));
  EXPECT_TRUE(name("x"));
  EXPECT_TRUE(name(std::string(100, 'x')));
  EXPECT_FALSE(name(std::string(101, 'x')));
  std::string letters;
  for (int i = 0; i < 100; ++i)
    letters += "\xe2\x82\xac";
  EXPECT_TRUE(name(letters)) << "characters, not bytes";
}

TEST(JsonSchema, ChecksPatterns) {
  for (const auto* good : {"a", "demo", "a-1"})
    EXPECT_THAT(fields("ProjectRequest", std::string(R"({"id":")") + good + "\"}"), IsEmpty()) << good;
  for (const auto* bad : {"", "-", "A", "a_b", "a-", "a/b", "..", "a\\n", "\\na", "a\\u0000"})
    EXPECT_THAT(fields("ProjectRequest", std::string(R"({"id":")") + bad + "\"}"), UnorderedElementsAre("id")) << bad;
  EXPECT_THAT(fields("RotateRequest", R"({"overlap":"24h"})"), IsEmpty());
  EXPECT_THAT(fields("RotateRequest", R"({"overlap":"24"})"), UnorderedElementsAre("overlap"));
}

TEST(JsonSchema, NamesOddMembersAsTheyAre) {
  EXPECT_THAT(fields("RotateRequest", R"({"it's":1})"), UnorderedElementsAre("it's"));
  EXPECT_THAT(fields("RotateRequest", R"({"":1})"), testing::SizeIs(1));
  EXPECT_THAT(fields("RotateRequest", R"({"a\u0000b":1})"), testing::SizeIs(1));
  EXPECT_THAT(fields("RotateRequest", R"({"Failed to validate item #":1})"), testing::SizeIs(1));
  EXPECT_THAT(fields("ShellRequest", R"({"command":"x","env":{"":1,"[":1,"]":1,"a.b":1}})"), testing::SizeIs(4));
}

TEST(JsonSchema, SurvivesLargeBodies) {
  std::string args;
  for (int i = 0; i < 1'024; ++i)
    args += std::string(i == 0 ? "" : ",") + "\"x\"";
  EXPECT_THAT(fields("GitRequest", "{\"args\":[" + args + "]}"), IsEmpty());
  EXPECT_THAT(fields("GitRequest", "{\"args\":[" + args + ",\"x\"]}"), UnorderedElementsAre("args"));
  EXPECT_THAT(fields("ClaudeRequest", R"({"prompt":")" + std::string(524'288, 'x') + "\"}"), IsEmpty());
  EXPECT_THAT(fields("ClaudeRequest", R"({"prompt":")" + std::string(524'289, 'x') + "\"}"),
              UnorderedElementsAre("prompt"));
  EXPECT_THAT(fields("ProjectRequest", R"({"id":")" + std::string(900'000, 'a') + "\"}"), UnorderedElementsAre("id"));
}

// The engine of std::regex recurses over the text: a long one must not get as far as a pattern.
TEST(JsonSchema, SurvivesLongTextUnderAPattern) {
  const std::string much(1'000'000, 'a');
  EXPECT_THAT(fields("ProjectRequest", R"({"id":"a","labels":{"x":")" + much + "\"}}"),
              UnorderedElementsAre("labels.x"));
  EXPECT_THAT(fields("ProjectRequest", R"({"id":")" + much + "\"}"), UnorderedElementsAre("id"));
  EXPECT_THAT(fields("RotateRequest", R"({"overlap":")" + std::string(1'000'000, '1') + "\"}"),
              UnorderedElementsAre("overlap"));
  EXPECT_THAT(fields("KeyRequest", R"({"name":"n","scopes":["admin"],"project_ids":[")" + much + "\"]}"),
              UnorderedElementsAre("project_ids[0]"));
}

TEST(JsonSchema, CountsTheFieldsOfAnOpenObject) {
  const auto with = [](int n) {
    std::string out;
    for (int i = 0; i < n; ++i)
      out += std::string(i == 0 ? "" : ",") + "\"V" + std::to_string(i) + "\":\"x\"";
    return R"({"command":"x","env":{)" + out + "}}";
  };
  EXPECT_THAT(fields("ShellRequest", with(128)), IsEmpty());
  EXPECT_THAT(fields("ShellRequest", with(129)), UnorderedElementsAre("env"));
}

TEST(JsonSchema, IsABugWhenItIsNotThere) {
  const auto document = parsed(http::openapi_json);
  EXPECT_THROW(schema(document, "/components/schemas/NoSuch"), std::invalid_argument);
}

TEST(JsonSchema, MayBeUsedFromManyThreads) {
  const auto& shared = named("ShellRequest");
  std::vector<std::jthread> running;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t)
    running.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        wrong += shared.problems_of(parsed(R"({"command":"x","priority":"low","env":{"A":"b"}})")).empty() ? 0 : 1;
        wrong += shared.problems_of(parsed(R"({"timeout_seconds":0})")).size() == 2 ? 0 : 1;
      }
    });
  running.clear();
  EXPECT_EQ(wrong.load(), 0);
}

} // namespace
} // namespace rdev::json
