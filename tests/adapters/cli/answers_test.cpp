#include "adapters/cli/answers.hpp"

#include <gtest/gtest.h>

namespace rdev::cli {
namespace {

meaning of(int status, const std::string& body, const http::headers& fields = {}) {
  return meaning_of(result<http::response>(http::response{status, fields, body}));
}

TEST(Answer, GivesDataAndMeta) {
  const auto means = of(202, R"({"data":{"id":"cmd_1"},"meta":{"next_cursor":"n"}})");
  ASSERT_TRUE(std::holds_alternative<reply>(means));
  EXPECT_EQ(std::get<reply>(means).data["id"].text(), "\"cmd_1\"");
  EXPECT_EQ(std::get<reply>(means).meta["next_cursor"].text(), "\"n\"");
}

TEST(Answer, IsNotUnderstoodWithoutData) {
  for (const char* body : {"", "hello", "{}", "[]", "{\"data\":"}) {
    const auto means = of(200, body);
    ASSERT_TRUE(std::holds_alternative<trouble>(means)) << body;
    EXPECT_EQ(std::get<trouble>(means).kind, trouble_kind::unreadable);
  }
}

TEST(Answer, IsWorthARepeatWhenTheOutcomeIsUnknown) {
  for (int status : {502, 503, 504}) {
    const auto means = of(status, "<html>", {{"retry-after", "4"}});
    ASSERT_TRUE(std::holds_alternative<try_again>(means)) << status;
    EXPECT_EQ(std::get<try_again>(means).retry_after, std::chrono::seconds(4));
    EXPECT_TRUE(std::get<try_again>(means).in_doubt);
  }
  const auto cut = meaning_of(result<http::response>(failure{fault::unavailable, "Read"}));
  ASSERT_TRUE(std::holds_alternative<try_again>(cut));
  EXPECT_TRUE(std::get<try_again>(cut).in_doubt);
}

TEST(Answer, OfAServerThatCannotBeTrustedIsNotAskedForAgain) {
  const auto means = meaning_of(result<http::response>(failure{fault::invalid, "its certificate is a stranger's"}));
  ASSERT_TRUE(std::holds_alternative<trouble>(means));
  EXPECT_EQ(std::get<trouble>(means).kind, trouble_kind::unreachable);
  EXPECT_NE(std::get<trouble>(means).message.find("certificate"), std::string::npos);
}

TEST(Answer, OfARateLimitIsWorthARepeatAndLeavesNoDoubt) {
  const auto means = of(429, "", {{"retry-after", "1"}});
  ASSERT_TRUE(std::holds_alternative<try_again>(means));
  EXPECT_FALSE(std::get<try_again>(means).in_doubt);
}

TEST(Answer, ThatRefusesSaysWhyWithAllDetails) {
  const auto means = of(
      400,
      R"({"error":{"code":"BAD_REQUEST","message":"no","details":[{"field":"env.A","problem":"is long"},{"field":"b"}]}})");
  ASSERT_TRUE(std::holds_alternative<trouble>(means));
  EXPECT_EQ(std::get<trouble>(means).kind, trouble_kind::refused);
  EXPECT_EQ(std::get<trouble>(means).message, "no (BAD_REQUEST); env.A: is long; b");
}

TEST(Answer, OfSomebodyElseIsToldByItsStatus) {
  for (int status : {301, 404, 500}) {
    const auto means = of(status, "<html>");
    ASSERT_TRUE(std::holds_alternative<trouble>(means));
    EXPECT_NE(std::get<trouble>(means).message.find(std::to_string(status)), std::string::npos);
  }
}

} // namespace
} // namespace rdev::cli
