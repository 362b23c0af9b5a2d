#include "adapters/crypto.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <cctype>
#include <set>

namespace rdev {
namespace {

constexpr std::string_view base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

std::string some_key() {
  return std::string(make_key_text().text.reveal());
}

TEST(KeyText, HasTheFormOfTheContract) {
  for (int i = 0; i < 200; ++i) {
    const auto made = make_key_text();
    const auto text = std::string(made.text.reveal());
    ASSERT_EQ(text.size(), 5U + 8 + 1 + 27 + 6);
    ASSERT_TRUE(text.starts_with("rdev_"));
    ASSERT_EQ(text[13], '_');
    ASSERT_EQ(made.prefix, text.substr(0, 13));
    for (std::size_t at = 5; at < text.size(); ++at)
      ASSERT_TRUE(at == 13 || std::isalnum(static_cast<unsigned char>(text[at]))) << text;
    ASSERT_EQ(key_prefix_of(text), made.prefix);
  }
}

TEST(KeyText, IsAnotherOneEachTime) {
  std::set<std::string> prefixes;
  std::set<std::string> texts;
  for (int i = 0; i < 500; ++i) {
    const auto made = make_key_text();
    prefixes.insert(made.prefix);
    texts.insert(std::string(made.text.reveal()));
  }
  EXPECT_EQ(prefixes.size(), 500U);
  EXPECT_EQ(texts.size(), 500U);
}

TEST(KeyText, UsesEveryDigit) {
  std::set<char> seen;
  for (int i = 0; i < 200; ++i) {
    const auto text = some_key();
    seen.insert(text.begin() + 14, text.end());
  }
  EXPECT_EQ(seen.size(), base62.size());
}

// The form is fixed for ever, since keys are out there: these got their checksum from zlib's crc32.
TEST(KeyText, OfAnEarlierVersionIsStillTaken) {
  EXPECT_EQ(key_prefix_of("rdev_0aZ9bY8c_The0quick1brown2fox3jumps4o1NZWuZ"), "rdev_0aZ9bY8c");
  EXPECT_EQ(key_prefix_of("rdev_AAAAAAAA_0000000000000000000000000003nT71A"), "rdev_AAAAAAAA");
  EXPECT_EQ(key_prefix_of("rdev_AAAAAAAA_00000000000000000000000000000000000000001iTBUA"), "rdev_AAAAAAAA")
      << "a longer secret";
}

TEST(KeyText, IsRefusedWhenAnyOneCharacterIsAnother) {
  const auto good = some_key();
  for (std::size_t at = 0; at < good.size(); ++at)
    for (int c = 0; c < 256; ++c) {
      auto text = good;
      text[at] = static_cast<char>(c);
      ASSERT_EQ(key_prefix_of(text).empty(), text != good) << text;
    }
}

TEST(KeyText, IsRefusedWhenACharacterIsMissingTwiceOrSwapped) {
  const auto good = some_key();
  for (std::size_t at = 0; at < good.size(); ++at) {
    auto missing = good;
    missing.erase(at, 1);
    EXPECT_EQ(key_prefix_of(missing), "") << missing;
    auto twice = good;
    twice.insert(at, 1, good[at]);
    EXPECT_EQ(key_prefix_of(twice), "") << twice;
    auto swapped = good;
    if (at + 1 < good.size() && good[at] != good[at + 1]) {
      std::swap(swapped[at], swapped[at + 1]);
      EXPECT_EQ(key_prefix_of(swapped), "") << swapped;
    }
  }
}

TEST(KeyText, IsRefusedWithAnythingAroundIt) {
  const auto good = some_key();
  for (const auto& text : {" " + good, good + " ", good + "\n", "Bearer " + good, good + good, "\"" + good + "\"",
                           good + std::string(1, '\0'), good.substr(0, 13), std::string(), std::string("rdev_"),
                           std::string(1'000'000, 'a'), "rdev_AAAAAAAA_" + std::string(1'000'000, 'a')})
    EXPECT_EQ(key_prefix_of(text), "") << text.substr(0, 80);
}

} // namespace
} // namespace rdev
