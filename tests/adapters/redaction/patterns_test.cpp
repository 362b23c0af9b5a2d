#include "adapters/crypto.hpp"
#include "tests/adapters/redaction/hidden.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <initializer_list>

namespace rdev {
namespace {

using test::a_redactor;
using test::reason;
using test::redact;

TEST(RedactedPatterns, LeaveNoPartOfACharacter) {
  const auto r = a_redactor({"pin=(.{4})"});
  EXPECT_EQ(redact(r, "pin=abc\xc3\xa9 and more"), "pin=[redacted] and more");
  EXPECT_EQ(redact(r, "pin=\xc3\xa9\xc3\xa9 and more"), "pin=[redacted] and more");
}

TEST(RedactedPatterns, AreTheCredentialsThatRdevMakes) {
  const auto r = a_redactor();
  const auto key = make_key_text();
  EXPECT_EQ(redact(r, "key " + std::string(key.text.reveal()) + "."), "key [redacted].");
  const auto checks =
      *credentials::make("", std::move(*make_sealer("k1:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=")));
  EXPECT_EQ(redact(r, "<" + std::string(checks->token_of(command_id::make()).reveal()) + ">"), "<[redacted]>");
  test::seeded random(74);
  EXPECT_EQ(redact(r, R"("whsec_)" + to_base64(random.bytes(32)) + R"(")"), R"("[redacted]")");
}

TEST(RedactedPatterns, LeaveThePrefixOfAKeyAndTheIdOfACommand) {
  const auto r = a_redactor();
  EXPECT_EQ(r.redact(make_key_text().prefix + " " + command_id::make().text() + " whsec_ rdevcmd_"), std::nullopt);
}

TEST(RedactedPatterns, AreTheCredentialsOfHttp) {
  const auto r = a_redactor();
  EXPECT_EQ(redact(r, "Authorization: Bearer a.b"), "Authorization: Bearer [redacted]");
  EXPECT_EQ(redact(r, "authorization:basic dXNlcjpwdw=="), "authorization:basic [redacted]");
  EXPECT_EQ(redact(r, R"({"Authorization": "Bearer abc"})"), R"({"Authorization": "Bearer [redacted]"})");
  EXPECT_EQ(redact(r, R"("{\"authorization\":\"token abc\"}")"), R"("{\"authorization\":\"token [redacted]\"}")");
  EXPECT_EQ(redact(r, "sent bearer eyJhbGciOiJI.UzI1NiJ9"), "sent bearer [redacted]");
  EXPECT_EQ(r.redact("the bearer of bad news; authorization is required; Basic English"), std::nullopt);
}

TEST(RedactedPatterns, AreTheCredentialsInUrls) {
  const auto r = a_redactor();
  EXPECT_EQ(redact(r, "postgres://rdev:p@ss:w@db:5432/x"), "postgres://[redacted]@db:5432/x");
  EXPECT_EQ(redact(r, "https://:pw@h/ redis://:pw@h"), "https://[redacted]@h/ redis://[redacted]@h");
  EXPECT_EQ(redact(r, "git clone https://ghp_abcdef@github.com/a/b"), "git clone https://[redacted]@github.com/a/b");
  EXPECT_EQ(r.redact("ssh://git@host/a http://host:80/@a https://h/?q=a:b@c mailto:a@b"), std::nullopt);
}

TEST(RedactedPatterns, AreThoseOfTheOperatorToo) {
  const auto r = a_redactor({"AKIA[0-9A-Z]{16}", "(?i)pass(?:word)?=(\\S+)", "^only (.*)$", "(?P<x>a1)", "(?P<x>b1)"});
  EXPECT_EQ(redact(r, "id AKIAIOSFODNN7EXAMPLE"), "id [redacted]");
  EXPECT_EQ(redact(r, "PASSWORD=x pass=y"), "PASSWORD=[redacted] pass=[redacted]");
  EXPECT_EQ(redact(r, "only this\nnot only this\nonly that"), "only [redacted]\nnot only this\nonly [redacted]");
  EXPECT_EQ(redact(r, "a1b1"), "[redacted]");
}

TEST(RedactedPatterns, SeeBytesThatAreNoUtf8) {
  const auto r = a_redactor({"<[^>]+>"});
  EXPECT_EQ(redact(r, "a<\xff\xc3>b http://u:\xff@h"), "a[redacted]b http://[redacted]@h");
}

TEST(RedactedPatterns, AndValuesThatOverlapAreOneHit) {
  const auto r = a_redactor({"<[a-z]+>"});
  const auto held = test::hide(r, "xx<abc");
  const auto got = r.redact("xxx<abc><def>x");
  EXPECT_EQ(got->text, "x[redacted]x");
  EXPECT_EQ(got->hits, 1U);
}

TEST(RedactedPatterns, AreFoundAnywhereInALongLine) {
  const auto r = a_redactor({"<a+>"});
  for (const auto at : std::initializer_list<std::size_t>{0, 4'090, 8'180, 8'192, 12'280, 50'000}) {
    const auto text = std::string(at, '.') + "<" + std::string(3'000, 'a') + ">" + std::string(20'000, '.');
    ASSERT_EQ(redact(r, text), std::string(at, '.') + "[redacted]" + std::string(20'000, '.')) << at;
  }
}

TEST(RedactedPatterns, AreRefusedByNameWhenTheyCannotBeUsed) {
  EXPECT_EQ(reason({"fine", "a(b"}), "the redaction pattern `a(b` is no regular expression of RE2: missing ): a(b");
  EXPECT_EQ(reason({"(a)\\1"}),
            "the redaction pattern `(a)\\1` is no regular expression of RE2: invalid escape sequence: \\1");
  EXPECT_EQ(reason({"x*"}), "the redaction pattern `x*` matches the empty text");
  EXPECT_EQ(reason({""}), "the redaction pattern `` matches the empty text");
  EXPECT_EQ(reason({std::string(513, 'a')}),
            "the redaction pattern `" + std::string(100, 'a') + "` is longer than 512 bytes");
  EXPECT_EQ(reason(std::vector<std::string>(65, "a")), "there are more than 64 redaction patterns");
  EXPECT_EQ(reason(std::vector<std::string>(64, "[a-z]{900}")), "");
  EXPECT_EQ(reason({"((a{100}){100}){100}"}).find("the redaction pattern `((a{100}"), 0U);
}

} // namespace
} // namespace rdev
