#include "messages/values/projects.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <regex.h>

#include <vector>

namespace rdev {
namespace {

TEST(ProjectId, IsOneToFortyPlainCharacters) {
  for (const auto& good : std::vector<std::string>{"a", "0", "demo", "a-b", "a--b", "0-0", std::string(40, 'a')})
    EXPECT_TRUE(valid_project_id(good)) << good;
}

TEST(ProjectId, RefusesEverythingElse) {
  for (const auto& bad : std::vector<std::string>{"", "-", "-a", "a-", "A", "demo ", " demo", "a_b", "a.b", ".", "..",
                                                  "a/b", "../a", "\xc3\xa9", std::string(41, 'a'),
                                                  std::string("a\0b", 3), std::string("demo\0", 5), "demo\n"})
    EXPECT_FALSE(valid_project_id(bad)) << "'" << bad << "'";
}

TEST(ProjectId, AgreesWithThePatternOfTheContract) {
  regex_t pattern{};
  ASSERT_EQ(::regcomp(&pattern, "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", REG_EXTENDED | REG_NOSUB), 0);
  test::seeded random(11);
  for (int i = 0; i < 20'000; ++i) {
    const auto text = random.text_of("ab09--zA._", random.below(44));
    EXPECT_EQ(valid_project_id(text), ::regexec(&pattern, text.c_str(), 0, nullptr, 0) == 0) << text;
  }
  ::regfree(&pattern);
}

TEST(ProjectStatus, HasTheNamesOfTheContract) {
  EXPECT_EQ(name_of(project_status::running), "running");
  EXPECT_EQ(name_of(project_status::stopped), "stopped");
  EXPECT_EQ(name_of(project_status::pending), "pending");
  EXPECT_EQ(name_of(project_status::unhealthy), "unhealthy");
}

} // namespace
} // namespace rdev
