#include "messages/values/rules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace rdev::rules {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;
using texts = std::vector<std::string>;

std::string text_with_nul(const std::string& before, const std::string& behind = "") {
  return before + std::string(1, '\0') + behind;
}

// ---- what a process is given

TEST(ARuleOfTexts, TakesAllButNul) {
  for (const auto& good : texts{"", " ", "a\nb\r\t", "\x1b[0m", "\xc3\xa9"})
    EXPECT_EQ(of_text(good), std::nullopt) << good;
  for (const auto& bad : {text_with_nul(""), text_with_nul("a"), text_with_nul("a", "b")})
    EXPECT_THAT(of_text(bad).value_or(""), HasSubstr("remove it"));
}

TEST(ARuleOfArguments, CountsBytesAsTheSystemDoes) {
  EXPECT_EQ(of_argument(""), std::nullopt);
  EXPECT_EQ(of_argument(std::string(longest_argument, 'x')), std::nullopt);
  for (const auto& bad : texts{std::string(longest_argument + 1, 'x'), text_with_nul("a", "b")})
    EXPECT_TRUE(of_argument(bad)) << bad.size();
  std::string of_two_bytes_each;
  for (std::size_t i = 0; i < longest_argument / 2 + 1; ++i)
    of_two_bytes_each += "\xc3\xa9";
  EXPECT_THAT(of_argument(of_two_bytes_each).value_or(""), HasSubstr("131071 bytes"));
}

TEST(ARuleOfPrograms, WantsAName) {
  EXPECT_EQ(of_program("ls"), std::nullopt);
  EXPECT_EQ(of_program(" "), std::nullopt) << "a file may be called so";
  EXPECT_THAT(of_program("").value_or(""), HasSubstr("name a program"));
}

TEST(ARuleOfVariables, TakesTheNamesOfPosix) {
  for (const auto& good : texts{"A", "_", "a", "A_1", "__", "PATH", "LD_PRELOAD", "RDEV", "rdev_x", "XRDEV_",
                                std::string(longest_variable_name, 'A')})
    EXPECT_EQ(of_variable_name(good), std::nullopt) << good;
  for (const auto& bad : texts{"", "1", "1A", "A=B", "A B", "A-B", "A.B", " A", "A\n", "\xc3\xa9", text_with_nul("A"),
                               std::string(longest_variable_name + 1, 'A')})
    EXPECT_THAT(of_variable_name(bad).value_or(""), HasSubstr("1 to 128 letters, digits and _")) << bad;
}

TEST(ARuleOfVariables, KeepsTheNamesOfRdev) {
  for (const auto& bad : texts{"RDEV_", "RDEV_TOKEN", "RDEV_COMMAND_ID", "RDEV_ANYTHING"})
    EXPECT_THAT(of_variable_name(bad).value_or(""), HasSubstr("take another one")) << bad;
}

TEST(ARuleOfVariables, CountsTheNameWithTheValue) {
  EXPECT_EQ(of_variable("A", std::string(longest_argument - 2, 'x')), std::nullopt);
  EXPECT_THAT(of_variable("A", std::string(longest_argument - 1, 'x')).value_or(""), HasSubstr("131071 bytes"));
  EXPECT_TRUE(of_variable("A", text_with_nul("x")));
  EXPECT_EQ(of_variable("not a name", ""), std::nullopt) << "that is another rule";
}

TEST(ARuleOfWhatIsGiven, LeavesRoomForAllThatAProcessCanHave) {
  EXPECT_EQ(of_given(0), std::nullopt);
  EXPECT_EQ(of_given(most_given), std::nullopt);
  EXPECT_THAT(of_given(most_given + 1).value_or(""), HasSubstr("6291456 bytes together"));
}

TEST(ARuleOfWorkingDirectories, StaysWithinTheWorkspace) {
  struct row {
    std::string given;
    std::string kept;
  };
  for (const auto& [given, kept] : std::vector<row>{{"", ""},
                                                    {".", "."},
                                                    {"a", "a"},
                                                    {"a/b/", "a/b/"},
                                                    {"a//b", "a//b"},
                                                    {"./a", "./a"},
                                                    {"..a", "..a"},
                                                    {"a..", "a.."},
                                                    {"...", "..."},
                                                    {"workspace", "workspace"},
                                                    {"/workspace", ""},
                                                    {"/workspace/", ""},
                                                    {"/workspace/a", "a"},
                                                    {"/workspace/workspace", "workspace"}}) {
    EXPECT_EQ(of_workdir(given), std::nullopt) << given;
    EXPECT_EQ(within_workspace(given), kept) << given;
  }
  for (const auto& bad :
       texts{"/", "/etc", "//", "..", "../a", "a/..", "a/../b", "./..", "/workspace/..", "/workspace/../etc",
             "/workspace//etc", "/workspacex", "/Workspace", text_with_nul("a"), text_with_nul("", "/../b")})
    EXPECT_THAT(of_workdir(bad).value_or(""), HasSubstr("below /workspace")) << bad;
}

TEST(ARuleOfTimeouts, NamesTheMost) {
  EXPECT_EQ(of_timeout(1s, 3600s), std::nullopt);
  EXPECT_EQ(of_timeout(3600s, 3600s), std::nullopt);
  EXPECT_THAT(of_timeout(3601s, 3600s).value_or(""), HasSubstr("at most 3600 seconds"));
}

// ---- projects

TEST(ARuleOfProjects, SaysWhatAnIdIs) {
  EXPECT_EQ(of_project_id("demo"), std::nullopt);
  for (const auto& bad : texts{"", "Demo", "-a", "a-", "..", "a/b", std::string(41, 'a'), text_with_nul("a")})
    EXPECT_THAT(of_project_id(bad).value_or(""), HasSubstr("1 to 40 characters")) << bad;
}

TEST(ARuleOfProjects, TakesTheNamesOfLabelsThatCanBeWrittenDown) {
  for (const auto& good : texts{"a", "team", "rdev.orchard9.ai/x", "a b", std::string(63, 'a')})
    EXPECT_EQ(of_label(good), std::nullopt) << good;
  for (const auto& bad : texts{"", "a=b", "a\n", "a\rb", text_with_nul("a"), std::string(64, 'a')})
    EXPECT_THAT(of_label(bad).value_or(""), HasSubstr("1 to 63 characters")) << bad;
}

TEST(ARuleOfProjects, RefusesARepositoryWithAPassword) {
  for (const auto& good : texts{"", "https://host/x.git", "https://host/x@y:z.git", "ssh://git@host/x.git",
                                "ssh://git@host:22/x.git", "file:///srv/x.git"})
    EXPECT_EQ(of_repository(good), std::nullopt) << good;
  for (const auto& bad : texts{"https://user:secret@host/x.git", "https://ghp_token@host/x.git", "https://x@host",
                               "ssh://git:secret@host/x.git"})
    EXPECT_THAT(of_repository(bad).value_or(""), HasSubstr("env_from")) << bad;
}

// ---- keys

TEST(ARuleOfKeys, BindsNoAdministrator) {
  EXPECT_EQ(of_bound_key({scope::projects_read, scope::keys_write}), std::nullopt);
  EXPECT_TRUE(of_bound_key({scope::projects_read, scope::admin}));
}

TEST(ARuleOfKeys, TakesAddressesAndNetworks) {
  for (const auto& good : texts{"10.0.0.0/8", "10.1.2.3", "2001:db8::/32", "::1"})
    EXPECT_EQ(of_network(good), std::nullopt) << good;
  for (const auto& bad : texts{"", "nowhere", "300.1.1.1/8", "10.0.0.0/33", "10.0.0.0/", text_with_nul("10.0.0.1")})
    EXPECT_THAT(of_network(bad).value_or(""), HasSubstr("10.0.0.0/8")) << bad;
}

TEST(ARuleOfKeys, EndsThemInTheFuture) {
  const auto now = *from_rfc3339("2030-01-31T12:00:00Z");
  EXPECT_EQ(of_end(now + 1s, now), std::nullopt);
  for (const auto at : {now, now - 1s})
    EXPECT_THAT(of_end(at, now).value_or(""), HasSubstr("a time to come"));
}

TEST(ARuleOfRotations, EndsTheOldOneWithinAMonth) {
  for (const auto good : {0s, 1s, std::chrono::seconds(30 * 24h)})
    EXPECT_EQ(of_overlap(good), std::nullopt);
  EXPECT_TRUE(of_overlap(30 * 24h + 1s));
}

} // namespace
} // namespace rdev::rules
