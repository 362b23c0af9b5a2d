#include "actors/output_account.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <array>

namespace rdev {
namespace {

constexpr std::uint64_t no_cap = 1ULL << 40U;

std::string bytes_of(const std::vector<chunk>& chunks, stream which) {
  std::string out;
  for (const auto& c : chunks)
    if (c.stream == which)
      out += *c.bytes;
  return out;
}

TEST(OutputAccount, PlansNothingForNothing) {
  output_account account(no_cap);
  EXPECT_TRUE(account.plan("", true, "", true).empty());
  EXPECT_TRUE(account.plan("unfinished", false, "", false).empty());
}

TEST(OutputAccount, PlansBothStreamsInOneSequence) {
  output_account account(no_cap);
  const auto plan = account.plan("out\n", false, "err\n", false);
  ASSERT_EQ(plan.size(), 2U);
  EXPECT_EQ(plan[0].seq, seq_first_chunk);
  EXPECT_EQ(plan[0].stream, stream::out);
  EXPECT_EQ(*plan[0].bytes, "out\n");
  EXPECT_EQ(plan[1].seq, seq_first_chunk + 1);
  EXPECT_EQ(plan[1].stream, stream::err);
  EXPECT_EQ(plan[1].offset, 0U) << "each stream has offsets of its own";
}

TEST(OutputAccount, BooksNothingByPlanning) {
  output_account account(no_cap);
  const auto first = account.plan("a\nb", false, "", false);
  const auto second = account.plan("a\nb", false, "", false);
  EXPECT_EQ(account.stored(stream::out), 0U);
  ASSERT_EQ(first.size(), second.size());
  EXPECT_EQ(first[0].seq, second[0].seq);
  EXPECT_EQ(first[0].offset, second[0].offset);
}

TEST(OutputAccount, GoesOnBehindWhatItBooked) {
  output_account account(no_cap);
  account.book(account.plan("one\n", false, "", false));
  const auto plan = account.plan("two\n", false, "e\n", false);
  ASSERT_EQ(plan.size(), 2U);
  EXPECT_EQ(plan[0].offset, 4U);
  EXPECT_EQ(plan[0].seq, seq_first_chunk + 1);
  EXPECT_EQ(plan[1].seq, seq_first_chunk + 2);
}

TEST(OutputAccount, GoesOnWhereAFormerOwnerStopped) {
  output_account account(no_cap);
  account.resume(9, false);
  account.resume(stream::out, "one\n");
  account.resume(stream::out, "two\n");
  const auto plan = account.plan("three\n", false, "", false);
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_EQ(plan[0].seq, 9U);
  EXPECT_EQ(plan[0].offset, 8U);
  account.book(plan);
  EXPECT_EQ(account.receipt(stream::out, 14).sha256, to_hex(sha256("one\ntwo\nthree\n")));
}

TEST(OutputAccount, CutsWhatIsLongIntoChunks) {
  output_account account(no_cap);
  const std::string much(3 * max_chunk_bytes, 'x');
  const auto plan = account.plan(much, true, "", true);
  EXPECT_EQ(bytes_of(plan, stream::out), much);
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    EXPECT_EQ(plan[i].seq, seq_first_chunk + i);
    EXPECT_EQ(plan[i].offset, offset);
    EXPECT_LE(plan[i].bytes->size(), max_chunk_bytes);
    offset += plan[i].bytes->size();
  }
}

TEST(OutputAccount, StoresExactlyUpToTheCapAndThenAMarker) {
  output_account account(10);
  const auto plan = account.plan("0123456789abc", false, "", false);
  ASSERT_EQ(plan.size(), 2U);
  EXPECT_EQ(*plan[0].bytes, "0123456789");
  EXPECT_TRUE(plan[1].truncation_marker);
  EXPECT_TRUE(plan[1].bytes->empty());
  EXPECT_EQ(plan[1].offset, 10U);
  EXPECT_FALSE(account.capped()) << "not before it is booked";
  account.book(plan);
  EXPECT_TRUE(account.capped());
  EXPECT_TRUE(account.plan("more\n", true, "more\n", true).empty());
}

TEST(OutputAccount, IsNotCappedByOutputThatJustFits) {
  output_account account(10);
  account.book(account.plan("012345678\n", false, "", false));
  EXPECT_FALSE(account.capped());
  EXPECT_TRUE(account.plan("", true, "", true).empty());
  const auto plan = account.plan("x", true, "", true);
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_TRUE(plan[0].truncation_marker);
}

TEST(OutputAccount, CountsBothStreamsTowardsTheCap) {
  output_account account(10);
  account.book(account.plan("01234\n", false, "", false));
  const auto plan = account.plan("", false, "56789\n", false);
  EXPECT_EQ(bytes_of(plan, stream::err), "5678");
  ASSERT_FALSE(plan.empty());
  EXPECT_TRUE(plan.back().truncation_marker);
}

TEST(OutputAccount, CountsWhatIsPlannedInTheSameBatchTowardsTheCap) {
  output_account account(10);
  const auto plan = account.plan("01234\n", false, "56789\n", false);
  EXPECT_EQ(bytes_of(plan, stream::out) + bytes_of(plan, stream::err), "01234\n5678");
}

TEST(OutputAccount, PutsOneMarkerOnlyAndPutsItLast) {
  output_account account(4);
  const auto plan = account.plan("0123456\n", false, "0123456\n", false);
  int markers = 0;
  for (const auto& c : plan)
    markers += c.truncation_marker ? 1 : 0;
  EXPECT_EQ(markers, 1);
  EXPECT_TRUE(plan.back().truncation_marker);
}

TEST(OutputAccount, StoresNothingBehindACapThatWasReachedByAFormerOwner) {
  output_account account(10);
  account.resume(5, false);
  account.resume(stream::out, "0123456789");
  const auto plan = account.plan("abc\n", false, "", false);
  EXPECT_EQ(bytes_of(plan, stream::out), "");
}

TEST(OutputAccount, GivesAReceiptOfWhatIsStored) {
  output_account account(5);
  account.book(account.plan("0123456\n", true, "", true));
  const auto out = account.receipt(stream::out, 8);
  EXPECT_EQ(out.bytes, 5U);
  EXPECT_EQ(out.total_bytes, 8U);
  EXPECT_EQ(out.sha256, to_hex(sha256("01234")));
  EXPECT_TRUE(out.truncated());
  const auto err = account.receipt(stream::err, 0);
  EXPECT_EQ(err.sha256, to_hex(sha256("")));
  EXPECT_FALSE(err.truncated());
}

TEST(OutputAccount, NeverClaimsLessThanItStored) {
  output_account account(no_cap);
  account.book(account.plan("0123\n", true, "", true));
  EXPECT_EQ(account.receipt(stream::out, 0).total_bytes, 5U);
}

// A process that writes in pieces over both streams, an owner that plans from what is not stored yet, a store that
// sometimes refuses, and a new owner now and then: every byte up to the cap is stored once, in order.
TEST(OutputAccount, StoresEveryByteOnceInOrderWhateverHappens) {
  test::seeded random(33);
  for (int round = 0; round < 60; ++round) {
    const std::uint64_t cap = random.one_in(2) ? no_cap : random.below(120'000);
    const std::array<std::string, 2> all{random.text_of("abc\n", random.below(150'000)),
                                         random.text_of("xy\n", random.below(90'000))};
    std::array<std::string, 2> stored;
    std::array<std::size_t, 2> written{};
    std::uint32_t next_seq = seq_first_chunk;
    int markers = 0;
    auto account = std::make_unique<output_account>(cap);
    const auto take = [&](const std::vector<chunk>& plan) {
      for (const auto& c : plan) {
        auto& mine = stored.at(static_cast<std::size_t>(c.stream));
        ASSERT_EQ(c.seq, next_seq++);
        ASSERT_EQ(c.offset, mine.size());
        mine += *c.bytes;
        markers += c.truncation_marker ? 1 : 0;
      }
      account->book(plan);
    };
    bool last = false;
    for (int step = 0; !last && step < 400; ++step) {
      for (std::size_t s = 0; s < 2; ++s)
        written.at(s) = std::min(all.at(s).size(), written.at(s) + random.below(step > 300 ? 200'000 : 9'000));
      last = written[0] == all[0].size() && written[1] == all[1].size();
      const auto rest = [&](std::size_t s) {
        return std::string_view(all.at(s)).substr(stored.at(s).size(), written.at(s) - stored.at(s).size());
      };
      const auto plan = account->plan(rest(0), last || random.one_in(5), rest(1), last || random.one_in(5));
      if (last || !random.one_in(4))
        take(plan);
      if (!last && random.one_in(10)) {
        account = std::make_unique<output_account>(cap);
        account->resume(next_seq, markers > 0);
        account->resume(stream::out, stored[0]);
        account->resume(stream::err, stored[1]);
      }
    }
    ASSERT_TRUE(last);
    ASSERT_TRUE(all[0].starts_with(stored[0]));
    ASSERT_TRUE(all[1].starts_with(stored[1]));
    const auto total = all[0].size() + all[1].size();
    ASSERT_EQ(stored[0].size() + stored[1].size(), std::min<std::uint64_t>(cap, total));
    ASSERT_EQ(markers, total > cap ? 1 : 0);
    ASSERT_EQ(account->receipt(stream::out, all[0].size()).sha256, to_hex(sha256(stored[0])));
    ASSERT_EQ(account->receipt(stream::err, all[1].size()).sha256, to_hex(sha256(stored[1])));
  }
}

} // namespace
} // namespace rdev
