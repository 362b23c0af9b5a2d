#include "tests/support/contracts/store_contract.hpp"

#include <random>

namespace rdev::test {

namespace {

// All that a reader sees who begins at `from` and reads pages of `max_bytes`.
struct walk {
  std::string bytes; // of both streams, in order
  int queued = 0;
  int running = 0;
  int markers = 0;
  int completed = 0;
};

walk walk_from(command_queries& q, const command_id& id, std::optional<event_position> from, std::size_t max_bytes) {
  walk out;
  for (int i = 0; i < 1000; ++i) {
    const auto page = value_of(q.events(id, from, max_bytes));
    if (!page)
      break;
    out.queued += page->queued ? 1 : 0;
    out.running += page->running ? 1 : 0;
    std::size_t size = 0;
    for (std::size_t n = 0; n < page->chunks.size(); ++n) {
      const auto& c = page->chunks[n];
      const auto part = c.bytes->substr(n == 0 ? page->first_pos : 0);
      size += part.size();
      out.bytes += part;
      out.markers += c.truncation_marker ? 1 : 0;
    }
    EXPECT_TRUE(size <= max_bytes || page->chunks.size() == 1) << size << " bytes in a page of at most " << max_bytes;
    if (page->completed) {
      ++out.completed;
      break;
    }
    if (page->next == from.value_or(event_position{}))
      break;
    from = page->next;
  }
  return out;
}

} // namespace

TEST_P(Events, OfAnUnknownCommandThereAreNone) {
  EXPECT_FALSE(value_of(queries->events(command_id::make(), std::nullopt, 100)).has_value());
}

TEST_P(Events, FollowACommandFromTheQueueToItsEnd) {
  const auto id = submitted();
  auto page = value_of(queries->events(id, std::nullopt, 100));
  ASSERT_TRUE(page);
  EXPECT_EQ(page->command, id);
  EXPECT_EQ(page->project, "demo");
  EXPECT_TRUE(page->queued);
  EXPECT_FALSE(page->running);
  EXPECT_EQ(page->next, (event_position{seq_queued, 0}));
  EXPECT_FALSE(page->completed);

  const auto l = claimed().at(0);
  page = value_of(queries->events(id, page->next, 100));
  EXPECT_FALSE(page->queued);
  EXPECT_TRUE(page->running);
  EXPECT_EQ(page->next, (event_position{seq_running, 0}));

  page = value_of(queries->events(id, page->next, 100));
  EXPECT_FALSE(page->running);
  EXPECT_TRUE(page->chunks.empty());
  EXPECT_EQ(page->next, (event_position{seq_running, 0})) << "nothing new";

  ASSERT_TRUE(appended(l, {piece(3, stream::out, 0, "abc")}));
  page = value_of(queries->events(id, page->next, 100));
  EXPECT_EQ(joined(page->chunks), "abc");
  EXPECT_EQ(page->next, (event_position{3, 3}));

  ASSERT_TRUE(completed(l));
  page = value_of(queries->events(id, page->next, 100));
  EXPECT_TRUE(page->chunks.empty());
  ASSERT_TRUE(page->completed);
  EXPECT_EQ(page->completed->status, command_status::completed);
  EXPECT_EQ(page->next, (event_position{4, 0}));
}

TEST_P(Events, OfACommandWithoutOutputEndWithItemThree) {
  const auto l = running();
  ASSERT_TRUE(completed(l));
  const auto page = value_of(queries->events(l.what.id, std::nullopt, 100));
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->queued);
  EXPECT_TRUE(page->running);
  EXPECT_TRUE(page->completed);
  EXPECT_EQ(page->next, (event_position{seq_first_chunk, 0}));
}

TEST_P(Events, OfACommandThatNeverRanHaveNoRunning) {
  const auto id = submitted();
  ASSERT_EQ(cancel(id), cancel_verdict::never_ran);
  const auto page = value_of(queries->events(id, std::nullopt, 100));
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->queued);
  EXPECT_FALSE(page->running);
  ASSERT_TRUE(page->completed);
  EXPECT_EQ(page->completed->status, command_status::cancelled);
  EXPECT_EQ(page->next, (event_position{seq_first_chunk, 0}));
}

TEST_P(Events, AreWholeFromEveryPositionInPagesOfEverySize) {
  const auto l = running();
  const std::vector<std::string> parts{"one\n", "two", "", "three\n", "4"};
  std::string all;
  std::vector<event_position> starts; // every position …
  std::vector<std::string> rests;     // … and what lies behind it
  std::vector<chunk> chunks;
  std::uint32_t seq = seq_first_chunk;
  for (const auto& part : parts) {
    chunks.push_back(part.empty() ? marker(seq, stream::out, all.size()) : piece(seq, stream::out, all.size(), part));
    for (std::uint32_t pos = part.empty() ? 0 : 1; pos <= part.size(); ++pos) {
      starts.push_back({seq, pos});
      rests.push_back(std::to_string(all.size() + pos));
    }
    all += part;
    ++seq;
  }
  ASSERT_TRUE(appended(l, chunks));
  ASSERT_TRUE(completed(l));
  for (const std::size_t max_bytes : {1U, 2U, 3U, 4U, 5U, 7U, 8U, 100U}) {
    const auto whole = walk_from(*queries, l.what.id, std::nullopt, max_bytes);
    EXPECT_EQ(whole.bytes, all);
    EXPECT_EQ(whole.queued, 1);
    EXPECT_EQ(whole.running, 1);
    EXPECT_EQ(whole.markers, 1);
    EXPECT_EQ(whole.completed, 1);
    for (std::size_t i = 0; i < starts.size(); ++i) {
      const auto rest = walk_from(*queries, l.what.id, starts[i], max_bytes);
      EXPECT_EQ(rest.bytes, all.substr(std::stoul(rests[i]))) << starts[i].seq << "," << starts[i].pos;
      EXPECT_EQ(rest.completed, 1);
      EXPECT_EQ(rest.markers, starts[i].seq < 5 ? 1 : 0);
    }
  }
}

// For each place of the life of a command, with others asked for in the same breath: behind() says what events() would.
TEST_P(Events, BehindManyPlacesAreFoundWithOneQuestion) {
  const auto silent = running().what.id;
  const auto no_more = command_id::make();
  const auto behind = [&](const command_id& id, event_position at) {
    const auto found = value_of(queries->behind({{silent, {seq_running, 0}}, {id, at}, {no_more, {3, 7}}}));
    EXPECT_EQ(std::count(found.begin(), found.end(), silent), 0) << "has said nothing";
    EXPECT_EQ(std::count(found.begin(), found.end(), no_more), 1) << "is not there";
    return std::find(found.begin(), found.end(), id) != found.end();
  };
  const auto id = submitted();
  EXPECT_TRUE(behind(id, {0, 0}));
  EXPECT_FALSE(behind(id, {seq_queued, 0}));
  const auto mine = claimed().at(0);
  EXPECT_TRUE(behind(id, {seq_queued, 0}));
  EXPECT_FALSE(behind(id, {seq_running, 0}));
  ASSERT_TRUE(appended(mine, {piece(3, stream::out, 0, "abc"), piece(4, stream::err, 0, "d")}));
  EXPECT_TRUE(behind(id, {seq_running, 0}));
  EXPECT_TRUE(behind(id, {3, 2}));
  EXPECT_TRUE(behind(id, {3, 3}));
  EXPECT_FALSE(behind(id, {4, 1}));
  ASSERT_TRUE(completed(mine));
  EXPECT_TRUE(behind(id, {4, 1}));
  EXPECT_TRUE(value_of(queries->behind({})).empty());
}

TEST_P(Events, PagesGoOnBeyondTheNumberOfChunksOfOne) {
  const auto l = running();
  std::vector<chunk> chunks;
  std::string all;
  for (std::uint32_t i = 0; i < 1300; ++i) {
    chunks.push_back(piece(seq_first_chunk + i, stream::out, all.size(), std::to_string(i) + "\n"));
    all += *chunks.back().bytes;
  }
  ASSERT_TRUE(appended(l, chunks));
  ASSERT_TRUE(completed(l));
  const auto got = walk_from(*queries, l.what.id, std::nullopt, 1'000'000);
  EXPECT_EQ(got.bytes, all);
  EXPECT_EQ(got.completed, 1);
}

TEST_P(Events, APositionBeyondTheEndIsRefused) {
  const auto id = submitted();
  const auto refused = [&](event_position p) {
    const auto r = queries->events(id, p, 100);
    return !r && r.error().code == fault::invalid;
  };
  EXPECT_TRUE(refused({seq_running, 0})) << "it is not running yet";
  EXPECT_TRUE(refused({seq_first_chunk, 0})) << "it has not ended";
  const auto l = claimed().at(0);
  EXPECT_FALSE(refused({seq_running, 0}));
  ASSERT_TRUE(appended(l, {piece(3, stream::out, 0, "abc")}));
  EXPECT_FALSE(refused({3, 3}));
  EXPECT_TRUE(refused({3, 4})) << "the chunk has three bytes";
  EXPECT_TRUE(refused({4, 0}));
  ASSERT_TRUE(completed(l));
  EXPECT_FALSE(refused({4, 0})) << "this is where `complete` stands";
  EXPECT_TRUE(refused({4, 1}));
  EXPECT_TRUE(refused({5, 0}));
  EXPECT_TRUE(refused({4'000'000'000U, 0}));
}

} // namespace rdev::test
