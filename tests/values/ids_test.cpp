#include "messages/values/ids.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>
#include <unordered_set>
#include <vector>

namespace rdev {
namespace {

constexpr std::string_view digits = "0123456789abcdefghjkmnpqrstvwxyz";

int version_of(const uuid_bytes& b) {
  return b[6] >> 4U;
}
int variant_of(const uuid_bytes& b) {
  return b[8] >> 6U;
}

TEST(Uuid7, CarriesItsTimeItsVersionAndItsVariant) {
  const auto later = command_id::make().unix_ms() + 1'000;
  const auto bytes = new_uuid_v7(later);
  EXPECT_EQ(version_of(bytes), 7);
  EXPECT_EQ(variant_of(bytes), 2);
  EXPECT_EQ(command_id(bytes).unix_ms(), later);
}

// Means most as the first id of its process, which it is under ctest.
TEST(Uuid7, IsWellFormedAlsoAtTheVeryFirstMillisecond) {
  const auto bytes = new_uuid_v7(0);
  EXPECT_EQ(version_of(bytes), 7);
  EXPECT_EQ(variant_of(bytes), 2);
  EXPECT_FALSE(command_id(bytes).empty());
}

TEST(Uuid7, CarriesTheTimeOfNow) {
  const auto ms = [] {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
  };
  const auto before = ms();
  const auto id = request_id::make();
  EXPECT_GE(id.unix_ms(), before);
  EXPECT_LE(id.unix_ms(), ms() + 3'600'000) << "other tests of this process may have run ahead of the clock";
}

TEST(Uuid7, GrowsWithinOneMillisecond) {
  auto last = new_uuid_v7(5'000);
  for (int i = 0; i < 20'000; ++i) {
    const auto next = new_uuid_v7(5'000);
    ASSERT_LT(last, next) << "at " << i;
    ASSERT_EQ(version_of(next), 7);
    ASSERT_EQ(variant_of(next), 2);
    last = next;
  }
}

TEST(Uuid7, GrowsWhenTheClockRunsBackwards) {
  const auto first = new_uuid_v7(9'000);
  const auto second = new_uuid_v7(1'000);
  const auto third = new_uuid_v7(8'999);
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
}

TEST(Uuid7, NeverRepeatsOverThreads) {
  constexpr std::size_t threads = 8;
  constexpr std::size_t each = 5'000;
  std::vector<std::vector<command_id>> made(threads);
  {
    std::vector<std::jthread> running;
    for (auto& mine : made)
      running.emplace_back([&mine] {
        mine.reserve(each);
        for (std::size_t i = 0; i < each; ++i)
          mine.push_back(command_id::make());
      });
  }
  std::unordered_set<command_id> all;
  for (const auto& mine : made) {
    EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
    all.insert(mine.begin(), mine.end());
  }
  EXPECT_EQ(all.size(), threads * each);
}

TEST(Uuid7, SharesNoRandomPartBetweenMilliseconds) {
  std::set<std::vector<std::uint8_t>> tails;
  const auto from = command_id::make().unix_ms() + 1;
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    const auto b = new_uuid_v7(from + i);
    tails.insert({b.begin() + 9, b.end()});
  }
  EXPECT_EQ(tails.size(), 1'000U);
}

TEST(Base32, WritesKnownValues) {
  EXPECT_EQ(to_base32(uuid_bytes{}), "00000000000000000000000000");
  uuid_bytes most{};
  most.fill(0xff);
  EXPECT_EQ(to_base32(most), "7zzzzzzzzzzzzzzzzzzzzzzzzz");
  uuid_bytes one{};
  one[15] = 1;
  EXPECT_EQ(to_base32(one), "00000000000000000000000001");
  uuid_bytes top{};
  top[0] = 0x80;
  EXPECT_EQ(to_base32(top), "40000000000000000000000000");
}

TEST(Base32, ComesBackAsItWent) {
  test::seeded random(1);
  for (int i = 0; i < 5'000; ++i) {
    uuid_bytes bytes{};
    for (auto& b : bytes)
      b = static_cast<std::uint8_t>(random.below(256));
    const auto text = to_base32(bytes);
    ASSERT_EQ(text.size(), 26U);
    ASSERT_EQ(from_base32(text), bytes);
    ASSERT_EQ(from_uuid_text(to_uuid_text(bytes)), bytes);
  }
}

TEST(Base32, KeepsTheOrderOfTheBytes) {
  test::seeded random(2);
  for (int i = 0; i < 2'000; ++i) {
    uuid_bytes a{};
    uuid_bytes b{};
    for (std::size_t j = 0; j < 16; ++j) {
      a[j] = static_cast<std::uint8_t>(random.below(256));
      b[j] = random.one_in(2) ? a[j] : static_cast<std::uint8_t>(random.below(256));
    }
    ASSERT_EQ(a < b, to_base32(a) < to_base32(b));
  }
}

TEST(Base32, RefusesEveryCharacterThatIsNoDigit) {
  const auto good = to_base32(new_uuid_v7());
  for (std::size_t at = 0; at < good.size(); ++at)
    for (int c = 0; c < 256; ++c) {
      auto text = good;
      text[at] = static_cast<char>(c);
      const auto digit = digits.find(static_cast<char>(c));
      const bool fits = digit != std::string_view::npos && (at > 0 || digit < 8);
      ASSERT_EQ(from_base32(text).has_value(), fits) << "character " << c << " at " << at;
    }
}

TEST(Base32, RefusesEveryOtherLength) {
  for (std::size_t n = 0; n < 60; ++n)
    EXPECT_EQ(from_base32(std::string(n, '0')).has_value(), n == 26) << n;
}

TEST(Ids, AreReadAsTheyAreWritten) {
  const auto id = command_id::make();
  EXPECT_TRUE(id.text().starts_with("cmd_"));
  EXPECT_EQ(command_id::parse(id.text()), id);
  EXPECT_EQ(command_id::from_uuid(id.uuid()), id);
  EXPECT_EQ(id.uuid()[14], '7') << id.uuid();
}

TEST(Ids, HaveThePrefixesOfTheContract) {
  EXPECT_TRUE(key_id::make().text().starts_with("key_"));
  EXPECT_TRUE(webhook_id::make().text().starts_with("wh_"));
  EXPECT_TRUE(delivery_id::make().text().starts_with("dlv_"));
  EXPECT_TRUE(message_id::make().text().starts_with("msg_"));
  EXPECT_TRUE(request_id::make().text().starts_with("req_"));
  EXPECT_TRUE(node_id::make().text().starts_with("node_"));
}

TEST(Ids, RefuseEveryMalformedForm) {
  const auto tail = to_base32(new_uuid_v7());
  auto upper = tail;
  upper[10] = 'A';
  for (const auto& text :
       std::vector<std::string>{"", "cmd_", "cmd", tail, "key_" + tail, "CMD_" + tail, "cmd-" + tail, " cmd_" + tail,
                                "cmd_" + tail + " ", "cmd_" + tail + "0", "cmd_" + tail.substr(1), "cmd_cmd_" + tail,
                                "cmd_" + upper, "cmd_8" + tail.substr(1), std::string("cmd_" + tail) + '\0'})
    EXPECT_FALSE(command_id::parse(text)) << text;
}

TEST(UuidText, RefusesEveryMalformedForm) {
  const std::string good = "0192f0c1-7a2b-7c3d-8e4f-0123456789ab";
  ASSERT_TRUE(from_uuid_text(good));
  EXPECT_EQ(from_uuid_text("0192F0C1-7A2B-7C3D-8E4F-0123456789AB"), from_uuid_text(good));
  for (std::size_t at = 0; at < good.size(); ++at)
    for (const char c : {'-', 'g', 'x', ' ', '\0', '/', ':', '@', '`'}) {
      auto text = good;
      text[at] = c;
      EXPECT_EQ(from_uuid_text(text).has_value(), text == good) << text;
    }
  for (const auto* text : {"", "0192f0c17a2b7c3d8e4f0123456789ab", "{0192f0c1-7a2b-7c3d-8e4f-0123456789ab}",
                           "0192f0c1-7a2b-7c3d-8e4f-0123456789a", "0192f0c1-7a2b-7c3d-8e4f-0123456789abc"})
    EXPECT_FALSE(from_uuid_text(text)) << text;
}

TEST(Ids, OfNothingAreEmptyAndNoOthers) {
  EXPECT_TRUE(key_id().empty());
  EXPECT_FALSE(key_id::make().empty());
}

} // namespace
} // namespace rdev
