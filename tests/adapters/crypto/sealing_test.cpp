#include "adapters/crypto.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace rdev {
namespace {

std::string ring_entry(const std::string& name, char filling) {
  return name + ":" + to_base64(std::string(32, filling));
}

std::unique_ptr<sealer> ring(const std::string& text) {
  auto made = make_sealer(text);
  EXPECT_TRUE(made) << text;
  return made ? std::move(*made) : nullptr;
}

std::string opened(sealer& s, std::string_view sealed, std::string_view place) {
  auto plain = s.open(sealed, place);
  return plain ? *plain : "fault: " + std::string(to_string(plain.error().code));
}

TEST(Sealing, OpensWhatItSealed) {
  const auto s = ring(ring_entry("k1", 'a'));
  test::seeded random(22);
  for (const std::size_t n : {0U, 1U, 15U, 16U, 17U, 1'000U, 100'000U}) {
    const auto plain = random.bytes(n);
    EXPECT_EQ(opened(*s, s->seal(plain, "commands.env.1"), "commands.env.1"), plain) << n;
  }
  EXPECT_EQ(opened(*s, s->seal({}, {}), {}), "");
}

TEST(Sealing, HidesThePlainText) {
  const auto s = ring(ring_entry("k1", 'a'));
  EXPECT_EQ(s->seal("the quick brown fox", "p").find("quick"), std::string::npos);
}

TEST(Sealing, NeverSealsTheSameWayTwice) {
  const auto s = ring(ring_entry("k1", 'a'));
  std::set<std::string> seen;
  for (int i = 0; i < 1'000; ++i)
    ASSERT_TRUE(seen.insert(s->seal("same", "p")).second);
}

TEST(Sealing, RefusesAnotherPlace) {
  const auto s = ring(ring_entry("k1", 'a'));
  const auto sealed = s->seal("value", "webhooks.secret.1");
  for (const auto* place : {"webhooks.secret.2", "", "webhooks.secret.1 ", "Webhooks.secret.1"})
    EXPECT_EQ(opened(*s, sealed, place), "fault: invalid") << place;
}

TEST(Sealing, RefusesAnotherKey) {
  const auto sealed = ring(ring_entry("k1", 'a'))->seal("value", "p");
  EXPECT_EQ(opened(*ring(ring_entry("k1", 'b')), sealed, "p"), "fault: invalid") << "same name, other key";
  const auto other = ring(ring_entry("k2", 'a'));
  const auto refused = other->open(sealed, "p");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("'k1'"), std::string::npos) << refused.error().message;
}

TEST(Sealing, RefusesEveryFlippedBit) {
  const auto s = ring(ring_entry("k1", 'a') + "," + ring_entry("k0", 'b') + "," + ring_entry("j1", 'c'));
  const auto sealed = s->seal("some value", "p");
  for (std::size_t at = 0; at < sealed.size(); ++at)
    for (unsigned bit = 0; bit < 8; ++bit) {
      auto changed = sealed;
      changed[at] = static_cast<char>(static_cast<unsigned char>(changed[at]) ^ (1U << bit));
      ASSERT_EQ(opened(*s, changed, "p"), "fault: invalid") << "byte " << at << " bit " << bit;
    }
}

TEST(Sealing, RefusesWhatIsCutOrLonger) {
  const auto s = ring(ring_entry("k1", 'a'));
  const auto sealed = s->seal("some value", "p");
  for (std::size_t n = 0; n < sealed.size(); ++n)
    ASSERT_EQ(opened(*s, sealed.substr(0, n), "p"), "fault: invalid") << n;
  EXPECT_EQ(opened(*s, sealed + "x", "p"), "fault: invalid");
}

TEST(Sealing, RefusesRandomBytes) {
  const auto s = ring(ring_entry("k1", 'a'));
  test::seeded random(23);
  for (int i = 0; i < 2'000; ++i) {
    auto bytes = random.bytes(random.below(80));
    if (!bytes.empty() && random.one_in(2))
      bytes[0] = 1;
    if (bytes.size() > 4 && random.one_in(2))
      bytes.replace(1, 3, "\2k1");
    ASSERT_EQ(opened(*s, bytes, "p"), "fault: invalid");
  }
}

TEST(Keyring, SealsWithTheFirstAndOpensWithAll) {
  const auto before = ring(ring_entry("k1", 'a'));
  const auto after = ring(ring_entry("k2", 'b') + "," + ring_entry("k1", 'a'));
  const auto old_value = before->seal("old", "p");
  EXPECT_EQ(opened(*after, old_value, "p"), "old");
  const auto new_value = after->seal("new", "p");
  EXPECT_EQ(opened(*after, new_value, "p"), "new");
  EXPECT_EQ(opened(*before, new_value, "p"), "fault: invalid") << "sealed by k2, which it does not have";
  EXPECT_EQ(opened(*ring(ring_entry("k2", 'b')), new_value, "p"), "new");
}

TEST(Keyring, MacsUnderItsFirstKey) {
  const auto one = ring(ring_entry("k1", 'a'));
  EXPECT_EQ(one->mac("body"), one->mac("body"));
  EXPECT_NE(one->mac("body"), one->mac("bodx"));
  EXPECT_NE(one->mac("body"), sha256("body"));
  EXPECT_EQ(one->mac("body"), ring(ring_entry("renamed", 'a') + "," + ring_entry("k2", 'b'))->mac("body"));
  EXPECT_NE(one->mac("body"), ring(ring_entry("k1", 'b'))->mac("body"));
}

TEST(Keyring, OfBadFormIsRefusedWithoutShowingItsKeys) {
  const auto good = to_base64(std::string(32, 'a'));
  auto padding_within = good;
  padding_within[5] = '=';
  for (const auto& text : std::vector<std::string>{"",
                                                   ",",
                                                   good,
                                                   "k1",
                                                   "k1:",
                                                   ":" + good,
                                                   ",k1:" + good,
                                                   "k1:" + good + ",,k2:" + good,
                                                   "k1:" + good.substr(0, 40),
                                                   "k1:" + good + "AAAA",
                                                   "k1:" + to_base64(std::string(31, 'a')),
                                                   "k1:" + to_base64(std::string(33, 'a')),
                                                   "k1:" + good.substr(0, 43),
                                                   "k1:" + good.substr(0, 43) + "!",
                                                   "k1: " + good,
                                                   "k1:    " + good,
                                                   "k1:" + good + "\n",
                                                   "k1:" + good + "    ",
                                                   "k1:" + padding_within,
                                                   "k1:" + std::string(44, '='),
                                                   std::string(65, 'n') + ":" + good,
                                                   "k1:" + good + ",k1:" + to_base64(std::string(32, 'b'))}) {
    const auto made = make_sealer(text);
    EXPECT_FALSE(made) << text;
    if (made)
      continue;
    EXPECT_EQ(made.error().code, fault::invalid);
    EXPECT_NE(made.error().message.find("RDEV_SECRETS_KEYS"), std::string::npos) << made.error().message;
    EXPECT_EQ(made.error().message.find(good.substr(0, 20)), std::string::npos) << made.error().message;
  }
}

TEST(Keyring, TakesManyKeys) {
  std::string text;
  for (char c = 'a'; c <= 'z'; ++c)
    text += std::string(text.empty() ? "" : ",") + ring_entry(std::string("key-") + c, c);
  const auto all = ring(text);
  for (char c = 'a'; c <= 'z'; ++c)
    EXPECT_EQ(opened(*all, ring(ring_entry(std::string("key-") + c, c))->seal("v", "p"), "p"), "v");
}

} // namespace
} // namespace rdev
