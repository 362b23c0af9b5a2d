#include "adapters/cli/base64.hpp"

#include "adapters/crypto.hpp"

#include <gtest/gtest.h>

#include <iostream>
#include <random>

namespace rdev::cli {
namespace {

std::string decoded(std::string_view text) {
  std::string out = "left over";
  EXPECT_TRUE(decode_base64(text, out)) << text;
  return out;
}

TEST(Base64, DecodesTheVectorsOfTheRfc) {
  EXPECT_EQ(decoded(""), "");
  EXPECT_EQ(decoded("Zg=="), "f");
  EXPECT_EQ(decoded("Zm8="), "fo");
  EXPECT_EQ(decoded("Zm9v"), "foo");
  EXPECT_EQ(decoded("Zm9vYg=="), "foob");
  EXPECT_EQ(decoded("Zm9vYmE="), "fooba");
  EXPECT_EQ(decoded("Zm9vYmFy"), "foobar");
}

TEST(Base64, GivesBackWhateverWasEncoded) {
  const auto seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  std::mt19937 random(seed);
  for (std::size_t size = 0; size < 300; ++size) {
    std::string bytes(size, '\0');
    for (auto& c : bytes)
      c = static_cast<char>(random());
    EXPECT_EQ(decoded(to_base64(bytes)), bytes);
  }
}

TEST(Base64, RefusesWhatIsNotBase64) {
  std::string out;
  for (const char* text :
       {"A", "AB", "ABC", "ABCDE", "====", "A===", "AB=C", "=ABC", "AB\nC", "AB-_", "Zm9v\xc3\xa9zz", "Zg==Zg=="})
    EXPECT_FALSE(decode_base64(text, out)) << text;
}

TEST(Base64, RefusesASecondSpellingOfTheSameBytes) {
  std::string out;
  EXPECT_FALSE(decode_base64("Zh==", out));
  EXPECT_FALSE(decode_base64("Zm9=", out));
}

} // namespace
} // namespace rdev::cli
