#include "tests/support/contracts/store_contract.hpp"

namespace rdev::test {

TEST_P(OutputStore, KeepsBytesAsTheyAre) {
  std::string all(256, '\0');
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = static_cast<char>(i);
  const std::string full(max_chunk_bytes, '\\');
  const auto l = running();
  ASSERT_TRUE(appended(l, {piece(3, stream::out, 0, all), piece(4, stream::err, 0, full)}));
  const auto got = value_of(queries->chunks({l.what.id, std::nullopt, std::nullopt, 50}));
  ASSERT_EQ(got.chunks.size(), 2U);
  EXPECT_EQ(*got.chunks[0].bytes, all);
  EXPECT_EQ(*got.chunks[1].bytes, full);
  EXPECT_EQ(got.chunks[1].stream, stream::err);
  EXPECT_GT(got.chunks[0].at, timestamp{});
}

TEST_P(OutputStore, RefusesAStaleToken) {
  auto l = running();
  l.token -= 1;
  EXPECT_FALSE(appended(l, {piece(3, stream::out, 0, "late")}));
  EXPECT_TRUE(value_of(queries->chunks({l.what.id, std::nullopt, std::nullopt, 50})).chunks.empty());
}

TEST_P(OutputStore, RefusesOutputBehindTheEnd) {
  const auto l = running();
  ASSERT_TRUE(completed(l));
  EXPECT_FALSE(appended(l, {piece(3, stream::out, 0, "late")}));
}

TEST_P(OutputStore, RefusesTheFormerOwnerAfterATakeOver) {
  const auto l = running();
  ASSERT_TRUE(appended(l, {piece(3, stream::out, 0, "mine")}));
  ASSERT_EQ(value_of(leases->reclaim(node, {})).size(), 1U);
  EXPECT_FALSE(appended(l, {piece(4, stream::out, 4, "late")}));
  EXPECT_FALSE(completed(l));
}

TEST_P(OutputStore, OneStaleAppendLeavesTheRestOfItsBatchAlone) {
  const auto a = running("a");
  const auto b = running("b");
  const std::vector<output_append> batch{{a.what.id, a.token - 1, {piece(3, stream::out, 0, "no")}},
                                         {b.what.id, b.token, {piece(3, stream::out, 0, "yes")}},
                                         {command_id::make(), 1, {piece(3, stream::out, 0, "nobody")}}};
  EXPECT_EQ(value_of(output->append(batch)), (std::vector<bool>{false, true, false}));
  EXPECT_EQ(joined(value_of(queries->chunks({b.what.id, std::nullopt, std::nullopt, 9})).chunks), "yes");
  EXPECT_TRUE(value_of(queries->chunks({a.what.id, std::nullopt, std::nullopt, 9})).chunks.empty());
}

TEST_P(OutputStore, ARepeatedChunkIsLeftAsItIs) {
  const auto l = running();
  ASSERT_TRUE(appended(l, {piece(3, stream::out, 0, "one")}));
  EXPECT_TRUE(appended(l, {piece(3, stream::out, 0, "two"), piece(4, stream::out, 3, "more")}));
  EXPECT_EQ(joined(value_of(queries->chunks({l.what.id, std::nullopt, std::nullopt, 9})).chunks), "onemore");
}

TEST_P(OutputStore, TwoAppendsOfOneCommandInOneBatchAreBothStored) {
  const auto l = running();
  const std::vector<output_append> batch{{l.what.id, l.token, {piece(3, stream::out, 0, "a")}},
                                         {l.what.id, l.token, {piece(4, stream::out, 1, "b")}}};
  EXPECT_EQ(value_of(output->append(batch)), (std::vector<bool>{true, true}));
  EXPECT_EQ(joined(value_of(queries->chunks({l.what.id, std::nullopt, std::nullopt, 9})).chunks), "ab");
}

TEST_P(OutputStore, AnEmptyAppendOnlyChecksTheToken) {
  auto l = running();
  EXPECT_TRUE(appended(l, {}));
  l.token -= 1;
  EXPECT_FALSE(appended(l, {}));
  EXPECT_TRUE(value_of(output->append({})).empty());
}

TEST_P(OutputStore, AMarkerStandsInTheEventsAndInNoListing) {
  const auto l = running();
  ASSERT_TRUE(appended(l, {piece(3, stream::out, 0, "abc"), marker(4, stream::out, 3), piece(5, stream::err, 0, "x")}));
  const auto page = value_of(queries->events(l.what.id, event_position{seq_running, 0}, 1000));
  ASSERT_TRUE(page);
  ASSERT_EQ(page->chunks.size(), 3U);
  EXPECT_TRUE(page->chunks[1].truncation_marker);
  EXPECT_EQ(page->chunks[1].offset, 3U);
  EXPECT_EQ(value_of(queries->chunks({l.what.id, std::nullopt, std::nullopt, 9})).chunks.size(), 2U);
  EXPECT_EQ(value_of(queries->bytes({l.what.id, stream::out, 0}, 1000)).end, 3U);
}

} // namespace rdev::test
