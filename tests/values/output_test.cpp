#include "messages/values/output.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <array>
#include <numeric>

namespace rdev {
namespace {

chunk chunk_of(std::string bytes, std::uint64_t offset = 0) {
  chunk out;
  out.seq = 7;
  out.offset = offset;
  out.bytes = std::make_shared<const std::string>(std::move(bytes));
  return out;
}

struct cut {
  std::string bytes;
  bool eol = false;
  std::uint64_t offset = 0;
  event_position position;
};

std::vector<cut> frames_of(const chunk& c, std::uint32_t from = 0, framing how = framing::line) {
  std::vector<cut> out;
  cut_frames(c, from, how, [&](const frame& f) { out.push_back({std::string(f.bytes), f.eol, f.offset, f.position}); });
  return out;
}

std::string concatenated(const std::vector<cut>& frames) {
  std::string out;
  for (const auto& f : frames)
    out += f.bytes + (f.eol ? "\n" : "");
  return out;
}

// Output as programs make it: short lines, long lines, text of every width, and bytes that are no text at all.
std::string some_output(test::seeded& random, std::size_t pieces) {
  static const std::array<std::string, 6> letters{"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x9a\x80", "\r", "\xff"};
  std::string out;
  for (std::size_t i = 0; i < pieces; ++i) {
    const auto& letter = random.any_of(letters);
    const auto times = random.one_in(6) ? random.below(40'000) : random.below(50);
    for (std::size_t j = 0; j < times; ++j)
      out += letter;
    out += random.one_in(3) ? "\n" : random.one_in(9) ? "\n\n" : "";
    if (random.one_in(8))
      out += random.bytes(random.below(300));
  }
  return out;
}

TEST(Frames, AreTheLinesOfAChunk) {
  const auto frames = frames_of(chunk_of("one\n\ntwo\r\nthree", 100));
  ASSERT_EQ(frames.size(), 4U);
  EXPECT_EQ(frames[0].bytes, "one");
  EXPECT_TRUE(frames[0].eol);
  EXPECT_EQ(frames[0].offset, 100U);
  EXPECT_EQ(frames[0].position, (event_position{7, 4}));
  EXPECT_EQ(frames[1].bytes, "");
  EXPECT_TRUE(frames[1].eol);
  EXPECT_EQ(frames[2].bytes, "two\r") << "a CR stays";
  EXPECT_EQ(frames[3].bytes, "three");
  EXPECT_FALSE(frames[3].eol);
  EXPECT_EQ(frames[3].offset, 110U);
  EXPECT_EQ(frames[3].position, (event_position{7, 15}));
}

TEST(Frames, OfALineOfExactlyAFramesLengthKeepItsLineEnd) {
  const auto frames = frames_of(chunk_of(std::string(max_frame_bytes, 'x') + "\n" + "y\n"));
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].bytes.size(), max_frame_bytes);
  EXPECT_TRUE(frames[0].eol);
  EXPECT_EQ(frames[1].bytes, "y");
}

TEST(Frames, OfALineOneByteTooLongAreTwo) {
  const auto frames = frames_of(chunk_of(std::string(max_frame_bytes + 1, 'x') + "\n"));
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].bytes.size(), max_frame_bytes);
  EXPECT_FALSE(frames[0].eol);
  EXPECT_EQ(frames[1].bytes, "x");
  EXPECT_TRUE(frames[1].eol);
}

TEST(Frames, OfNothingAreNone) {
  EXPECT_TRUE(frames_of(chunk_of("")).empty());
  EXPECT_TRUE(frames_of(chunk{}).empty());
  EXPECT_TRUE(frames_of(chunk_of("abc\n"), 4).empty());
  EXPECT_TRUE(frames_of(chunk_of("abc\n"), 4'000'000'000U).empty()) << "a position from outside may be anything";
}

TEST(Frames, OfChunkFramingTakeNoNoticeOfLines) {
  const auto frames = frames_of(chunk_of("a\nb\n" + std::string(max_frame_bytes, 'x')), 0, framing::chunk);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].bytes.size(), max_frame_bytes);
  EXPECT_FALSE(frames[0].eol);
  EXPECT_FALSE(frames[1].eol);
}

TEST(Frames, DoNotCutTheLettersOfALongLine) {
  for (const std::string letter : {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x9a\x80"})
    for (std::size_t shift = 0; shift < 4; ++shift) {
      std::string line(shift, '.');
      while (line.size() < max_chunk_bytes - 4)
        line += letter;
      for (const auto how : {framing::line, framing::chunk})
        for (const auto& f : frames_of(chunk_of(line), 0, how)) {
          ASSERT_LE(f.bytes.size(), max_frame_bytes);
          ASSERT_TRUE(valid_utf8(f.bytes)) << letter << " shifted by " << shift;
        }
    }
}

TEST(Frames, HoldAFullFrameWhereThereIsNoLetterToSpare) {
  const auto frames = frames_of(chunk_of(std::string(max_chunk_bytes, '\x80')));
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].bytes.size(), max_frame_bytes);
}

// The law of the contract: a stream is exactly the concatenation of decode(line) + (eol ? LF : nothing).
void expect_law(const chunk& c, std::uint32_t from, framing how) {
  const auto frames = frames_of(c, from, how);
  const auto rest = from < c.bytes->size() ? c.bytes->substr(from) : std::string{};
  ASSERT_EQ(concatenated(frames), rest);
  std::uint64_t at = from;
  for (const auto& f : frames) {
    ASSERT_LE(f.bytes.size(), max_frame_bytes);
    ASSERT_FALSE(f.bytes.empty() && !f.eol) << "a frame that says nothing";
    ASSERT_EQ(f.offset, c.offset + at);
    at += f.bytes.size() + (f.eol ? 1 : 0);
    ASSERT_EQ(f.position, (event_position{c.seq, static_cast<std::uint32_t>(at)}));
    if (how == framing::line) {
      ASSERT_EQ(f.bytes.find('\n'), std::string::npos);
    } else {
      ASSERT_FALSE(f.eol);
    }
  }
}

TEST(Frames, ConcatenateToTheStreamForAnyChunkingAndAnyStart) {
  test::seeded random(6);
  for (int round = 0; round < 60; ++round) {
    const auto bytes = some_output(random, 1 + random.below(40));
    std::string_view rest(bytes);
    std::uint64_t offset = 0;
    while (!rest.empty()) {
      const auto n = std::min(rest.size(), 1 + random.below(max_chunk_bytes));
      const auto c = chunk_of(std::string(rest.substr(0, n)), offset);
      expect_law(c, static_cast<std::uint32_t>(random.one_in(2) ? 0 : random.below(n + 2)),
                 random.one_in(3) ? framing::chunk : framing::line);
      offset += n;
      rest.remove_prefix(n);
    }
  }
}

// Whoever resumes behind a frame gets the same frames as one who was there all the time.
TEST(Frames, AreTheSameForOneWhoResumesBehindAnyOfThem) {
  test::seeded random(7);
  for (int round = 0; round < 40; ++round) {
    const auto c = chunk_of(some_output(random, 6).substr(0, max_chunk_bytes), 5);
    for (const auto how : {framing::line, framing::chunk}) {
      const auto all = frames_of(c, 0, how);
      for (std::size_t i = 0; i < all.size(); i += 1 + all.size() / 16) {
        const auto again = frames_of(c, all[i].position.pos, how);
        ASSERT_EQ(again.size(), all.size() - i - 1);
        for (std::size_t j = 0; j < again.size(); ++j) {
          ASSERT_EQ(again[j].bytes, all[i + 1 + j].bytes);
          ASSERT_EQ(again[j].position, all[i + 1 + j].position);
        }
      }
    }
  }
}

// ---- what is stored
TEST(StorablePrefix, EndsBehindTheLastLine) {
  EXPECT_EQ(storable_prefix("", false), 0U);
  EXPECT_EQ(storable_prefix("abc", false), 0U);
  EXPECT_EQ(storable_prefix("abc\n", false), 4U);
  EXPECT_EQ(storable_prefix("a\nbc", false), 2U);
  EXPECT_EQ(storable_prefix("a\nb\n\nc", false), 5U);
}

TEST(StorablePrefix, IsAllOnFlush) {
  EXPECT_EQ(storable_prefix("", true), 0U);
  EXPECT_EQ(storable_prefix("abc", true), 3U);
  EXPECT_EQ(storable_prefix("a\nbc", true), 4U);
}

TEST(StorablePrefix, HoldsWholeFramesOfAnUnfinishedLine) {
  EXPECT_EQ(storable_prefix(std::string(max_frame_bytes, 'x'), false), 0U) << "its LF may still come";
  EXPECT_EQ(storable_prefix(std::string(max_frame_bytes + 1, 'x'), false), max_frame_bytes);
  EXPECT_EQ(storable_prefix("a\n" + std::string(2 * max_frame_bytes + 9, 'x'), false), 2 * max_frame_bytes + 2);
}

TEST(ChunkSizes, FillUpAndEndBehindLines) {
  EXPECT_TRUE(chunk_sizes("").empty());
  EXPECT_EQ(chunk_sizes("abc"), (std::vector<std::size_t>{3}));
  EXPECT_EQ(chunk_sizes(std::string(max_chunk_bytes, 'x')), (std::vector<std::size_t>{max_chunk_bytes}));
  EXPECT_EQ(chunk_sizes(std::string(max_chunk_bytes + 1, 'x')), (std::vector<std::size_t>{max_chunk_bytes, 1}));
  EXPECT_EQ(chunk_sizes("a\n" + std::string(max_chunk_bytes, 'x')), (std::vector<std::size_t>{2, max_chunk_bytes}));
}

TEST(ChunkSizes, CoverEveryByteWithinTheBound) {
  test::seeded random(8);
  for (int round = 0; round < 80; ++round) {
    const auto bytes = some_output(random, 1 + random.below(40));
    std::size_t at = 0;
    for (const auto n : chunk_sizes(bytes)) {
      ASSERT_GE(n, 1U);
      ASSERT_LE(n, max_chunk_bytes);
      at += n;
      ASSERT_LE(at, bytes.size());
      ASSERT_TRUE(at == bytes.size() || bytes[at - 1] == '\n' ||
                  bytes.substr(at - n, n).find('\n') == std::string::npos);
    }
    ASSERT_EQ(at, bytes.size());
  }
}

TEST(ChunkSizes, DoNotCutLetters) {
  for (const std::string letter : {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x9a\x80"})
    for (std::size_t shift = 0; shift < 4; ++shift) {
      std::string line(shift, '.');
      while (line.size() < 3 * max_chunk_bytes)
        line += letter;
      std::size_t at = 0;
      for (const auto n : chunk_sizes(line)) {
        ASSERT_TRUE(valid_utf8(std::string_view(line).substr(at, n)));
        at += n;
      }
    }
}

// A writer that writes in pieces, an owner that stores what may be stored, a reader that joins the frames.
TEST(Output, ComesOutAsItWentInWhateverThePieces) {
  test::seeded random(9);
  for (int round = 0; round < 40; ++round) {
    const auto bytes = some_output(random, 1 + random.below(30));
    std::size_t written = 0;
    std::size_t stored = 0;
    std::string read;
    while (stored < bytes.size()) {
      written = std::min(bytes.size(), written + 1 + random.below(100'000));
      const bool flush = written == bytes.size() || random.one_in(5);
      const auto pending = std::string_view(bytes).substr(stored, written - stored);
      const auto take = storable_prefix(pending, flush);
      ASSERT_LE(take, pending.size());
      ASSERT_TRUE(flush || pending.size() - take <= max_frame_bytes) << "what is held back is bounded";
      for (const auto n : chunk_sizes(pending.substr(0, take))) {
        const auto c = chunk_of(bytes.substr(stored, n), stored);
        read += concatenated(frames_of(c));
        stored += n;
      }
    }
    ASSERT_EQ(read, bytes);
  }
}

// Without flushes a line of at most a frame's length is always one frame.
TEST(Output, KeepsLinesWholeUpToTheLengthOfAFrame) {
  test::seeded random(10);
  for (int round = 0; round < 40; ++round) {
    std::string bytes;
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < 30; ++i) {
      lines.emplace_back(random.one_in(4) ? random.below(max_frame_bytes + 1) : random.below(100), 'x');
      bytes += lines.back() + "\n";
    }
    std::size_t written = 0;
    std::size_t stored = 0;
    std::vector<std::string> read;
    while (stored < bytes.size()) {
      written = std::min(bytes.size(), written + 1 + random.below(30'000));
      const auto pending = std::string_view(bytes).substr(stored, written - stored);
      for (const auto n : chunk_sizes(pending.substr(0, storable_prefix(pending, false)))) {
        for (const auto& f : frames_of(chunk_of(bytes.substr(stored, n), stored))) {
          ASSERT_TRUE(f.eol);
          read.push_back(f.bytes);
        }
        stored += n;
      }
    }
    ASSERT_EQ(read, lines);
  }
}

// ---- event ids
TEST(EventIds, AreReadAsTheyAreWritten) {
  for (const auto p : {event_position{0, 0}, event_position{1, 0}, event_position{3, 65'536},
                       event_position{4'294'967'295U, 4'294'967'295U}})
    EXPECT_EQ(from_event_id(to_event_id(p)), p);
}

TEST(EventIds, OfBadFormAreRefused) {
  for (const auto& text : std::vector<std::string>{"",
                                                   "-",
                                                   "3",
                                                   "3-",
                                                   "-3",
                                                   "3-4-5",
                                                   "3--4",
                                                   "+3-4",
                                                   "3-+4",
                                                   " 3-4",
                                                   "3-4 ",
                                                   "03-4",
                                                   "3-04",
                                                   "3-4294967296",
                                                   "4294967296-0",
                                                   "99999999999999999999-1",
                                                   "a-1",
                                                   "1-b",
                                                   "1.0-2",
                                                   "3_4",
                                                   std::string("3-4\0", 4)})
    EXPECT_FALSE(from_event_id(text)) << "'" << text << "'";
}

// ---- UTF-8
std::string encoded(std::uint32_t point) {
  const auto byte = [](std::uint32_t v) { return static_cast<char>(v); };
  if (point < 0x80)
    return {byte(point)};
  if (point < 0x800)
    return {byte(0xc0 | point >> 6U), byte(0x80 | (point & 63U))};
  if (point < 0x10000)
    return {byte(0xe0 | point >> 12U), byte(0x80 | (point >> 6U & 63U)), byte(0x80 | (point & 63U))};
  return {byte(0xf0 | point >> 18U), byte(0x80 | (point >> 12U & 63U)), byte(0x80 | (point >> 6U & 63U)),
          byte(0x80 | (point & 63U))};
}

TEST(Utf8, TakesEveryCodePointButSurrogates) {
  for (std::uint32_t point = 0; point < 0x110000; ++point) {
    const bool surrogate = point >= 0xd800 && point <= 0xdfff;
    ASSERT_EQ(valid_utf8(encoded(point)), !surrogate) << point;
  }
}

TEST(Utf8, RefusesWhatIsNoText) {
  for (const std::string bad :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xe2\x82", "\xf0\x80\x80\x80",
        "\xf0\x9f\x9a", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xfe"})
    for (std::size_t before = 0; before < 20; ++before) {
      EXPECT_FALSE(valid_utf8(std::string(before, 'a') + bad));
      EXPECT_FALSE(valid_utf8(std::string(before, 'a') + bad + "aaaaaaaaaaaa"));
    }
  EXPECT_TRUE(valid_utf8(""));
  EXPECT_TRUE(valid_utf8(std::string(9, '\0')));
}

} // namespace
} // namespace rdev
