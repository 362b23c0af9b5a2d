#include "adapters/cli/sse_reader.hpp"

#include <gtest/gtest.h>

namespace rdev::cli {
namespace {

struct seen_event {
  std::string id;
  std::string name;
  std::string data;
  bool operator==(const seen_event&) const = default;
};

class SseReader : public testing::Test {
protected:
  sse_reader::outcome feed(std::string_view piece) {
    return reader.feed(piece, [this](const sse_event& e) {
      seen.push_back({std::string(e.id.value_or("none")), std::string(e.name), std::string(e.data)});
      return seen.size() < stop_after;
    });
  }
  sse_reader reader{1000};
  std::vector<seen_event> seen;
  std::size_t stop_after = 1000;
};

TEST_F(SseReader, HandsOutAnEventAtItsEmptyLine) {
  feed("id: 7\nevent: output\ndata: {\"a\":1}\n");
  EXPECT_TRUE(seen.empty());
  feed("\n");
  EXPECT_EQ(seen, (std::vector<seen_event>{{"7", "output", "{\"a\":1}"}}));
}

TEST_F(SseReader, SeesTheSameEventsHoweverTheBytesAreCut) {
  const std::string text =
      "\xef\xbb\xbfretry: 10\n\nid: 1\nevent: a\ndata: x\n\n: comment\r\n\r\ndata:y\rdata: z\r\rid\nevent: "
      "b\r\ndata\r\n\r\ndata: \n\n";
  feed(text);
  const auto whole = seen;
  ASSERT_EQ(whole, (std::vector<seen_event>{
                       {"1", "a", "x"}, {"none", "message", "y\nz"}, {"", "b", ""}, {"none", "message", ""}}));
  for (std::size_t step = 1; step < text.size(); ++step) {
    seen.clear();
    reader = sse_reader(1000);
    for (std::size_t at = 0; at < text.size(); at += step)
      feed(std::string_view(text).substr(at, step));
    EXPECT_EQ(seen, whole) << "in pieces of " << step;
  }
}

TEST_F(SseReader, KeepsNoIdForTheNextEvent) {
  feed("id: 1\ndata: x\n\ndata: y\n\n");
  EXPECT_EQ(seen.at(1).id, "none");
}

TEST_F(SseReader, IgnoresAnIdWithANul) {
  feed(std::string_view("id: a\0b\ndata: x\n\n", 17));
  EXPECT_EQ(seen.at(0).id, "none");
}

TEST_F(SseReader, NeverHandsOutWhatAConnectionLeftUnfinished) {
  feed("id: 1\nevent: output\ndata: half");
  reader.restart();
  feed("data: whole\n\n");
  EXPECT_EQ(seen, (std::vector<seen_event>{{"none", "message", "whole"}}));
}

TEST_F(SseReader, HandsOutNothingForAnEventWithoutData) {
  feed("event: a\nid: 3\n\ndata: x\n\n");
  EXPECT_EQ(seen, (std::vector<seen_event>{{"none", "message", "x"}}));
}

TEST_F(SseReader, StopsWhenTheHandlerHasEnough) {
  stop_after = 1;
  EXPECT_EQ(feed("data: x\n\ndata: y\n\n"), sse_reader::outcome::stopped);
  EXPECT_EQ(seen.size(), 1U);
}

TEST_F(SseReader, RefusesALineThatIsTooLongBeforeItEnds) {
  EXPECT_EQ(feed(std::string(900, 'x')), sse_reader::outcome::hungry);
  EXPECT_EQ(feed(std::string(200, 'x')), sse_reader::outcome::too_long);
}

TEST_F(SseReader, RefusesAnEventOfTooManyLines) {
  auto last = sse_reader::outcome::hungry;
  for (int i = 0; i < 20 && last == sse_reader::outcome::hungry; ++i)
    last = feed("data: " + std::string(100, 'x') + "\n");
  EXPECT_EQ(last, sse_reader::outcome::too_long);
}

TEST_F(SseReader, TakesARetryOfDigitsAndNoOther) {
  feed("retry: 12x\n");
  EXPECT_FALSE(reader.retry());
  feed("retry: 1500\n");
  EXPECT_EQ(reader.retry(), std::chrono::milliseconds(1500));
  feed("retry: -1\nretry: 99999999999999\n");
  EXPECT_EQ(reader.retry(), std::chrono::milliseconds(1500));
}

} // namespace
} // namespace rdev::cli
