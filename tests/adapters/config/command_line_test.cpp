#include "config/command_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rdev::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::variant<invocation, early_end> parsed(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "rdev-api");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

invocation good(const std::vector<const char*>& arguments) {
  auto out = parsed(arguments);
  if (const auto* end = std::get_if<early_end>(&out)) {
    ADD_FAILURE() << end->text;
    return {};
  }
  return std::get<invocation>(out);
}

early_end ended(const std::vector<const char*>& arguments) {
  auto out = parsed(arguments);
  const auto* end = std::get_if<early_end>(&out);
  EXPECT_NE(end, nullptr);
  return end == nullptr ? early_end{-1, ""} : *end;
}

TEST(CommandLine, KnowsTheVerbsOfTheContract) {
  EXPECT_EQ(good({"serve"}).what, verb::serve);
  EXPECT_EQ(good({"migrate"}).what, verb::migrate);
  EXPECT_EQ(good({"check-config"}).what, verb::check_config);
  EXPECT_EQ(good({"psql"}).what, verb::psql);
  EXPECT_EQ(good({"version"}).what, verb::version);
}

TEST(CommandLine, TurnsFlagsIntoSettings) {
  const auto made =
      good({"serve", "--config", "/etc/rdev.toml", "--listen", "127.0.0.1:0", "--data-dir", "/d", "--node", "n1"});
  EXPECT_EQ(made.in.file, "/etc/rdev.toml");
  EXPECT_EQ(made.in.flags.at("server.listen"), "127.0.0.1:0");
  EXPECT_EQ(made.in.flags.at("server.data_dir"), "/d");
  EXPECT_EQ(made.in.flags.at("server.node"), "n1");
}

TEST(CommandLine, SetsNothingThatWasNotSaid) {
  const auto made = good({"serve"});
  EXPECT_FALSE(made.in.file);
  EXPECT_TRUE(made.in.flags.empty());
  EXPECT_TRUE(made.rest.empty());
}

TEST(CommandLine, HandsOnWhatPsqlGets) {
  const auto made = good({"psql", "--data-dir", "/d", "--", "-c", "select 1", "--csv"});
  EXPECT_EQ(made.in.flags.at("server.data_dir"), "/d");
  EXPECT_THAT(made.rest, ElementsAre("-c", "select 1", "--csv"));
}

TEST(CommandLine, EndsWithTwoWhenItIsWrong) {
  for (const auto& arguments : std::vector<std::vector<const char*>>{{},
                                                                     {"sevre"},
                                                                     {"serve", "--lisen", "x"},
                                                                     {"serve", "--listen"},
                                                                     {"serve", "extra"},
                                                                     {"serve", "migrate"},
                                                                     {"version", "--node", "x"}}) {
    const auto end = ended(arguments);
    EXPECT_EQ(end.exit_code, 2) << testing::PrintToString(arguments);
    EXPECT_FALSE(end.text.empty());
  }
}

TEST(CommandLine, HelpsWhenAsked) {
  EXPECT_EQ(ended({"--help"}).exit_code, 0);
  EXPECT_THAT(ended({"--help"}).text, HasSubstr("check-config"));
  EXPECT_EQ(ended({"serve", "--help"}).exit_code, 0);
  EXPECT_THAT(ended({"serve", "--help"}).text, HasSubstr("server.listen"));
}

} // namespace
} // namespace rdev::config
