#include "config/units.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace rdev::config {
namespace {

using namespace std::chrono_literals;

TEST(Durations, AreReadInTheUnitsOfTheContract) {
  EXPECT_EQ(parse_duration("200ms"), 200ms);
  EXPECT_EQ(parse_duration("5s"), 5s);
  EXPECT_EQ(parse_duration("30m"), 30min);
  EXPECT_EQ(parse_duration("10h"), 10h);
  EXPECT_EQ(parse_duration("7d"), 168h);
  EXPECT_EQ(parse_duration("0s"), 0s);
}

TEST(Durations, OfAnotherFormAreRefused) {
  for (const auto& text : std::vector<std::string>{"", "5", "s", "ms", "-5s", "+5s", "5 s", " 5s", "5s ", "5S", "5sec",
                                                   "1.5s", "1h30m", "0x5s", "5w", "5us", std::string("5s\0", 3)})
    EXPECT_FALSE(parse_duration(text)) << "'" << text << "'";
}

TEST(Durations, ThatDoNotFitAreRefused) {
  EXPECT_TRUE(parse_duration("9223372036854775807ms"));
  EXPECT_FALSE(parse_duration("9223372036854775808ms"));
  EXPECT_FALSE(parse_duration("106751991168d"));
  EXPECT_FALSE(parse_duration("99999999999999999999s"));
}

TEST(Sizes, AreReadInTheUnitsOfTheContract) {
  EXPECT_EQ(parse_size("0"), 0U);
  EXPECT_EQ(parse_size("123"), 123U);
  EXPECT_EQ(parse_size("16KiB"), 16U * 1024);
  EXPECT_EQ(parse_size("1MiB"), 1024U * 1024);
  EXPECT_EQ(parse_size("2GiB"), 2'147'483'648U);
}

TEST(Sizes, OfAnotherFormAreRefused) {
  for (const auto* text : {"", "KiB", "1KB", "1kib", "1K", "1 KiB", "-1", "+1", "1.5MiB", "1B", "1MiB ", "1TiB",
                           "18446744073709551616", "8589934592GiB"})
    EXPECT_FALSE(parse_size(text)) << "'" << text << "'";
}

} // namespace
} // namespace rdev::config
