#include "tests/adapters/redaction/hidden.hpp"

#include <gtest/gtest.h>

#include <initializer_list>

namespace rdev {
namespace {

using test::a_redactor;
using test::hide;

TEST(RedactionStream, HidesWhatIsSplitBetweenChunks) {
  const auto r = a_redactor();
  const auto held = hide(r, "hunter22");
  redaction_stream s(r);
  auto out = s.feed("a hunt");
  out += s.feed("er2");
  out += s.feed("2 b\n");
  EXPECT_EQ(out, "a [redacted] b\n");
  EXPECT_EQ(s.finish(), "");
  EXPECT_EQ(s.hits(), 1U);
}

TEST(RedactionStream, GivesALineOutAtOnceWhenNothingCanBeginAtItsEnd) {
  const auto r = a_redactor();
  const auto held = hide(r, "hunter22");
  const auto other = hide(r, "}\n--secret");
  redaction_stream s(r);
  EXPECT_EQ(s.feed("{\"a\":\"b\"]\n"), "{\"a\":\"b\"]\n");
  EXPECT_EQ(s.feed("{\"a\":\"b\"}\n"), "{\"a\":\"b\"");
  EXPECT_EQ(s.feed("--secre"), "");
  EXPECT_EQ(s.feed("-\n"), "}\n--secre-\n");
}

TEST(RedactionStream, GivesOutTheRestAtTheEndAndBeginsAgain) {
  const auto r = a_redactor();
  const auto held = hide(r, "hunter22");
  redaction_stream s(r);
  EXPECT_EQ(s.feed("hunter2"), "");
  EXPECT_EQ(s.finish(), "hunter2");
  EXPECT_EQ(s.feed("2 hunter22"), "");
  EXPECT_EQ(s.finish(), "2 [redacted]");
  EXPECT_EQ(s.feed("hunter22hunter22\n"), "[redacted]\n");
  EXPECT_EQ(s.hits(), 2U);
}

TEST(RedactionStream, MakesOneHitOfThoseThatTouchThoughTheyComeApart) {
  const auto r = a_redactor();
  const auto one = hide(r, "one\ntwo\nthree");
  const auto other = hide(r, "hunter22");
  redaction_stream s(r);
  EXPECT_EQ(s.feed("one\ntwo\nthree"), "");
  EXPECT_EQ(s.feed("hunter22"), "[redacted]"); // of two whole lines
  EXPECT_EQ(s.feed("-\n"), "-\n");
  EXPECT_EQ(s.hits(), 1U);
}

TEST(RedactionStream, HoldsNoMoreThanItsBoundOfALineWithoutAnEnd) {
  const auto r = a_redactor({"<a+>"});
  const auto held = hide(r, std::string(5'000, 'x'));
  redaction_stream s(r);
  std::string out;
  std::string in;
  for (int i = 0; i < 300; ++i) {
    const std::string chunk(1 + static_cast<std::size_t>(i) % 200, i % 7 == 0 ? 'x' : '.');
    in += chunk;
    out += s.feed(chunk);
    ASSERT_LE(in.size() - out.size(), 8'192U + 200U);
  }
  EXPECT_EQ(out + s.finish(), in);
}

TEST(RedactionStream, HidesAMatchThatIsSplitInALongLine) {
  const auto r = a_redactor({"<a+>"});
  const auto text = std::string(9'000, '.') + "<" + std::string(3'000, 'a') + ">" + std::string(9'000, '.');
  for (const auto size : std::initializer_list<std::size_t>{1, 7, 1'000, 4'096, 30'000}) {
    redaction_stream s(r);
    std::string out;
    for (std::size_t at = 0; at < text.size(); at += size)
      out += s.feed(std::string_view(text).substr(at, size));
    ASSERT_EQ(out + s.finish(), std::string(9'000, '.') + "[redacted]" + std::string(9'000, '.')) << size;
  }
}

} // namespace
} // namespace rdev
