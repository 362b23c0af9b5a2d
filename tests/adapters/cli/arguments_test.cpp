#include "adapters/cli/arguments.hpp"

#include <gtest/gtest.h>

#include <map>

namespace rdev::cli {
namespace {

class Arguments : public testing::Test {
protected:
  std::variant<invocation, early_end> parse(std::vector<std::string> arguments) {
    return parse_arguments(std::move(arguments), [this](const std::string& name) {
      const auto found = env.find(name);
      return found == env.end() ? std::nullopt : std::optional(found->second);
    });
  }
  template <class Wish>
  Wish wish_of(std::vector<std::string> arguments) {
    auto parsed = parse(std::move(arguments));
    if (auto* end = std::get_if<early_end>(&parsed)) {
      ADD_FAILURE() << end->text;
      return {};
    }
    made = std::get<invocation>(parsed);
    EXPECT_TRUE(std::holds_alternative<Wish>(made.what));
    return std::get<Wish>(made.what);
  }
  void expect_misuse(std::vector<std::string> arguments, const std::string& word) {
    auto parsed = parse(std::move(arguments));
    ASSERT_TRUE(std::holds_alternative<early_end>(parsed)) << word;
    EXPECT_EQ(std::get<early_end>(parsed).code, 125);
    EXPECT_NE(std::get<early_end>(parsed).text.find(word), std::string::npos) << std::get<early_end>(parsed).text;
  }
  std::map<std::string, std::string> env;
  invocation made;
};

TEST_F(Arguments, BehindTheDashesAreTakenAsTheyAre) {
  const auto run = wish_of<run_request>({"run", "demo", "--", "sh", "-c", "[a,b]", "", "--", "--key", "x", "%\n"});
  EXPECT_EQ(run.project, "demo");
  EXPECT_EQ(run.argv, (std::vector<std::string>{"sh", "-c", "[a,b]", "", "--", "--key", "x", "%\n"}));
}

TEST_F(Arguments, OfRunMayStandBeforeOrBehindTheProject) {
  const auto run =
      wish_of<run_request>({"run", "--timeout", "5m", "demo", "--priority", "high", "--env", "A=1", "--env",
                            "B=[x,y]=z", "--workdir", "sub", "--detach", "--url", "http://h", "--", "true"});
  EXPECT_EQ(run.timeout_seconds, 300);
  EXPECT_EQ(run.priority, "high");
  EXPECT_EQ(run.env, (std::vector<std::pair<std::string, std::string>>{{"A", "1"}, {"B", "[x,y]=z"}}));
  EXPECT_EQ(run.workdir, "sub");
  EXPECT_TRUE(run.detach);
  EXPECT_EQ(made.url, "http://h");
}

TEST_F(Arguments, TakeAVariableWithoutValueFromTheEnvironment) {
  env["TOKEN"] = "t=1";
  const auto run = wish_of<run_request>({"run", "demo", "--env", "TOKEN", "--", "true"});
  EXPECT_EQ(run.env.at(0).second, "t=1");
  expect_misuse({"run", "demo", "--env", "MISSING", "--", "true"}, "MISSING");
}

TEST_F(Arguments, SayWhereTheServerIsBeforeTheEnvironmentDoes) {
  static_cast<void>(wish_of<show_queue>({"queue"}));
  EXPECT_EQ(made.url, "http://127.0.0.1:8080");
  env["RDEV_URL"] = "http://env";
  env["RDEV_API_KEY"] = "k-env";
  static_cast<void>(wish_of<show_queue>({"queue", "-o", "json"}));
  EXPECT_EQ(made.url, "http://env");
  EXPECT_EQ(made.key.reveal(), "k-env");
  EXPECT_TRUE(made.as_json);
  static_cast<void>(wish_of<show_queue>({"--url", "http://flag", "queue", "--key", "k-flag"}));
  EXPECT_EQ(made.url, "http://flag");
  EXPECT_EQ(made.key.reveal(), "k-flag");
}

TEST_F(Arguments, OfListsFilterAndLimit) {
  const auto list =
      wish_of<list_commands>({"commands", "--project", "p", "--status", "failed", "--limit", "7", "-o", "json"});
  EXPECT_EQ(list.project, "p");
  EXPECT_EQ(list.status, "failed");
  EXPECT_EQ(list.limit, 7U);
  EXPECT_EQ(wish_of<list_commands>({"commands"}).limit, 50U);
  EXPECT_FALSE(wish_of<list_projects>({"projects"}).limit);
}

TEST_F(Arguments, OfKeysMakeAndRevokeThem) {
  const auto key = wish_of<create_key>({"keys", "create", "revoke", "--scope", "projects:read", "--scope", "keys:read",
                                        "--project", "a", "--allow", "10.0.0.0/8", "--expires", "30d", "-o", "json"});
  EXPECT_EQ(key.name, "revoke");
  EXPECT_EQ(key.scopes, (std::vector<std::string>{"projects:read", "keys:read"}));
  EXPECT_EQ(key.projects, std::vector<std::string>{"a"});
  EXPECT_EQ(key.networks, std::vector<std::string>{"10.0.0.0/8"});
  EXPECT_EQ(key.expires, "30d");
  EXPECT_TRUE(made.as_json);
  EXPECT_EQ(wish_of<revoke_key>({"keys", "revoke", "key_1"}).id, "key_1");
  static_cast<void>(wish_of<list_keys>({"keys"}));
}

TEST_F(Arguments, OfWebhooksMakeThemAndShowWhatWasSent) {
  const auto made_of =
      wish_of<create_webhook>({"webhooks", "create", "https://a.b/c", "--event", "command.*", "--event", "key.revoked",
                               "--project", "a", "--description", "ours", "--ordered"});
  EXPECT_EQ(made_of.url, "https://a.b/c");
  EXPECT_EQ(made_of.events, (std::vector<std::string>{"command.*", "key.revoked"}));
  EXPECT_EQ(made_of.projects, std::vector<std::string>{"a"});
  EXPECT_EQ(made_of.description, "ours");
  EXPECT_TRUE(made_of.ordered);
  EXPECT_FALSE(wish_of<list_webhooks>({"webhooks"}).limit);
  EXPECT_EQ(wish_of<test_webhook>({"webhooks", "test", "wh_1"}).id, "wh_1");
  EXPECT_EQ(wish_of<delete_webhook>({"webhooks", "delete", "wh_1"}).id, "wh_1");
  const auto some = wish_of<list_deliveries>(
      {"webhooks", "deliveries", "wh_1", "--status", "failed", "--event", "*", "--limit", "7"});
  EXPECT_EQ(some.webhook, "wh_1");
  EXPECT_EQ(some.status, "failed");
  EXPECT_EQ(some.event, "*");
  EXPECT_EQ(some.limit, 7U);
  EXPECT_EQ(wish_of<list_deliveries>({"webhooks", "deliveries", "wh_1"}).limit, 50U);
}

TEST_F(Arguments, OfTheOtherVerbsNameTheirThing) {
  EXPECT_EQ(wish_of<tail_request>({"tail", "cmd_1"}).command_id, "cmd_1");
  EXPECT_EQ(wish_of<cancel_request>({"cancel", "cmd_1"}).command_id, "cmd_1");
  EXPECT_EQ(wish_of<create_project>({"projects", "create", "p"}).id, "p");
  EXPECT_EQ(wish_of<delete_project>({"projects", "delete", "p"}).id, "p");
  static_cast<void>(wish_of<show_version>({"version"}));
}

TEST_F(Arguments, ThatAreWrongEndWith125AndAWord) {
  expect_misuse({}, "subcommand");
  expect_misuse({"fly"}, "fly");
  expect_misuse({"run", "demo"}, "CMD");
  expect_misuse({"run", "demo", "--"}, "CMD");
  expect_misuse({"run", "--", "true"}, "project");
  expect_misuse({"run", "", "--", "true"}, "project");
  expect_misuse({"run", "demo", "--nope", "--", "true"}, "--nope");
  expect_misuse({"run", "demo", "--env", "=x", "--", "true"}, "--env");
  expect_misuse({"tail", "cmd_1", "--", "x"}, "--");
  expect_misuse({"commands", "-o", "yaml"}, "yaml");
  expect_misuse({"commands", "--limit", "0"}, "limit");
  expect_misuse({"keys", "create", "n"}, "--scope");
  expect_misuse({"webhooks", "create", "https://a.b"}, "--event");
  expect_misuse({"webhooks", "deliveries"}, "id");
  for (const char* time : {"5", "0s", "-1s", "1w", "s", "1.5h", "99999999999999999999s", "5 m"})
    expect_misuse({"run", "demo", "--timeout", time, "--", "true"}, "--timeout");
}

TEST_F(Arguments, AskForHelp) {
  const auto parsed = parse({"--help"});
  ASSERT_TRUE(std::holds_alternative<early_end>(parsed));
  EXPECT_EQ(std::get<early_end>(parsed).code, 0);
  EXPECT_NE(std::get<early_end>(parsed).text.find("RDEV_API_KEY"), std::string::npos);
}

TEST(RunBody, SaysWhatWasAskedForAndNoMore) {
  run_request request;
  request.argv = {"echo", "é\n"};
  EXPECT_EQ(std::get<std::string>(body_of(request)), "{\"command\":[\"echo\",\"é\\n\"]}");
  request.timeout_seconds = 5;
  request.priority = "low";
  request.env = {{"A", "1"}};
  request.workdir = "w";
  EXPECT_EQ(std::get<std::string>(body_of(request)), "{\"command\":[\"echo\",\"é\\n\"],\"timeout_seconds\":5,"
                                                     "\"priority\":\"low\",\"env\":{\"A\":\"1\"},\"workdir\":\"w\"}");
}

TEST(RunBody, IsRefusedRatherThanChanged) {
  run_request request;
  request.argv = {"echo", "\xff"};
  EXPECT_TRUE(std::holds_alternative<trouble>(body_of(request)));
  request.argv = {"echo"};
  request.env = {{"A", "\xff"}};
  EXPECT_TRUE(std::holds_alternative<trouble>(body_of(request)));
}

} // namespace
} // namespace rdev::cli
