#include "adapters/webhooks/answer.hpp"

#include "messages/values/output.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

namespace rdev::webhook_sending {
namespace {

using std::chrono::seconds;
constexpr std::chrono::sys_seconds now{seconds(1'795'860'000)}; // Sat, 28 Nov 2026 10:00:00 GMT

TEST(NotedText, IsTheFirstKiB) {
  EXPECT_EQ(noted_text("it went well\n"), "it went well\n");
  EXPECT_EQ(noted_text(std::string(5000, 'x')), std::string(1024, 'x'));
}

TEST(NotedText, HoldsNoNulAndNothingThatIsNoText) {
  EXPECT_EQ(noted_text(std::string("a\0b\xff"
                                   "c\xe2\x82",
                                   7)),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd"
            "c\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(NotedText, EndsWithAWholeCharacterWhereItWasCut) {
  const std::string text = std::string(1023, 'x') + "\xe2\x82\xac and more";
  EXPECT_EQ(noted_text(text), std::string(1023, 'x'));
}

TEST(NotedText, IsTextAndNeverLongerWhateverCame) {
  test::seeded random(17);
  for (int i = 0; i < 2000; ++i) {
    const auto out = noted_text(random.bytes(random.below(3000)));
    ASSERT_TRUE(valid_utf8(out));
    ASSERT_EQ(out.find('\0'), std::string::npos);
    ASSERT_LE(out.size(), 1024U);
  }
}

TEST(RetryAfter, IsANumberOfSeconds) {
  EXPECT_EQ(retry_after_in("0", now), seconds(0));
  EXPECT_EQ(retry_after_in("120", now), seconds(120));
}

TEST(RetryAfter, IsADateInAnyOfItsThreeForms) {
  EXPECT_EQ(retry_after_in("Sat, 28 Nov 2026 10:02:00 GMT", now), seconds(120));
  EXPECT_EQ(retry_after_in("Saturday, 28-Nov-26 10:02:00 GMT", now), seconds(120));
  EXPECT_EQ(retry_after_in("Sat Nov 28 10:02:00 2026", now), seconds(120));
}

TEST(RetryAfter, IsNeverInThePastAndNeverFurtherThanAYear) {
  EXPECT_EQ(retry_after_in("Sat, 28 Nov 2020 10:02:00 GMT", now), seconds(0));
  EXPECT_EQ(retry_after_in("Sat, 28 Nov 2099 10:02:00 GMT", now), seconds(365 * 86400));
  EXPECT_EQ(retry_after_in("99999999999999999999", now), seconds(365 * 86400));
}

TEST(RetryAfter, IsNothingWhenItIsNeither) {
  for (const auto* text : {"", "-1", "soon", "1.5", "12 s", "Sat", "+5"})
    EXPECT_FALSE(retry_after_in(text, now)) << text;
}

TEST(Status, IsGoodFrom200To299) {
  EXPECT_EQ(problem_with_status(200), "");
  EXPECT_EQ(problem_with_status(299), "");
  EXPECT_EQ(problem_with_status(500), "the endpoint answered with 500");
  EXPECT_EQ(problem_with_status(302), "the endpoint answered with 302; redirects are not followed");
}

TEST(Times, AreSaidInTheLargestUnitThatFits) {
  EXPECT_EQ(in_words(std::chrono::milliseconds(15000)), "15 s");
  EXPECT_EQ(in_words(std::chrono::milliseconds(250)), "250 ms");
}

} // namespace
} // namespace rdev::webhook_sending
