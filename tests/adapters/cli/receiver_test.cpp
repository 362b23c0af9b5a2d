#include "adapters/cli/receiver.hpp"

#include <gtest/gtest.h>

namespace rdev::cli {
namespace {

class memory_sink final : public byte_sink {
public:
  std::error_code write(std::string_view bytes) override {
    if (error)
      return error;
    text += bytes;
    return {};
  }
  std::string text;
  std::error_code error;
};

std::string receipt_for(std::string_view bytes, std::uint64_t more = 0) {
  return "{\"bytes\":" + std::to_string(bytes.size()) + ",\"sha256\":\"" + to_hex(sha256(bytes)) +
         "\",\"total_bytes\":" + std::to_string(bytes.size() + more) +
         ",\"truncated\":" + (more > 0 ? "true" : "false") + "}";
}

class Receiver : public testing::Test {
protected:
  bool take(std::string_view name, const std::string& data, std::optional<std::string_view> id = std::nullopt) {
    return into.take({id, name, data});
  }
  bool output(const std::string& stream, const std::string& data, int offset,
              std::optional<std::string_view> id = "x") {
    return take("output",
                R"({"stream":")" + stream + R"(","data":")" + data + R"(","encoding":"utf-8","offset":)" +
                    std::to_string(offset) + "}",
                id);
  }
  bool complete(const std::string& out_receipt, const std::string& err_receipt,
                const std::string& head = R"("status":"completed","exit_code":0)") {
    return take("complete",
                "{" + head + R"(,"stdout":)" + out_receipt + R"(,"stderr":)" + err_receipt + R"(,"complete":true})",
                "end");
  }
  void expect_unreadable() {
    ASSERT_TRUE(into.failed());
    EXPECT_EQ(into.failed()->kind, trouble_kind::unreadable);
    EXPECT_FALSE(into.completed());
  }
  memory_sink out;
  memory_sink err;
  receiver into{out, err};
};

TEST_F(Receiver, WritesEachStreamToItsOwnSink) {
  EXPECT_TRUE(output("stdout", "a\\n", 0, "1"));
  EXPECT_TRUE(output("stderr", "b", 0, "2"));
  EXPECT_TRUE(output("stdout", "c", 2, "3"));
  EXPECT_EQ(out.text, "a\nc");
  EXPECT_EQ(err.text, "b");
  EXPECT_EQ(into.last_event_id(), "3");
  EXPECT_FALSE(complete(receipt_for("a\nc"), receipt_for("b")));
  ASSERT_TRUE(into.completed());
  EXPECT_EQ(into.completed()->exit_code, 0);
  EXPECT_TRUE(into.completed()->complete);
}

TEST_F(Receiver, DecodesBase64) {
  EXPECT_TRUE(take("output", R"({"stream":"stdout","data":"/wD+","encoding":"base64","offset":0})"));
  EXPECT_EQ(out.text, std::string("\xff\0\xfe", 3));
}

TEST_F(Receiver, WritesNoByteTwice) {
  output("stdout", "abc", 0);
  EXPECT_TRUE(output("stdout", "abc", 0));
  EXPECT_TRUE(output("stdout", "bcde", 1));
  EXPECT_EQ(out.text, "abcde");
}

TEST_F(Receiver, RefusesAGapAndKeepsTheIdBeforeIt) {
  output("stdout", "abc", 0, "1");
  EXPECT_FALSE(output("stdout", "e", 4, "2"));
  expect_unreadable();
  EXPECT_EQ(out.text, "abc");
  EXPECT_EQ(into.last_event_id(), "1");
}

TEST_F(Receiver, RemembersOnlyIdsThatCame) {
  take("status", "{\"status\":\"queued\"}", "s1");
  take("heartbeat", "{}");
  EXPECT_EQ(into.last_event_id(), "s1");
}

TEST_F(Receiver, KeepsTheIdWhenTheBytesCouldNotBeWritten) {
  output("stdout", "a", 0, "1");
  out.error = std::make_error_code(std::errc::no_space_on_device);
  EXPECT_FALSE(output("stdout", "b", 1, "2"));
  EXPECT_EQ(into.failed()->kind, trouble_kind::output_failed);
  EXPECT_EQ(into.last_event_id(), "1");
}

TEST_F(Receiver, TellsAReaderThatHasGoneFromAFullDisk) {
  out.error = std::make_error_code(std::errc::broken_pipe);
  EXPECT_FALSE(output("stdout", "b", 0));
  EXPECT_EQ(into.failed()->kind, trouble_kind::output_closed);
}

TEST_F(Receiver, RefusesAReceiptForMoreBytesThanCame) {
  output("stdout", "a", 0);
  EXPECT_FALSE(complete(receipt_for("ab"), receipt_for("")));
  expect_unreadable();
}

TEST_F(Receiver, RefusesAReceiptForOtherBytesThanCame) {
  output("stderr", "a", 0);
  EXPECT_FALSE(complete(receipt_for(""), receipt_for("b")));
  expect_unreadable();
}

TEST_F(Receiver, AcceptsATruncatedStream) {
  output("stdout", "ab", 0);
  EXPECT_TRUE(take("error", R"({"code":"OUTPUT_TRUNCATED","message":"full"})"));
  EXPECT_FALSE(complete(receipt_for("ab", 5), receipt_for("")));
  ASSERT_TRUE(into.completed());
  EXPECT_TRUE(into.completed()->out.truncated());
}

TEST_F(Receiver, GivesUpOnARevokedKeyAndGoesOnAfterAPassingError) {
  EXPECT_TRUE(take("error", R"({"code":"SERVICE_UNAVAILABLE","message":"later"})"));
  EXPECT_FALSE(take("error", R"({"code":"KEY_REVOKED","message":"the key is revoked"})"));
  EXPECT_EQ(into.failed()->kind, trouble_kind::refused);
  EXPECT_EQ(into.failed()->message, "the key is revoked (KEY_REVOKED)");
}

TEST_F(Receiver, PassesOverEventsThatItDoesNotKnow) {
  EXPECT_TRUE(take("tomorrow", "not json"));
}

class ReceiverOfNonsense : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(ReceiverOfNonsense, GivesUp) {
  memory_sink out;
  memory_sink err;
  receiver into(out, err);
  EXPECT_FALSE(into.take({std::nullopt, GetParam().first, GetParam().second}));
  ASSERT_TRUE(into.failed());
  EXPECT_EQ(into.failed()->kind, trouble_kind::unreadable);
  EXPECT_EQ(out.text + err.text, "");
}

INSTANTIATE_TEST_SUITE_P(
    All, ReceiverOfNonsense,
    testing::Values(
        std::pair("output", "{"), std::pair("output", "[]"),
        std::pair("output", R"({"stream":"stdin","data":"a","encoding":"utf-8","offset":0})"),
        std::pair("output", R"({"stream":"stdout","encoding":"utf-8","offset":0})"),
        std::pair("output", R"({"stream":"stdout","data":"a","encoding":"utf-8"})"),
        std::pair("output", R"({"stream":"stdout","data":"a","encoding":"utf-8","offset":-1})"),
        std::pair("output", R"({"stream":"stdout","data":"a","encoding":"utf-8","offset":0.5})"),
        std::pair("output", R"({"stream":"stdout","data":"a","encoding":"rot13","offset":0})"),
        std::pair("output", R"({"stream":"stdout","data":"a","encoding":"base64","offset":0})"),
        std::pair("complete", R"({"status":"completed"})"),
        std::pair(
            "complete",
            R"({"status":"running","stdout":{"bytes":0,"total_bytes":0},"stderr":{"bytes":0,"total_bytes":0}})")));

} // namespace
} // namespace rdev::cli
