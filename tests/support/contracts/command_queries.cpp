#include "tests/support/contracts/store_contract.hpp"

#include <algorithm>

namespace rdev::test {

namespace {

using names = std::vector<std::string>;
const std::optional<names> everything;

std::vector<command_id> ids_of(const page<command_view>& p) {
  std::vector<command_id> out;
  for (const auto& v : p.items)
    out.push_back(v.id);
  return out;
}

} // namespace

TEST_P(CommandQueries, AViewNamesTheEnvironmentButShowsNoValue) {
  auto one = a_command();
  one.what.what.env = {{"TOKEN", secret("s3cret")}, {"B", secret("2")}};
  submitted(one);
  const auto view = value_of(queries->find(one.what.id));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->env_names, (names{"TOKEN", "B"}));
  EXPECT_EQ(view->status, command_status::queued);
  EXPECT_TRUE(view->waiting_for.has_value());
  EXPECT_FALSE(view->result);
  EXPECT_FALSE(view->started_at);
  EXPECT_EQ(view->priority, priority::normal);
  EXPECT_FALSE(value_of(queries->find(command_id::make())).has_value());
}

TEST_P(CommandQueries, ListsNewestFirstPageByPage) {
  std::vector<command_id> ids;
  for (int i = 0; i < 7; ++i)
    ids.push_back(submitted());
  std::reverse(ids.begin(), ids.end());
  std::vector<command_id> got;
  list_commands what;
  what.at.limit = 3;
  int pages = 0;
  do {
    const auto p = value_of(queries->list(what, everything));
    EXPECT_LE(p.items.size(), 3U);
    for (const auto& id : ids_of(p))
      got.push_back(id);
    what.at.cursor = p.next_cursor;
    ++pages;
  } while (what.at.cursor && pages < 10);
  EXPECT_EQ(got, ids);
  EXPECT_EQ(pages, 3);
}

TEST_P(CommandQueries, ALastPageThatIsJustFullHasNoCursor) {
  for (int i = 0; i < 3; ++i)
    submitted();
  list_commands what;
  what.at.limit = 3;
  EXPECT_FALSE(value_of(queries->list(what, everything)).next_cursor);
}

TEST_P(CommandQueries, ListsByProjectStatusAndWhatTheAskerMaySee) {
  const auto ended = running("a");
  ASSERT_TRUE(completed(ended, command_status::failed));
  const auto live = running("a");
  const auto queued_a = submitted("a");
  const auto queued_b = submitted("b");
  list_commands what;
  EXPECT_EQ(ids_of(value_of(queries->list(what, everything))),
            (std::vector{queued_b, queued_a, live.what.id, ended.what.id}));
  what.project = "a";
  EXPECT_EQ(ids_of(value_of(queries->list(what, everything))), (std::vector{queued_a, live.what.id, ended.what.id}));
  what.status = command_status::failed;
  EXPECT_EQ(ids_of(value_of(queries->list(what, everything))), std::vector{ended.what.id});
  what.status = command_status::running;
  EXPECT_EQ(ids_of(value_of(queries->list(what, everything))), std::vector{live.what.id});
  what.status = command_status::queued;
  what.project.reset();
  EXPECT_EQ(ids_of(value_of(queries->list(what, everything))), (std::vector{queued_b, queued_a}));
  EXPECT_EQ(ids_of(value_of(queries->list(what, names{"b"}))), std::vector{queued_b});
  EXPECT_TRUE(value_of(queries->list(what, names{})).items.empty()) << "no project is visible";
}

TEST_P(CommandQueries, TheQueueCountsWhatWaitsAndWhatRuns) {
  const auto a = running("a");
  const auto b = running("b");
  ASSERT_TRUE(completed(b));
  submitted("a", priority::critical);
  submitted("a", priority::low);
  submitted("b", priority::low);
  const auto all = value_of(queries->queue(everything));
  EXPECT_EQ(all.depth, (std::array<std::int64_t, 4>{1, 0, 0, 2}));
  EXPECT_EQ(all.running, 1);
  EXPECT_EQ(all.completed_per_minute, 1);
  EXPECT_GE(all.oldest_seconds, 0.0);
  ASSERT_EQ(all.by_project.size(), 2U);
  EXPECT_EQ(all.by_project[0].project, "a");
  EXPECT_EQ(all.by_project[0].depth, 2);
  EXPECT_EQ(all.by_project[0].running, 1);
  EXPECT_EQ(all.by_project[1].depth, 1);
  const auto only_b = value_of(queries->queue(names{"b"}));
  EXPECT_EQ(only_b.depth, (std::array<std::int64_t, 4>{0, 0, 0, 1}));
  EXPECT_EQ(only_b.running, 0);
  EXPECT_EQ(only_b.completed_per_minute, 1);
  ASSERT_EQ(only_b.by_project.size(), 1U);
  EXPECT_EQ(value_of(queries->queue(names{"none"})).by_project.size(), 0U);
}

TEST_P(CommandQueries, ReadsAStreamFromEveryOffset) {
  const auto l = running();
  ASSERT_TRUE(appended(l, {piece(3, stream::out, 0, "abc"), piece(4, stream::err, 0, "E"),
                           piece(5, stream::out, 3, "defgh"), marker(6, stream::out, 8)}));
  const std::string all = "abcdefgh";
  for (const std::size_t max_bytes : {1U, 3U, 5U, 100U})
    for (std::uint64_t from = 0; from <= all.size() + 2; ++from) {
      std::string got;
      for (std::uint64_t at = from;;) {
        const auto part = value_of(queries->bytes({l.what.id, stream::out, at}, max_bytes));
        EXPECT_EQ(part.end, all.size());
        EXPECT_FALSE(part.finished);
        const auto bytes_now = joined(part.chunks).substr(part.chunks.empty() ? 0 : part.skip);
        EXPECT_TRUE(bytes_now.size() <= max_bytes || part.chunks.size() == 1) << bytes_now.size();
        if (bytes_now.empty())
          break;
        got += bytes_now;
        at += bytes_now.size();
      }
      EXPECT_EQ(got, all.substr(std::min<std::size_t>(from, all.size())));
    }
  EXPECT_EQ(joined(value_of(queries->bytes({l.what.id, stream::err, 0}, 10)).chunks), "E");
  ASSERT_TRUE(completed(l));
  EXPECT_TRUE(value_of(queries->bytes({l.what.id, stream::out, 8}, 10)).finished);
}

TEST_P(CommandQueries, ListsChunksOfOneOrBothStreamsPageByPage) {
  const auto l = running();
  ASSERT_TRUE(appended(l, {piece(3, stream::out, 0, "a"), piece(4, stream::err, 0, "b"), piece(5, stream::out, 1, "c"),
                           piece(6, stream::out, 2, "d")}));
  list_output what{l.what.id, std::nullopt, std::nullopt, 3};
  auto first = value_of(queries->chunks(what));
  EXPECT_EQ(joined(first.chunks), "abc");
  ASSERT_TRUE(first.next_after);
  what.after_seq = first.next_after;
  const auto second = value_of(queries->chunks(what));
  EXPECT_EQ(joined(second.chunks), "d");
  EXPECT_FALSE(second.next_after);
  list_output out_only{l.what.id, stream::out, std::nullopt, 3};
  first = value_of(queries->chunks(out_only));
  EXPECT_EQ(joined(first.chunks), "acd");
  EXPECT_FALSE(first.next_after) << "a page that is just full is the last one when nothing follows";
}

} // namespace rdev::test
