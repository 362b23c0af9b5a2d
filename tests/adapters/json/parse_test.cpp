#include "adapters/json/json.hpp"
#include "tests/values/seeded.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rdev::json {
namespace {

value good(std::string_view text) {
  auto parsed = parse(text);
  if (const auto* wrong = std::get_if<parse_error>(&parsed)) {
    ADD_FAILURE() << text.substr(0, 200) << ": " << wrong->problem << " at " << wrong->offset.value_or(0);
    return {};
  }
  return std::get<value>(parsed);
}

std::string problem(std::string_view text) {
  const auto parsed = parse(text);
  const auto* wrong = std::get_if<parse_error>(&parsed);
  return wrong == nullptr ? std::string() : wrong->problem.empty() ? "?" : wrong->problem;
}

TEST(JsonParse, ReadsEveryType) {
  const auto v = good(R"( {"s":"x","i":-7,"d":0.5,"t":true,"f":false,"n":null,"a":[1,"2"],"o":{"p":{}}} )");
  EXPECT_TRUE(v.is_object());
  EXPECT_EQ(v.size(), 8U);
  EXPECT_EQ(v["s"].as_string(), "x");
  EXPECT_EQ(v["i"].as_integer(), -7);
  EXPECT_TRUE(v["i"].is_integer());
  EXPECT_FALSE(v["d"].is_integer());
  EXPECT_DOUBLE_EQ(v["d"].as_number(), 0.5);
  EXPECT_TRUE(v["t"].as_boolean());
  EXPECT_TRUE(v["f"].is_boolean());
  EXPECT_TRUE(v["n"].is_null());
  EXPECT_EQ(v["a"].size(), 2U);
  EXPECT_EQ(v["a"].at(1).as_string(), "2");
  EXPECT_TRUE(v["o"]["p"].is_object());
  EXPECT_THAT(v.members(), testing::ElementsAre("s", "i", "d", "t", "f", "n", "a", "o"));
}

TEST(JsonParse, TellsAMissingMemberFromANull) {
  const auto v = good(R"({"n":null})");
  EXPECT_TRUE(v["n"].exists());
  EXPECT_FALSE(v["m"].exists());
  EXPECT_FALSE(v["m"].is_null());
  EXPECT_FALSE(v["m"]["deeper"].at(3)["still"].exists());
  EXPECT_FALSE(v[""].exists());
  EXPECT_FALSE(v[{}].exists());
}

TEST(JsonParse, AnswersNothingForAnotherType) {
  const auto v = good(R"({"s":"x","a":[1]})");
  EXPECT_EQ(v["s"].as_integer(), 0);
  EXPECT_EQ(v["a"].as_string(), "");
  EXPECT_FALSE(v["s"].as_boolean());
  EXPECT_EQ(v["s"].size(), 0U);
  EXPECT_FALSE(v["a"].at(1).exists());
  EXPECT_FALSE(v["s"].at(0).exists());
  EXPECT_EQ(value().text(), "");
}

TEST(JsonParse, TakesNumbersBeyondTheSignedOnesForNoInteger) {
  EXPECT_EQ(good("9223372036854775807").as_integer(), 9'223'372'036'854'775'807);
  EXPECT_FALSE(good("9223372036854775808").is_integer());
  EXPECT_EQ(good("9223372036854775808").as_integer(), 0);
  EXPECT_FALSE(good("1.0").is_integer());
  EXPECT_FALSE(good("1e2").is_integer());
  EXPECT_NE(problem("1e999"), "");
  EXPECT_NE(problem("[52452249800000007432237852038e0308]"), "") << "infinite, which JSON has no word for";
}

// Found by fuzzing: with its full-precision flag the library reads out of bounds here.
TEST(JsonParse, SurvivesNumbersOfAnyLength) {
  for (const std::size_t n : {100U, 308U, 309U, 400U, 800U, 1'000U, 5'000U, 100'000U})
    for (const std::string tail : {"", "1", "1e5", "1e-300", "e-400", "9e307"}) {
      const std::string zeros(n, '0');
      for (const auto& text :
           {"0." + zeros + tail, "1" + zeros + "." + zeros + tail, "0.1" + zeros + tail, "-1" + zeros + tail})
        if (problem(text).empty()) {
          EXPECT_TRUE(good(text).is_number()) << n << " " << tail;
        }
    }
}

TEST(JsonParse, KeepsTheDocumentAlive) {
  value inner;
  {
    const auto v = good(R"({"a":{"b":"a text that is too long for any small buffer within"}})");
    inner = v["a"]["b"];
  }
  EXPECT_EQ(inner.as_string(), "a text that is too long for any small buffer within");
}

TEST(JsonParse, RefusesWhatIsNoJson) {
  for (const auto* text :
       {"",        " ",         "{",     "}",         "[1,]",    "{\"a\":1,}", "{a:1}", "{'a':1}", "01",
        "+1",      "1.",        ".5",    "0x1",       "NaN",     "Infinity",   "tru",   "\"",      "\"\n\"",
        "\"\\x\"", "\"\\u12\"", "[1 2]", "{\"a\" 1}", "// x\n1", "/**/1",      "nul"})
    EXPECT_NE(problem(text), "") << text;
}

TEST(JsonParse, RefusesTextBehindTheEnd) {
  for (const auto& text : std::vector<std::string>{"{} x", "{}{}", "1 2", "null,", "[]]", std::string("{}\0", 3),
                                                   std::string("{}\0{\"a\":1}", 10), std::string("1\0 2", 4)})
    EXPECT_NE(problem(text), "") << text;
}

TEST(JsonParse, RefusesARawNulAnywhere) {
  const std::string text = R"({"a": ["x", 1, null]})";
  for (std::size_t at = 0; at <= text.size(); ++at) {
    auto with = text;
    with.insert(at, 1, '\0');
    EXPECT_NE(problem(with), "") << "at " << at;
  }
}

TEST(JsonParse, RefusesInvalidUtf8) {
  for (const std::string bad : {"\xff", "\x80", "\xc0\x80", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    EXPECT_NE(problem("{\"a\":\"" + bad + "\"}"), "");
    EXPECT_NE(problem("{\"" + bad + "\":1}"), "");
    EXPECT_NE(problem(bad), "");
  }
  EXPECT_NE(problem(R"("\ud800")"), "") << "half a pair of surrogates";
  EXPECT_NE(problem(R"("\udc00")"), "");
  EXPECT_NE(problem(R"("\ud800A")"), "");
  EXPECT_EQ(good(R"("\ud83d\ude80\u0000")").as_string(), std::string_view("\xf0\x9f\x9a\x80\0", 5));
}

TEST(JsonParse, RefusesTwoMembersOfOneNameAtAnyDepth) {
  EXPECT_NE(problem(R"({"a":1,"a":2})").find("'a' twice"), std::string::npos);
  EXPECT_NE(problem(R"({"a":1,"\u0061":2})"), "") << "escaped, but the same name";
  EXPECT_NE(problem(R"([{"x":{"b":1,"c":2,"b":1}}])"), "");
  EXPECT_NE(problem(R"({"":1,"":2})"), "");
  EXPECT_EQ(problem(R"({"a":{"a":1},"A":1})"), "");
}

std::string nested(std::size_t depth, const std::string& open, const std::string& close, const std::string& core) {
  std::string out;
  for (std::size_t i = 0; i < depth; ++i)
    out += open;
  out += core;
  for (std::size_t i = 0; i < depth; ++i)
    out += close;
  return out;
}

TEST(JsonParse, TakesSixtyFourLevelsAndNoMore) {
  EXPECT_EQ(problem(nested(64, "[", "]", "")), "");
  EXPECT_NE(problem(nested(65, "[", "]", "")), "");
  EXPECT_EQ(problem(nested(64, "{\"a\":", "}", "1")), "");
  EXPECT_NE(problem(nested(65, "{\"a\":", "}", "1")), "");
  EXPECT_NE(problem(nested(33, "[{\"a\":", "}]", "1")), "");
}

TEST(JsonParse, CountsNoBracketsWithinText) {
  EXPECT_EQ(problem("\"" + std::string(1'000, '[') + "\""), "");
  EXPECT_EQ(problem("[\"\\\"" + std::string(1'000, '{') + "\"]"), "");
  EXPECT_NE(problem("[\"\\\\\"," + nested(64, "[", "]", "") + "]"), "") << "the text ended before the brackets";
}

TEST(JsonParse, SurvivesAMillionBrackets) {
  EXPECT_NE(problem(std::string(1'000'000, '[')), "");
  EXPECT_NE(problem(nested(1'000'000, "{\"a\":", "}", "1")), "");
  EXPECT_NE(problem("\\\"" + std::string(1'000'000, '[')), "") << "a quote outside of text hides nothing";
}

TEST(JsonParse, SaysWhereItStumbled) {
  const auto parsed = parse(R"({"a": 1, "b": x})");
  const auto* wrong = std::get_if<parse_error>(&parsed);
  ASSERT_NE(wrong, nullptr);
  EXPECT_EQ(wrong->offset, 14U);
}

// ---- round trips
void write_random(writer& out, test::seeded& random, int depth) {
  const auto kind = random.below(depth > 4 ? 6 : 8);
  if (kind == 0)
    out.null();
  else if (kind == 1)
    out.boolean(random.one_in(2));
  else if (kind == 2)
    out.integer(static_cast<std::int64_t>(random.number()));
  else if (kind == 3)
    out.unsigned_integer(random.number());
  else if (kind == 4)
    out.number(static_cast<double>(random.below(1'000'000)) / 8); // exact in few digits
  else if (kind == 5)
    out.string(random.bytes(random.below(20)));
  else if (kind == 6) {
    out.begin_array();
    for (std::size_t i = random.below(5); i > 0; --i)
      write_random(out, random, depth + 1);
    out.end_array();
  } else {
    out.begin_object();
    for (std::size_t i = random.below(5); i > 0; --i) {
      out.key("m" + std::to_string(i) + random.text_of("a\"\\ \n", random.below(4)));
      write_random(out, random, depth + 1);
    }
    out.end_object();
  }
}

TEST(JsonParse, ReadsWhatTheWriterWroteAndWritesItAgain) {
  test::seeded random(42);
  for (int i = 0; i < 3'000; ++i) {
    writer out;
    write_random(out, random, 0);
    const auto text = out.take();
    ASSERT_EQ(good(text).text(), text);
  }
}

TEST(JsonParse, NeverCrashesOnMutatedJson) {
  test::seeded random(43);
  std::size_t refused = 0;
  for (int i = 0; i < 5'000; ++i) {
    writer out;
    write_random(out, random, 0);
    auto text = out.take();
    for (std::size_t n = 1 + random.below(4); n > 0 && !text.empty(); --n) {
      const auto at = random.below(text.size());
      if (random.one_in(2))
        text[at] = static_cast<char>(random.below(256));
      else
        text.erase(at, random.below(5));
    }
    refused += problem(text).empty() ? 0U : 1U;
  }
  EXPECT_GT(refused, 1'000U);
}

} // namespace
} // namespace rdev::json
