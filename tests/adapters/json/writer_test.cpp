#include "adapters/json/json.hpp"
#include "messages/values/output.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace rdev::json {
namespace {

TEST(JsonWriter, WritesCompactJsonInTheOrderItWasTold) {
  writer out;
  out.begin_object().key("b").integer(-1).key("a").begin_array().boolean(true).null().string("x").end_array();
  out.key("n").unsigned_integer(18'446'744'073'709'551'615ULL).key("o").begin_object().end_object().end_object();
  EXPECT_EQ(out.take(), R"({"b":-1,"a":[true,null,"x"],"n":18446744073709551615,"o":{}})");
}

TEST(JsonWriter, EscapesWhatMustBeEscaped) {
  writer out;
  out.string(std::string_view("a\"\\\n\r\t\b\f\0\x1f/\xe2\x82\xac", 14));
  EXPECT_EQ(out.take(), "\"a\\\"\\\\\\n\\r\\t\\b\\f\\u0000\\u001F/\xe2\x82\xac\"");
}

TEST(JsonWriter, IsEmptyAndUsableAgainOnceTaken) {
  writer out;
  EXPECT_EQ(out.begin_array().integer(1).end_array().take(), "[1]");
  EXPECT_EQ(out.take(), "");
  EXPECT_EQ(out.begin_object().key("x").null().end_object().take(), R"({"x":null})");
}

TEST(JsonWriter, WritesEmptyText) {
  writer out;
  out.begin_object().key("").string("").key("x").string({}).end_object();
  EXPECT_EQ(out.take(), R"({"":"","x":""})");
}

TEST(JsonWriter, MendsInvalidUtf8InValues) {
  writer out;
  out.begin_array()
      .string("a\xff"
              "b")
      .string("\xc3")
      .string("\xe2\x82")
      .string("\xed\xa0\x80")
      .string("ok\xc3\xa9")
      .end_array();
  const auto text = out.take();
  EXPECT_TRUE(valid_utf8(text));
  EXPECT_TRUE(text.starts_with("[\"a\xef\xbf\xbd"
                               "b\",\"\xef\xbf\xbd\","))
      << text;
  EXPECT_TRUE(text.ends_with("\"ok\xc3\xa9\"]")) << text;
}

TEST(JsonWriter, MendsInvalidUtf8InNames) {
  writer out;
  out.begin_object().key("a\xff").integer(1).end_object();
  EXPECT_EQ(out.take(), "{\"a\xef\xbf\xbd\":1}");
}

TEST(JsonWriter, WritesNullForWhatIsNoNumber) {
  writer out;
  out.begin_object().key("a").number(std::numeric_limits<double>::quiet_NaN());
  out.key("b").number(std::numeric_limits<double>::infinity()).key("c").number(0.5).end_object();
  EXPECT_EQ(out.take(), R"({"a":null,"b":null,"c":0.5})");
  out.begin_array().number(-std::numeric_limits<double>::infinity()).number(2).end_array();
  EXPECT_EQ(out.take(), "[null,2.0]");
}

TEST(JsonWriter, PutsRawJsonInAsItIs) {
  writer out;
  out.begin_object().key("a").raw(R"({"x":[1]})").key("b").integer(2).end_object();
  EXPECT_EQ(out.take(), R"({"a":{"x":[1]},"b":2})");
}

TEST(JsonWriter, IsMovedWithWhatItHasWritten) {
  writer first;
  first.begin_array().integer(1);
  auto second = std::move(first);
  EXPECT_EQ(second.end_array().take(), "[1]");
}

// Whatever bytes are given: what comes out is JSON, and reads as the same text when it was text.
TEST(JsonWriter, WritesJsonForAnyBytes) {
  test::seeded random(41);
  for (int i = 0; i < 3'000; ++i) {
    const auto bytes =
        random.one_in(2) ? random.bytes(random.below(40)) : random.text_of("a\"\\\n\xc3\xa9\xff\x01", random.below(40));
    writer out;
    out.begin_object().key("x").string(bytes).end_object();
    const auto parsed = parse(out.take());
    ASSERT_TRUE(std::holds_alternative<value>(parsed));
    const auto read = std::get<value>(parsed)["x"];
    ASSERT_TRUE(valid_utf8(read.as_string()));
    if (valid_utf8(bytes)) {
      ASSERT_EQ(read.as_string(), bytes);
    }
  }
}

} // namespace
} // namespace rdev::json
