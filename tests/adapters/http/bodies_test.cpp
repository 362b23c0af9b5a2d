#include "adapters/http/bodies.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rdev::http {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using namespace std::chrono_literals;

template <class T>
std::vector<std::string> fields_of(const answer<T>& made) {
  std::vector<std::string> out;
  if (made)
    return out;
  EXPECT_EQ(made.why().code, refusal_code::bad_request);
  EXPECT_FALSE(made.why().message.empty());
  for (const auto& d : made.why().details) {
    EXPECT_FALSE(d.problem.empty()) << d.field;
    out.push_back(d.field);
  }
  return out;
}

answer<operation> submitted_by(command_type type, std::string_view text) {
  auto body = parse_body(type == command_type::shell ? "ShellRequest"
                         : type == command_type::git ? "GitRequest"
                                                     : "ClaudeRequest",
                         text);
  return body ? submit_from(type, "demo", std::move(*body), {3600s, {}, {}, {}}) : answer<operation>(body.why());
}

submission good(command_type type, std::string_view text) {
  auto made = submitted_by(type, text);
  if (!made) {
    ADD_FAILURE() << text << ": " << testing::PrintToString(fields_of(made));
    return {};
  }
  return std::get<submit_command>(*made).what;
}

std::vector<std::string> bad(command_type type, std::string_view text) {
  return fields_of(submitted_by(type, text));
}

TEST(Bodies, OfBadJsonAreRefusedWithThePlace) {
  const auto refused = parse_body("ShellRequest", R"({"command": ls})");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.why().details.at(0).field, "body");
  EXPECT_THAT(refused.why().details.at(0).problem, testing::HasSubstr("at byte"));
  for (const auto& text : std::vector<std::string>{"x", "{", std::string("{}\0", 3), "\xff",
                                                   R"({"command":"a","command":"b"})", R"({"command":"\udc00"})"})
    EXPECT_THAT(fields_of(parse_body("ShellRequest", text)), ElementsAre("body")) << text;
  const auto twice = parse_body("ShellRequest", R"({"command":"a","command":"b"})");
  EXPECT_EQ(twice.why().details.at(0).problem, "has the member 'command' twice") << "it is JSON";
}

TEST(ShellBody, NamesAVariableByItsNameAlsoIfThatIsANumber) {
  EXPECT_THAT(bad(command_type::shell, R"({"command":"x","env":{"9":5}})"), ElementsAre("env.9", "env.9"));
}

TEST(Bodies, ThatAreNoObjectsAreRefusedAsSuch) {
  for (const auto* text : {"[]", "null", "\"ls\"", "5", "true", "[\"a\\u0000\"]"})
    EXPECT_THAT(bad(command_type::shell, text), ElementsAre("body")) << text;
}

TEST(Bodies, ThatAreMissingCountAsEmptyObjects) {
  EXPECT_TRUE(parse_body("RotateRequest", ""));
  EXPECT_THAT(bad(command_type::shell, ""), ElementsAre("command"));
}

TEST(ShellBody, IsTextForAShellOrAListWithoutOne) {
  const auto text = good(command_type::shell, R"({"command":"echo $HOME"})");
  EXPECT_EQ(text.script, "echo $HOME");
  EXPECT_THAT(text.argv, IsEmpty());
  EXPECT_EQ(text.project, "demo");
  const auto list = good(command_type::shell, R"({"command":["echo","$HOME",""]})");
  EXPECT_FALSE(list.script);
  EXPECT_THAT(list.argv, ElementsAre("echo", "$HOME", ""));
}

TEST(ShellBody, TakesWhatIsOptional) {
  const auto s =
      good(command_type::shell,
           R"({"command":"x","timeout_seconds":9,"priority":"critical","env":{"A_1":"v=1","_b":""},"workdir":"a/b"})");
  EXPECT_EQ(s.timeout, 9s);
  EXPECT_EQ(s.priority, priority::critical);
  ASSERT_EQ(s.env.size(), 2U);
  EXPECT_EQ(s.env[0].name, "A_1");
  EXPECT_EQ(s.env[0].value.reveal(), "v=1");
  EXPECT_EQ(s.workdir, "a/b");
  const auto plain = good(command_type::shell, R"({"command":"x"})");
  EXPECT_FALSE(plain.timeout);
  EXPECT_EQ(plain.priority, priority::normal);
}

TEST(ShellBody, NamesEveryProblemAtOnce) {
  EXPECT_THAT(
      bad(command_type::shell, R"({"command":"a\u0000b","env":{"1A":"x","RDEV_X":"y","OK":"z\u0000","G":"ok","":"x"},
                                           "workdir":"../x","timeout_seconds":3601})"),
      UnorderedElementsAre("command", "env.1A", "env.RDEV_X", "env.OK", "env.", "workdir", "timeout_seconds"));
}

TEST(ShellBody, NamesWhatTheSchemaFindsTogetherWithWhatTheRulesFind) {
  EXPECT_THAT(bad(command_type::shell,
                  R"({"command":["","a\u0000",5],"env":{"1A":5,"RDEV_X":"y\u0000","OK":"fine"},"workdir":"/etc",
                                           "timeout_seconds":3601,"priority":"urgent","bogus":{}})"),
              UnorderedElementsAre("command", "command[0]", "command[1]", "command[2]", "env.1A", "env.1A",
                                   "env.RDEV_X", "env.RDEV_X", "workdir", "timeout_seconds", "priority", "bogus"));
  EXPECT_THAT(bad(command_type::git, R"({"args":[5,"\u0000"],"workdir":"..","env":{"":"x"},"command":"x"})"),
              UnorderedElementsAre("args[0]", "args[1]", "workdir", "env.", "command"));
  EXPECT_THAT(bad(command_type::claude, R"({"prompt":5,"workdir":"..","priority":1,"timeout_seconds":"soon"})"),
              UnorderedElementsAre("prompt", "workdir", "priority", "timeout_seconds"));
}

TEST(ShellBody, SaysNothingAboutWhatTheSchemaHasRefused) {
  EXPECT_THAT(bad(command_type::shell, R"({"command":5,"env":[],"workdir":[".."],"timeout_seconds":{}})"),
              UnorderedElementsAre("command", "env", "workdir", "timeout_seconds"));
}

TEST(ShellBody, HasNoMoreToldThanOneCanRead) {
  std::string list;
  for (int i = 0; i < 1000; ++i)
    list += R"(,"\u0000")";
  const auto refused = submitted_by(command_type::shell, R"({"command":["x")" + list + "]}");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.why().details.size(), 100U);
  EXPECT_THAT(refused.why().message, testing::HasSubstr("1000 problems"));
  EXPECT_THAT(refused.why().message, testing::HasSubstr("the first 100"));
}

TEST(ShellBody, IsNoMoreThanAProcessCanBeGiven) {
  const auto word = "\"" + std::string(100'000, 'x') + "\"";
  const auto list = [&](int n) {
    std::string out = "[" + word;
    for (int i = 1; i < n; ++i)
      out += "," + word;
    return out + "]";
  };
  good(command_type::shell, R"({"command":)" + list(62) + "}");
  EXPECT_THAT(bad(command_type::shell, R"({"command":)" + list(63) + "}"), ElementsAre("command"));
  EXPECT_THAT(bad(command_type::git, R"({"args":)" + list(63) + "}"), ElementsAre("args"));
  EXPECT_THAT(bad(command_type::shell, R"({"command":)" + list(62) + R"(,"env":{"A":")" + std::string(32'768, 'x') +
                                           R"(","B":")" + std::string(32'768, 'x') + R"(","C":")" +
                                           std::string(32'768, 'x') + R"("}})"),
              ElementsAre("command"));
}

TEST(ShellBody, RefusesAProgramWithoutAName) {
  EXPECT_THAT(bad(command_type::shell, R"({"command":["","x"]})"), ElementsAre("command[0]"));
  EXPECT_THAT(bad(command_type::shell, R"({"command":["x","a\u0000"]})"), ElementsAre("command[1]"));
  EXPECT_THAT(bad(command_type::shell, R"({"command":[]})"), ElementsAre("command"));
  EXPECT_THAT(bad(command_type::shell, R"({"command":""})"), ElementsAre("command"));
}

TEST(ShellBody, StaysWithinTheWorkspace) {
  const auto workdir = [](const std::string& path) { return R"({"command":"x","workdir":")" + path + "\"}"; };
  for (const auto& [path, kept] : std::vector<std::pair<std::string, std::string>>{{"", ""},
                                                                                   {"a", "a"},
                                                                                   {"a/b/", "a/b/"},
                                                                                   {"/workspace", ""},
                                                                                   {"/workspace/a", "a"},
                                                                                   {"..a", "..a"},
                                                                                   {"a..", "a.."},
                                                                                   {".", "."}})
    EXPECT_EQ(good(command_type::shell, workdir(path)).workdir, kept) << path;
  for (const auto* path : {"/", "/etc", "..", "a/..", "../a", "a/../b", "/workspace/..", "/workspace/../etc",
                           "/workspace//etc", "/workspacex", "a\\u0000"})
    EXPECT_THAT(bad(command_type::shell, workdir(path)), ElementsAre("workdir")) << path;
}

TEST(ShellBody, TakesATimeoutUpToTheMost) {
  EXPECT_EQ(good(command_type::shell, R"({"command":"x","timeout_seconds":3600})").timeout, 3600s);
  EXPECT_THAT(bad(command_type::shell, R"({"command":"x","timeout_seconds":3601})"), ElementsAre("timeout_seconds"));
  EXPECT_THAT(bad(command_type::shell, R"({"command":"x","timeout_seconds":18446744073709551615})"),
              ElementsAre("timeout_seconds"));
}

TEST(GitBody, IsAListOfArguments) {
  EXPECT_THAT(good(command_type::git, R"({"args":["commit","-m",""]})").argv, ElementsAre("commit", "-m", ""));
  EXPECT_THAT(bad(command_type::git, R"({"args":[]})"), ElementsAre("args"));
  EXPECT_THAT(bad(command_type::git, R"({"args":"status"})"), ElementsAre("args"));
  EXPECT_THAT(bad(command_type::git, R"({"args":["a\u0000"]})"), ElementsAre("args[0]"));
  EXPECT_THAT(bad(command_type::git, R"({"command":"x"})"), UnorderedElementsAre("args", "command"));
}

TEST(ClaudeBody, IsAPrompt) {
  EXPECT_EQ(good(command_type::claude, R"({"prompt":"do it\nnow"})").prompt, "do it\nnow");
  EXPECT_THAT(bad(command_type::claude, R"({"prompt":""})"), ElementsAre("prompt"));
  EXPECT_THAT(bad(command_type::claude, R"({"prompt":"a\u0000"})"), ElementsAre("prompt"));
  EXPECT_THAT(bad(command_type::claude, R"({"prompt":["x"]})"), ElementsAre("prompt"));
}

answer<operation> project_from(std::string_view text) {
  auto body = parse_body("ProjectRequest", text);
  return body ? create_project_from(std::move(*body), {}) : answer<operation>(body.why());
}

TEST(ProjectBody, IsAnIdAndLabels) {
  auto made = project_from(R"({"id":"demo","labels":{"team":"core","empty":""}})");
  ASSERT_TRUE(made);
  const auto& what = std::get<create_project>(*made);
  EXPECT_EQ(what.id, "demo");
  EXPECT_EQ(what.labels.size(), 2U);
  EXPECT_THAT(fields_of(project_from("{}")), ElementsAre("id"));
  EXPECT_THAT(fields_of(project_from(R"({"id":"Demo"})")), ElementsAre("id"));
  EXPECT_THAT(fields_of(project_from(R"({"id":"demo","labels":{"a":"b c"}})")), ElementsAre("labels.a"));
  EXPECT_THAT(fields_of(project_from(R"({"id":"demo","labels":{"a=b":"c"}})")), ElementsAre("labels.a=b"));
  EXPECT_THAT(fields_of(project_from(R"({"id":"demo","labels":{"":"c"}})")), ElementsAre("labels."));
}

TEST(ProjectBody, NamesEveryProblemAtOnce) {
  EXPECT_THAT(fields_of(project_from(R"({"id":"-","labels":{"a=b":"c","d\n":"e f","":"g"},"image":"a b",
                                         "env":{"1A":"x","RDEV_A":"y","C":"\u0000","D":5},"storage":"much",
                                         "repository":"https://user:secret@host/x.git","env_from":["S"],"owner":"me"})")),
              UnorderedElementsAre("id", "labels.a=b", "labels.d\n", "labels.d\n", "labels.", "image", "env.1A",
                                   "env.RDEV_A", "env.C", "env.D", "storage", "repository", "env_from[0]", "owner"));
}

const auto now = *from_rfc3339("2029-01-31T12:00:00Z");

answer<operation> key_from(std::string_view text) {
  auto body = parse_body("KeyRequest", text);
  return body ? create_key_from(std::move(*body), now, {}) : answer<operation>(body.why());
}

answer<operation> key_change_from(std::string_view text) {
  auto body = parse_body("KeyChange", text);
  return body ? change_key_from({}, std::move(*body), now, {}) : answer<operation>(body.why());
}

TEST(KeyBody, CarriesEveryRestriction) {
  auto made = key_from(R"({"name":"ci","scopes":["projects:read","keys:write"],"project_ids":["a","b"],
                           "allowed_ips":["10.0.0.0/8"],"expires_in":"60d","rate_limit":5})");
  ASSERT_TRUE(made);
  const auto& what = std::get<create_key>(*made).what;
  EXPECT_EQ(what.name, "ci");
  EXPECT_EQ(what.granted, (scopes{scope::projects_read, scope::keys_write}));
  EXPECT_EQ(what.project_ids, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(what.allowed_ips, (std::vector<std::string>{"10.0.0.0/8"}));
  EXPECT_EQ(what.expires_in, 60 * 24h);
  EXPECT_EQ(what.rate_limit, 5);
}

TEST(KeyBody, IsUnrestrictedWhereItIsSilent) {
  auto made = key_from(R"({"name":"ci","scopes":["admin"]})");
  ASSERT_TRUE(made);
  const auto& what = std::get<create_key>(*made).what;
  EXPECT_FALSE(what.project_ids || what.allowed_ips || what.expires_in || what.expires_at || what.rate_limit);
}

TEST(KeyBody, KnowsTheLifetimesOfTheContract) {
  const auto lifetime = [](const std::string& word) {
    auto made = key_from(R"({"name":"n","scopes":["admin"],"expires_in":")" + word + "\"}");
    return made ? std::get<create_key>(*made).what.expires_in : std::nullopt;
  };
  EXPECT_EQ(lifetime("30d"), 30 * 24h);
  EXPECT_EQ(lifetime("60d"), 60 * 24h);
  EXPECT_EQ(lifetime("90d"), 90 * 24h);
  EXPECT_EQ(lifetime("1y"), 365 * 24h);
  EXPECT_EQ(lifetime("never"), 0s);
  EXPECT_FALSE(lifetime("1d"));
}

TEST(KeyBody, RefusesEmptyListsAndBadValues) {
  for (const auto& [part, field] :
       std::vector<std::pair<std::string, std::string>>{{R"("project_ids":[])", "project_ids"},
                                                        {R"("allowed_ips":[])", "allowed_ips"},
                                                        {R"("project_ids":["A"])", "project_ids[0]"},
                                                        {R"("expires_in":"2d")", "expires_in"},
                                                        {R"("expires_at":"tomorrow")", "expires_at"},
                                                        {R"("expires_at":" 030-01-31T12:00:00Z")", "expires_at"},
                                                        {R"("expires_at":null)", "expires_at"},
                                                        {R"("rate_limit":0)", "rate_limit"},
                                                        {R"("rate_limit":1000001)", "rate_limit"},
                                                        {R"("rate_limit":"5")", "rate_limit"},
                                                        {R"("id":"x")", "id"}})
    EXPECT_THAT(fields_of(key_from(R"({"name":"n","scopes":["projects:read"],)" + part + "}")), ElementsAre(field))
        << part;
  EXPECT_THAT(fields_of(key_from(R"({"name":"n","scopes":[]})")), ElementsAre("scopes"));
  EXPECT_THAT(fields_of(key_from(R"({"name":"a\u0000","scopes":["admin"]})")), ElementsAre("name"));
  EXPECT_THAT(fields_of(key_from("{}")), UnorderedElementsAre("name", "scopes"));
}

TEST(KeyBody, TakesAnEndInUtc) {
  auto made = key_from(R"({"name":"n","scopes":["admin"],"expires_at":"2030-01-31T12:00:00Z"})");
  ASSERT_TRUE(made);
  EXPECT_EQ(std::get<create_key>(*made).what.expires_at, from_rfc3339("2030-01-31T12:00:00Z"));
}

TEST(KeyBody, NamesEveryProblemAtOnce) {
  EXPECT_THAT(fields_of(key_from(R"({"name":"a\u0000","scopes":["admin","projects:fly"],"project_ids":["demo","B"],
                                     "allowed_ips":["10.0.0.0/8","nowhere",5],"expires_in":"30d",
                                     "expires_at":"2029-01-31T12:00:00Z","rate_limit":0,"owner":"me"})")),
              UnorderedElementsAre("name", "scopes[1]", "project_ids", "project_ids[1]", "allowed_ips[1]",
                                   "allowed_ips[2]", "expires_at", "expires_at", "rate_limit", "owner"));
}

TEST(KeyChange, NamesEveryProblemAtOnce) {
  EXPECT_THAT(fields_of(key_change_from(R"({"name":"a\u0000","scopes":["admin"],"project_ids":["demo"],
                                            "allowed_ips":["nowhere"],"expires_at":"soon","rate_limit":0})")),
              UnorderedElementsAre("name", "project_ids", "allowed_ips[0]", "expires_at", "rate_limit"));
  EXPECT_THAT(fields_of(key_change_from(R"({"expires_at":"2028-01-31T12:00:00Z"})")), ElementsAre("expires_at"));
  EXPECT_THAT(fields_of(key_change_from("{}")), ElementsAre("body"));
}

TEST(KeyChange, LiftsRestrictionsWithNull) {
  auto made = key_change_from(R"({"project_ids":null,"allowed_ips":null,"expires_at":null,"rate_limit":null})");
  ASSERT_TRUE(made);
  const auto& what = std::get<change_key>(*made).what;
  EXPECT_TRUE(what.project_ids && !*what.project_ids);
  EXPECT_TRUE(what.allowed_ips && !*what.allowed_ips);
  EXPECT_TRUE(what.expires_at && !*what.expires_at);
  EXPECT_TRUE(what.rate_limit && !*what.rate_limit);
  EXPECT_FALSE(what.name || what.granted || what.concurrency_limit);
}

answer<operation> rotation_from(std::string_view text) {
  auto body = parse_body("RotateRequest", text);
  return body ? rotate_key_from(key_id::make(), std::move(*body)) : answer<operation>(body.why());
}

TEST(RotateBody, OverlapsForADayUnlessToldOtherwise) {
  const auto overlap = [](const std::string& text) {
    auto made = rotation_from(text);
    return made ? std::optional(std::get<rotate_key>(*made).overlap) : std::nullopt;
  };
  EXPECT_EQ(overlap(""), 24h);
  EXPECT_EQ(overlap("{}"), 24h);
  EXPECT_EQ(overlap(R"({"overlap":"0s"})"), 0s);
  EXPECT_EQ(overlap(R"({"overlap":"90s"})"), 90s);
  EXPECT_EQ(overlap(R"({"overlap":"30m"})"), 30min);
  EXPECT_EQ(overlap(R"({"overlap":"2h"})"), 2h);
  EXPECT_EQ(overlap(R"({"overlap":"30d"})"), 30 * 24h);
  for (const auto* wrong : {"31d", "999999d", "721h", "", "1", "-1s", "1w", "1h30m", " 1h", "1h\\n"})
    EXPECT_FALSE(overlap(std::string(R"({"overlap":")") + wrong + "\"}")) << wrong;
}

} // namespace
} // namespace rdev::http
