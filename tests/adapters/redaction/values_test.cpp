#include "adapters/crypto.hpp"
#include "adapters/json/json.hpp"
#include "tests/adapters/redaction/hidden.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <optional>

namespace rdev {
namespace {

using test::a_redactor;
using test::hide;
using test::redact;

std::string url_form(std::string text) {
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

TEST(RedactedValues, AreHiddenWhereverTheyStand) {
  const auto r = a_redactor();
  const auto held = hide(r, "hunter22");
  EXPECT_EQ(redact(r, "hunter22"), "[redacted]");
  EXPECT_EQ(redact(r, "a hunter22, and xhunter22x"), "a [redacted], and x[redacted]x");
  EXPECT_EQ(r.redact("a hunter22, and xhunter22x")->hits, 2U);
}

TEST(RedactedValues, LeaveATextWithoutThemAsItIs) {
  const auto r = a_redactor();
  const auto held = hide(r, "hunter22");
  for (const auto* text : {"", "h", "hunter", "hunter2", "hunter23 Hunter22 hunter 22"})
    EXPECT_EQ(r.redact(text), std::nullopt) << text;
}

TEST(RedactedValues, AreHiddenUntilTheLastOfTheirRegistrationsHasGone) {
  const auto r = a_redactor();
  std::optional first(hide(r, "hunter22"));
  std::optional second(hide(r, "hunter22"));
  auto other = hide(r, "hunter23");
  first.reset();
  EXPECT_EQ(redact(r, "hunter22 hunter23"), "[redacted] [redacted]");
  second.reset();
  EXPECT_EQ(redact(r, "hunter22 hunter23"), "hunter22 [redacted]");
  other = {};
  EXPECT_EQ(r.redact("hunter22 hunter23"), std::nullopt);
}

TEST(RedactedValues, TakeTheRestOfATextThatWouldBeLookedThroughForMinutes) {
  const auto r = a_redactor();
  std::vector<redactor::registration> held;
  for (std::size_t n = 0; n < 200; ++n)
    held.push_back(hide(r, "aaaaaa" + std::string(n, 'a') + "b"));
  EXPECT_EQ(redact(r, std::string(1000, 'a')), std::string(1000, 'a'));
  const auto rest = redact(r, std::string(1'000'000, 'a') + "c, and " + std::string(1000, 'a') + "b");
  EXPECT_TRUE(rest.starts_with("aaaaaa"));
  EXPECT_TRUE(rest.ends_with("a[redacted]"));
  redaction_stream s(r);
  std::string out;
  for (int i = 0; i < 1000; ++i)
    out += s.feed(std::string(1000, 'a'));
  out += s.feed("c\n");
  out += s.feed("and no more of it\n");
  out += s.finish();
  EXPECT_TRUE(out.ends_with("a[redacted]"));
  EXPECT_EQ(s.hits(), 1U);
}

TEST(RedactedValues, StayHiddenWhenTheirRegistrationMoves) {
  const auto r = a_redactor();
  redactor::registration kept;
  {
    auto held = hide(r, "hunter22");
    kept = std::move(held);
  }
  EXPECT_EQ(redact(r, "hunter22"), "[redacted]");
}

TEST(RedactedValues, AreKnownToEveryCopyOfTheRedactorAndOutliveIt) {
  std::optional r(a_redactor());
  const auto copy = *r;
  const auto held = hide(*r, "hunter22");
  r.reset();
  EXPECT_EQ(redact(copy, "hunter22"), "[redacted]");
}

TEST(RedactedValues, HaveALeastLengthThatBlanksAroundThemDoNotCountFor) {
  const auto r = a_redactor();
  const auto five = hide(r, "12345");
  const auto with_blanks = hide(r, " \tabcde\r\n");
  const auto blank = hide(r, "            ");
  const auto none = hide(r, "");
  EXPECT_EQ(r.redact("12345 abcde \tabcde\r\n             "), std::nullopt);
  const auto six = hide(r, "123456");
  EXPECT_EQ(redact(r, "1234567"), "[redacted]7");
}

TEST(RedactedValues, AreHiddenWithoutTheLineBreakOfTheirFile) {
  const auto r = a_redactor();
  const auto held = hide(r, "  hunter22\n");
  EXPECT_EQ(redact(r, "<hunter22>"), "<[redacted]>");
  EXPECT_EQ(redact(r, "<  hunter22\n>"), "<  [redacted]\n>");
}

TEST(RedactedValues, AreOneHitWhereTheyOverlapOrTouch) {
  const auto r = a_redactor();
  const auto one = hide(r, "abcabcab");
  const auto other = hide(r, "cabxyz");
  EXPECT_EQ(redact(r, "-abcabcabcab-"), "-[redacted]-");
  EXPECT_EQ(redact(r, "-abcabcabxyz-"), "-[redacted]-");
  const auto got = r.redact("-abcabcabcabxyzabcabcab-abcabcab");
  EXPECT_EQ(got->text, "-[redacted]-[redacted]");
  EXPECT_EQ(got->hits, 2U);
}

TEST(RedactedValues, MayBeginAlikeOrBePartsOfEachOther) {
  const auto r = a_redactor();
  const auto middle = hide(r, "token-1234");
  const auto longest = hide(r, "token-123456");
  auto shortest = hide(r, "token-12");
  EXPECT_EQ(redact(r, "token-1 token-12 token-123 token-1234 token-12345 token-1234567"),
            "token-1 [redacted] [redacted]3 [redacted] [redacted]5 [redacted]7");
  shortest = {};
  EXPECT_EQ(redact(r, "token-12 token-1234 token-123456"), "token-12 [redacted] [redacted]");
}

// Every byte of the value is within digits that are hidden, at each alignment and with any neighbours.
TEST(RedactedValues, AreHiddenInsideOfBase64) {
  test::seeded random(71);
  const auto r = a_redactor();
  for (int i = 0; i < 2'000; ++i) {
    const auto value = "v" + random.bytes(4 + random.below(20)) + "v";
    const auto held = hide(r, value);
    const auto ahead = random.bytes(random.below(10));
    const auto all = to_base64(ahead + value + random.bytes(random.below(10)));
    const auto begin = 8 * ahead.size() / 6;
    const auto end = (8 * (ahead.size() + value.size()) + 5) / 6;
    ASSERT_EQ(redact(r, all), all.substr(0, begin) + "[redacted]" + all.substr(end));
    ASSERT_EQ(redact(r, url_form(all)), url_form(all.substr(0, begin)) + "[redacted]" + url_form(all.substr(end)));
  }
}

TEST(RedactedValues, AreHiddenInUrls) {
  const auto r = a_redactor();
  const auto held = hide(r, "p/s w\xc3\xb6r~d!");
  for (const auto* form :
       {"p%2Fs%20w%C3%B6r~d%21", "p%2fs%20w%c3%b6r~d%21", "p%2Fs+w%C3%B6r~d%21", "p%2Fs+w%C3%B6r%7Ed%21",
        "p/s%20w%C3%B6r~d%21", "p%2Fs%20w%C3%B6r~d!", "p/s%20w%c3%b6r~d!", "p/s+w\xc3\xb6r~d!"})
    EXPECT_EQ(redact(r, "https://a.b/?q=" + std::string(form) + "&x"), "https://a.b/?q=[redacted]&x") << form;
}

TEST(RedactedValues, AreHiddenInJsonAsOurWriterWritesIt) {
  const auto r = a_redactor();
  const std::string value("a\"b\\c\n\x01/\xc3\xb6");
  const auto held = hide(r, value);
  json::writer out;
  const auto text = out.begin_object().key("x").string("<" + value + ">").end_object().take();
  EXPECT_EQ(redact(r, text), R"({"x":"<[redacted]>"})");
}

// They are hidden in pieces, and so is a good part of one.
TEST(RedactedValues, OfAnyLengthAreOneHitInEachForm) {
  test::seeded random(72);
  for (const auto size : std::initializer_list<std::size_t>{256, 257, 600, 5'000, 100'000}) {
    const auto r = a_redactor();
    const auto value = "v" + random.text_of("ab\xc3\xb6\"\n +/", size - 2) + "v";
    const auto held = hide(r, value);
    ASSERT_EQ(redact(r, "<" + value + ">"), "<[redacted]>");
    const auto all = to_base64("ab" + value + "cd");
    const auto end = (8 * (2 + size) + 5) / 6;
    ASSERT_EQ(redact(r, all), all.substr(0, 2) + "[redacted]" + all.substr(end));
    EXPECT_TRUE(r.redact(value.substr(0, size - size / 4)).has_value() || size < 512);
  }
}

TEST(RedactedValues, OfTextKeepTheirJsonFormInPieces) {
  test::seeded random(73);
  std::string value;
  while (value.size() < 3'000)
    value += random.one_in(2) ? "\xe2\x82\xac" : random.one_in(2) ? "\xf0\x9f\x9a\x80" : "\"";
  const auto r = a_redactor();
  const auto held = hide(r, value);
  json::writer out;
  EXPECT_EQ(redact(r, out.string(value).take()), "\"[redacted]\"");
}

TEST(RedactedValues, MayBeTensOfThousandsThatBeginAlike) {
  const auto r = a_redactor();
  std::vector<redactor::registration> held;
  for (int i = 0; i < 10'000; ++i)
    held.push_back(hide(r, "ghp_" + std::to_string(1'000'000 + i)));
  EXPECT_EQ(redact(r, "ghp_1000000 ghp_1009999 ghp_1010000"), "[redacted] [redacted] ghp_1010000");
  held.erase(held.begin(), held.begin() + 5'000);
  EXPECT_EQ(redact(r, "ghp_1000000 ghp_1009999 ghp_1010000"), "ghp_1000000 [redacted] ghp_1010000");
  held.clear();
  EXPECT_EQ(r.redact("ghp_1000000 ghp_1009999 ghp_1010000"), std::nullopt);
}

} // namespace
} // namespace rdev
