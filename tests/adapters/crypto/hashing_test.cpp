#include "adapters/crypto.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <set>

namespace rdev {
namespace {

std::string hex_of(std::string_view bytes) {
  return to_hex(sha256(bytes));
}

// Vectors of FIPS 180-4.
TEST(Sha256, AnswersTheKnownVectors) {
  EXPECT_EQ(hex_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex_of({}), hex_of(""));
  EXPECT_EQ(hex_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex_of(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Stream, AnswersTheSameInWhateverPieces) {
  test::seeded random(21);
  for (int round = 0; round < 50; ++round) {
    const auto bytes = random.bytes(random.below(5'000));
    sha256_stream running;
    std::string_view rest(bytes);
    while (!rest.empty()) {
      const auto n = std::min(rest.size(), random.below(300));
      running.add(rest.substr(0, n));
      rest.remove_prefix(n);
    }
    ASSERT_EQ(running.digest(), sha256(bytes));
  }
}

TEST(Sha256Stream, GoesOnAfterItWasAsked) {
  sha256_stream running;
  EXPECT_EQ(running.digest(), sha256(""));
  running.add("ab");
  EXPECT_EQ(running.digest(), sha256("ab"));
  EXPECT_EQ(running.digest(), sha256("ab"));
  running.add({});
  running.add("c");
  EXPECT_EQ(running.digest(), sha256("abc"));
}

TEST(Sha256Stream, IsMovedWithWhatItHasSeen) {
  sha256_stream first;
  first.add("ab");
  auto second = std::move(first);
  second.add("c");
  EXPECT_EQ(second.digest(), sha256("abc"));
}

TEST(Digests, AreEqualOnlyInEveryByte) {
  const auto a = sha256("a");
  EXPECT_TRUE(equal_in_constant_time(a, sha256("a")));
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto b = a;
    b[i] = static_cast<std::uint8_t>(b[i] ^ 1U);
    EXPECT_FALSE(equal_in_constant_time(a, b)) << i;
  }
}

// Vectors of RFC 4648, section 10.
TEST(Base64, AnswersTheKnownVectors) {
  EXPECT_EQ(to_base64(""), "");
  EXPECT_EQ(to_base64("f"), "Zg==");
  EXPECT_EQ(to_base64("fo"), "Zm8=");
  EXPECT_EQ(to_base64("foo"), "Zm9v");
  EXPECT_EQ(to_base64("foob"), "Zm9vYg==");
  EXPECT_EQ(to_base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(to_base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(to_base64(std::string("\0\xff\xfe", 3)), "AP/+");
}

TEST(Base64, OfMuchIsOneLine) {
  const auto text = to_base64(std::string(32 * 1024, 'x'));
  EXPECT_EQ(text.size(), 4U * ((32 * 1024 + 2) / 3));
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST(RandomBytes, AreAsManyAsAskedForAndNeverTheSame) {
  EXPECT_EQ(random_bytes(0), "");
  std::set<std::string> seen;
  for (int i = 0; i < 1'000; ++i) {
    const auto bytes = random_bytes(16);
    ASSERT_EQ(bytes.size(), 16U);
    ASSERT_TRUE(seen.insert(bytes).second);
  }
}

TEST(Hex, IsReadAsItIsWritten) {
  const auto digest = sha256("anything");
  const auto text = to_hex(digest);
  EXPECT_EQ(from_hex(text), digest);
  auto upper = text;
  const auto letter = upper.find_first_of("abcdef");
  ASSERT_NE(letter, std::string::npos);
  upper[letter] = static_cast<char>(upper[letter] - 'a' + 'A');
  EXPECT_EQ(from_hex(upper), std::nullopt) << "one text for one value";
  for (const char wrong : {'g', '/', ':', '@', '`', '\0', '\xff'})
    for (const std::size_t at : {std::size_t{0}, std::size_t{63}}) {
      auto bad = text;
      bad[at] = wrong;
      EXPECT_EQ(from_hex(bad), std::nullopt) << at;
    }
  EXPECT_EQ(from_hex(text.substr(1)), std::nullopt);
}

} // namespace
} // namespace rdev
