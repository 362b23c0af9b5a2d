#include "messages/values/time.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace rdev {
namespace {

using namespace std::chrono_literals;
using std::chrono::microseconds;
using std::chrono::seconds;

timestamp at(std::int64_t unix_seconds, microseconds fraction = 0us) {
  return timestamp(seconds(unix_seconds) + fraction);
}

TEST(Rfc3339, WritesKnownTimes) {
  EXPECT_EQ(to_rfc3339(at(0)), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(to_rfc3339(at(1'000'000'000, 1ms)), "2001-09-09T01:46:40.001Z");
  EXPECT_EQ(to_rfc3339(at(951'782'400)), "2000-02-29T00:00:00.000Z");
  EXPECT_EQ(to_rfc3339(at(4'107'542'399, 999'999us)), "2100-02-28T23:59:59.999Z");
}

TEST(Rfc3339, WritesTimesBeforeTheEpochWithoutRunningIntoTheNextDay) {
  EXPECT_EQ(to_rfc3339(at(-1)), "1969-12-31T23:59:59.000Z");
  EXPECT_EQ(to_rfc3339(at(0, -1us)), "1969-12-31T23:59:59.999Z");
}

TEST(Rfc3339, ReadsKnownTimes) {
  EXPECT_EQ(from_rfc3339("1970-01-01T00:00:00Z"), at(0));
  EXPECT_EQ(from_rfc3339("2001-09-09T01:46:40.001Z"), at(1'000'000'000, 1ms));
  EXPECT_EQ(from_rfc3339("2026-11-23T08:19:58.123456Z"), at(1'795'421'998, 123'456us));
  EXPECT_EQ(from_rfc3339("2026-11-23T08:19:58.5Z"), at(1'795'421'998, 500ms));
}

TEST(Rfc3339, CountsSixDecimalsAndDropsTheRest) {
  EXPECT_EQ(from_rfc3339("1970-01-01T00:00:00.1234569Z"), at(0, 123'456us));
  EXPECT_EQ(from_rfc3339("1970-01-01T00:00:00." + std::string(60, '9') + "Z"), at(0, 999'999us));
}

TEST(Rfc3339, KnowsLeapDays) {
  EXPECT_TRUE(from_rfc3339("2024-02-29T00:00:00Z"));
  EXPECT_TRUE(from_rfc3339("2000-02-29T00:00:00Z"));
  EXPECT_FALSE(from_rfc3339("2023-02-29T00:00:00Z"));
  EXPECT_FALSE(from_rfc3339("2100-02-29T00:00:00Z"));
  EXPECT_FALSE(from_rfc3339("2024-02-30T00:00:00Z"));
}

TEST(Rfc3339, ComesBackAsItWentInMilliseconds) {
  test::seeded random(3);
  for (int i = 0; i < 5'000; ++i) {
    const auto t =
        at(static_cast<std::int64_t>(random.below(4'000'000'000)), std::chrono::milliseconds(random.below(1000)));
    ASSERT_EQ(from_rfc3339(to_rfc3339(t)), t) << to_rfc3339(t);
  }
}

TEST(Rfc3339, RefusesBadForms) {
  for (const auto* text : {"",
                           "Z",
                           "2026-11-23",
                           "2026-11-23T08:19:58",
                           "2026-11-23T08:19:58z",
                           "2026-11-23t08:19:58Z",
                           "2026-11-23 08:19:58Z",
                           "2026-11-23T08:19:58+00:00",
                           "2026-11-23T08:19:58.Z",
                           "2026-11-23T08:19:58,5Z",
                           "2026-11-23T08:19:58.5",
                           "2026-11-23T08:19:58.5ZZ",
                           "2026-11-23T08:19:58Z ",
                           " 2026-11-23T08:19:58Z",
                           "2026-11-23T24:00:00Z",
                           "2026-11-23T08:60:00Z",
                           "2026-11-23T08:19:60Z",
                           "2026-13-01T00:00:00Z",
                           "2026-00-01T00:00:00Z",
                           "2026-01-00T00:00:00Z",
                           "2026-04-31T00:00:00Z",
                           "26-11-23T08:19:58Z",
                           "02026-11-23T08:19:58Z",
                           "2026-1-23T08:19:58.00Z",
                           "2026-11-23T08:19Z",
                           "2026-11-23T08:19:58-Z"})
    EXPECT_FALSE(from_rfc3339(text)) << text;
}

// Every digit of a good text must be one: blanks and signs, which C's readers of numbers take, are none.
TEST(Rfc3339, RefusesBlanksAndSignsInPlaceOfDigits) {
  const std::string good = "2026-11-23T08:19:58.123Z";
  ASSERT_TRUE(from_rfc3339(good));
  for (std::size_t i = 0; i < good.size(); ++i)
    for (const char c : {' ', '+', '-', 'a', '\t', '\0', ':', '.', 'Z', 'T'}) {
      auto text = good;
      if (text[i] == c)
        continue;
      text[i] = c;
      EXPECT_FALSE(from_rfc3339(text)) << "'" << text << "'";
    }
}

} // namespace
} // namespace rdev
