#include "adapters/http/stream_hub.hpp"

#include "adapters/http/event_frames.hpp"
#include "tests/values/seeded.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>

namespace rdev::http {
namespace {

using namespace std::chrono_literals;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A house whose questions the test answers.
class scripted_house final : public api {
public:
  struct question {
    stream_opened opened;
    event_position position;
    std::chrono::milliseconds wait;
    std::function<void(answer<stream_news>)> done;
  };

  void perform(api_request, std::function<void(api_reply)> done) override {
    done({answer<outcome>(refusal{}), {}, {}});
  }
  void note_refused(const request_context&, const refusal&) override {
  }
  void next(const stream_opened& opened, event_position position, std::chrono::milliseconds wait,
            std::function<void(answer<stream_news>)> done) override {
    if (at_once)
      return done(at_once(position));
    std::lock_guard guard(mutex);
    asked.push_back({opened, position, wait, std::move(done)});
  }
  void read_on(const read_output&, std::function<void(answer<output_bytes>)> done) override {
    done(refusal{});
  }
  std::vector<health_check> ready() override {
    return {};
  }

  // Answers the oldest question.
  void say(answer<stream_news> news) {
    ASSERT_FALSE(asked.empty());
    auto one = std::move(asked.front());
    asked.erase(asked.begin());
    one.done(std::move(news));
  }

  std::mutex mutex;
  std::vector<question> asked;
  std::function<answer<stream_news>(event_position)> at_once;
};

struct reading {
  std::shared_ptr<feed> from;
  std::string text;               // all that has been delivered
  std::string latest;             // of the last piece
  std::vector<const void*> where; // its bytes in memory
  bool last = false;
  bool waits = false;

  void next() {
    waits = true;
    from->next([this](const feed::piece& p) {
      waits = false;
      last = p.last;
      latest.clear();
      where.clear();
      for (const auto& s : p.slices) {
        latest += s.bytes;
        where.push_back(s.bytes.data());
      }
      text += latest;
    });
  }
};

// What `output` frames hold, put together.
std::string output_in(std::string_view frames) {
  std::string out;
  for (std::size_t at = 0; (at = frames.find(R"("line":")", at)) != std::string_view::npos;) {
    at += 8;
    const auto end = frames.find(R"(","eol":)", at);
    out += frames.substr(at, end - at);
    if (frames.substr(end + 8, 4) == "true")
      out += '\n';
  }
  return out;
}

class StreamHub : public testing::Test {
protected:
  StreamHub() {
    opened.project = "demo";
    opened.command = command_id::make();
    opened.key = key_id::make();
    opened.from = {seq_running, 0};
  }

  // Every question is answered once in the end.
  ~StreamHub() override {
    while (!house.asked.empty())
      house.say(answer<stream_news>(refusal{refusal_code::service_unavailable, "", {}, {}}));
  }
  reading& open(std::optional<event_position> from = {}, framing how = framing::line) {
    auto what = opened;
    what.from = from.value_or(opened.from);
    auto& out = readers.emplace_back();
    out.from = hub.open(what, how);
    out.next();
    EXPECT_THAT(out.latest, StartsWith("retry: 1000\n\nevent: connected\ndata: "));
    return out;
  }
  static stream_news page(std::uint32_t seq, std::string text, std::uint32_t from = 0) {
    stream_news out;
    out.events.emplace();
    chunk c;
    c.seq = seq;
    c.bytes = std::make_shared<const std::string>(std::move(text));
    out.events->first_pos = from;
    out.events->next = {seq, static_cast<std::uint32_t>(c.bytes->size())};
    out.events->chunks.push_back(std::move(c));
    return out;
  }

  scripted_house house;
  stream_hub hub{house, 15s};
  std::deque<reading> readers;
  stream_opened opened;
};

TEST_F(StreamHub, AsksOnceForAllWhoWaitAtOnePlaceAndGivesThemTheSameBytes) {
  auto& one = open();
  auto& other = open();
  one.next();
  other.next();
  ASSERT_EQ(house.asked.size(), 1U);
  EXPECT_EQ(house.asked[0].position, opened.from);
  EXPECT_EQ(house.asked[0].wait, 15s);
  EXPECT_EQ(house.asked[0].opened.command, opened.command);
  house.say(page(3, "hello\n"));
  EXPECT_EQ(output_in(one.latest), "hello\n");
  EXPECT_EQ(one.where, other.where) << "shared, not copied";
  EXPECT_FALSE(one.last);
}

TEST_F(StreamHub, SharesNothingBetweenKeysFramingsAndCommands) {
  auto& one = open();
  auto& chunks = open({}, framing::chunk);
  opened.key = key_id::make();
  auto& other_key = open();
  opened.command = command_id::make();
  auto& other_command = open();
  for (auto* r : {&one, &chunks, &other_key, &other_command})
    r->next();
  EXPECT_EQ(house.asked.size(), 4U);
  house.say(page(3, "hello\n"));
  EXPECT_TRUE(chunks.waits && other_key.waits && other_command.waits);
  house.say(page(3, "hello\n"));
  EXPECT_THAT(chunks.latest, HasSubstr(R"("data":"hello\n")"));
}

TEST_F(StreamHub, ServesWhoIsALittleLateWithoutAsking) {
  auto& fast = open();
  auto& slow = open();
  for (std::uint32_t seq = 3; seq < 10; ++seq) {
    fast.next();
    house.say(page(seq, std::to_string(seq) + "\n"));
  }
  slow.next();
  EXPECT_TRUE(house.asked.empty());
  EXPECT_FALSE(slow.waits);
  EXPECT_EQ(output_in(slow.text), output_in(fast.text)) << "in one piece, as it is little";
  slow.next();
  fast.next();
  EXPECT_EQ(house.asked.size(), 1U) << "both have seen everything";
}

TEST_F(StreamHub, AsksForWhoIsFarBehindFromItsOwnPlace) {
  auto& fast = open();
  auto& slow = open();
  const std::string text(60'000, 'x');
  for (std::uint32_t seq = 3; seq < 40; ++seq) {
    fast.next();
    house.say(page(seq, text));
  }
  slow.next();
  ASSERT_EQ(house.asked.size(), 1U);
  EXPECT_EQ(house.asked[0].position, opened.from);
  house.say(page(3, text));
  EXPECT_EQ(output_in(slow.latest), text);
}

TEST_F(StreamHub, ForgetsWhatItKeptWhenNothingIsGoingOn) {
  auto& fast = open();
  auto& slow = open();
  fast.next();
  house.say(page(3, "hello\n"));
  fast.next();
  house.say(stream_news{}); // nothing for the time of a heartbeat
  EXPECT_TRUE(fast.waits) << "heartbeats are the connection's";
  slow.next();
  ASSERT_EQ(house.asked.size(), 2U);
  EXPECT_EQ(house.asked[0].position, (event_position{3, 6}));
  EXPECT_EQ(house.asked[1].position, opened.from);
}

TEST_F(StreamHub, AsksOnForThoseWhoAreStillThere) {
  auto& stays = open();
  auto& goes = open();
  stays.next();
  goes.next();
  goes.from.reset();
  house.say(stream_news{});
  ASSERT_EQ(house.asked.size(), 1U);
  stays.from.reset();
  house.say(stream_news{});
  EXPECT_TRUE(house.asked.empty()) << "nobody is there any more";
  EXPECT_TRUE(stays.waits && goes.waits);
}

TEST_F(StreamHub, SaysHowASilentConnectionShowsThatItLives) {
  const auto& one = open();
  EXPECT_EQ(one.from->heartbeat_interval(), 15s);
  EXPECT_THAT(one.from->heartbeat(), StartsWith("event: heartbeat\ndata: {\"timestamp\":\""));
  EXPECT_THAT(one.from->heartbeat(), EndsWith("Z\"}\n\n"));
}

TEST_F(StreamHub, EndsWithComplete) {
  auto& one = open();
  auto& late = open();
  one.next();
  auto end = page(3, "bye\n");
  end.events->completed.emplace();
  end.events->next = {4, 0};
  house.say(end);
  late.next();
  for (const auto* r : {&one, &late}) {
    EXPECT_TRUE(r->last);
    EXPECT_THAT(r->latest, HasSubstr("id: 4-0\nevent: complete\n"));
  }
}

TEST_F(StreamHub, EndsAtARefusal) {
  auto& one = open();
  auto& other = open();
  one.next();
  other.next();
  house.say(answer<stream_news>(refusal{refusal_code::key_revoked, "gone", {}, {}}));
  EXPECT_TRUE(one.last && other.last);
  EXPECT_EQ(one.latest, "event: error\ndata: {\"code\":\"KEY_REVOKED\",\"message\":\"gone\"}\n\n");
}

TEST_F(StreamHub, ForgetsAStreamThatNobodyReadsAnyMore) {
  for (int i = 0; i < 2; ++i) {
    auto& one = open();
    one.next();
    house.say(page(3, "hello\n"));
    one.from.reset();
  }
  auto& next = open();
  next.next();
  EXPECT_TRUE(next.waits) << "nothing is kept of what the former readers read";
}

TEST_F(StreamHub, GivesARevokedKeyNothingOfWhatIsKept) {
  auto& fast = open();
  auto& slow = open();
  fast.next();
  house.say(page(3, "secret\n"));
  fast.next();
  house.say(answer<stream_news>(refusal{refusal_code::key_revoked, "gone", {}, {}}));
  slow.next();
  ASSERT_EQ(house.asked.size(), 1U);
  house.say(answer<stream_news>(refusal{refusal_code::key_revoked, "gone", {}, {}}));
  EXPECT_THAT(slow.text, Not(HasSubstr("secret")));
  EXPECT_TRUE(slow.last);
}

TEST_F(StreamHub, TellsWhenToComeAgainWhileTheHouseIsAwayOrLeaves) {
  auto& one = open();
  one.next();
  house.say(answer<stream_news>(refusal{refusal_code::service_unavailable, "away", {}, {}}));
  EXPECT_EQ(one.latest, "retry: 1000\n\n");
  EXPECT_TRUE(one.last);
  auto& other = open();
  other.next();
  stream_news leaving;
  leaving.draining = true;
  house.say(leaving);
  EXPECT_EQ(other.latest, "retry: 1000\n\n");
  EXPECT_TRUE(other.last);
}

TEST_F(StreamHub, TellsEveryReaderOfAProjectWhatBecameOfIt) {
  opened.command.reset();
  auto& one = open();
  auto& other = open();
  one.next();
  other.next();
  stream_news news;
  news.project_status.emplace();
  news.project_status->id = "demo";
  house.say(news);
  EXPECT_THAT(one.latest, HasSubstr("event: status"));
  EXPECT_EQ(one.latest, other.latest);
  EXPECT_FALSE(one.last);
  one.next();
  EXPECT_TRUE(one.waits) << "what was said is not said again";
}

TEST_F(StreamHub, HarmsNobodyWhenAReaderGoesWhileItWaits) {
  auto& stays = open();
  auto& goes = open();
  goes.next();
  stays.next();
  goes.from.reset();
  house.say(page(3, "hello\n"));
  EXPECT_EQ(output_in(stays.latest), "hello\n");
}

TEST_F(StreamHub, TakesAnswersThatComeBeforeTheQuestionIsOver) {
  std::uint32_t seq = 2;
  house.at_once = [&](event_position from) -> answer<stream_news> {
    EXPECT_EQ(from.seq, seq);
    return page(++seq, "x\n");
  };
  auto& one = open();
  for (int i = 0; i < 1000; ++i)
    one.next();
  EXPECT_EQ(output_in(one.text).size(), 2000U);
}

TEST_F(StreamHub, CutsLargePagesIntoPartsAndAsksForTheRest) {
  const std::string text(60'000, '\n'); // frames of this are a hundred times as large
  std::set<std::uint32_t> places;
  house.at_once = [&](event_position from) -> answer<stream_news> {
    EXPECT_TRUE(places.insert(from.pos).second) << "nothing is asked for twice";
    if (from.seq == 3 && from.pos == text.size()) {
      stream_news end;
      end.events.emplace();
      end.events->completed.emplace();
      end.events->next = {4, 0};
      return end;
    }
    return page(3, text, from.seq == 3 ? from.pos : 0);
  };
  auto& one = open();
  while (!one.last) {
    one.next();
    ASSERT_LE(one.latest.size(), 2 * part_bytes);
    ASSERT_FALSE(one.latest.empty());
  }
  EXPECT_EQ(output_in(one.text), text);
}

// The output of a command, as a store has it.
class stored_output {
public:
  explicit stored_output(test::seeded& random) {
    for (auto seq = seq_first_chunk; seq < 60; ++seq) {
      std::string text;
      for (auto n = 1 + random.below(6); n > 0; --n)
        text += std::string(random.below(random.one_in(4) ? 30'000 : 30), 'a') + "\n";
      begins_[seq] = whole_.size();
      whole_ += text;
      chunks_[seq] = std::make_shared<const std::string>(std::move(text));
    }
  }
  // Just behind some line.
  [[nodiscard]] event_position place(test::seeded& random) const {
    const auto seq = static_cast<std::uint32_t>(seq_first_chunk + random.below(chunks_.size()));
    const auto& text = *chunks_.at(seq);
    return {seq, static_cast<std::uint32_t>(text.find('\n', random.below(text.size())) + 1)};
  }
  [[nodiscard]] std::string behind(event_position from) const {
    return whole_.substr(begins_.at(from.seq) + from.pos);
  }
  // A page of any size that begins there.
  [[nodiscard]] stream_news page(event_position from, test::seeded& random) const {
    stream_news out;
    out.events.emplace();
    auto seq = std::max(from.seq, seq_first_chunk);
    auto pos = from.seq >= seq_first_chunk ? from.pos : 0;
    if (pos == chunks_.at(seq)->size()) {
      ++seq;
      pos = 0;
    }
    out.events->first_pos = pos;
    for (auto n = 1 + random.below(5); n > 0 && chunks_.contains(seq); --n, ++seq) {
      chunk c;
      c.seq = seq;
      c.bytes = chunks_.at(seq);
      out.events->next = {seq, static_cast<std::uint32_t>(c.bytes->size())};
      out.events->chunks.push_back(std::move(c));
    }
    if (!chunks_.contains(seq)) {
      out.events->completed.emplace();
      out.events->next = {seq, 0};
    }
    return out;
  }

private:
  std::string whole_;
  std::map<std::uint32_t, std::size_t> begins_; // of chunk seq in `whole_`
  std::map<std::uint32_t, std::shared_ptr<const std::string>> chunks_;
};

// Many readers that begin anywhere and take pieces in any order: each gets exactly what lies behind its place.
TEST_F(StreamHub, LosesAndRepeatsNothing) {
  test::seeded random(17);
  const stored_output stored(random);
  house.at_once = [&](event_position from) -> answer<stream_news> { return stored.page(from, random); };
  std::vector<std::pair<reading*, std::string>> all;
  for (int i = 0; i < 60; ++i) {
    const auto place = stored.place(random);
    all.emplace_back(&open(place), stored.behind(place));
  }
  for (std::size_t left = all.size(); left > 0;) {
    auto& [one, expected] = all[random.below(all.size())];
    if (one->last)
      continue;
    one->next();
    if (!one->last)
      continue;
    --left;
    ASSERT_EQ(output_in(one->text), expected);
    ASSERT_THAT(one->text, EndsWith("\n\n"));
  }
}

// The same when answers are late, come in any order and are nothing now and then, and when some readers go.
TEST_F(StreamHub, LosesAndRepeatsNothingWhenAnswersAreLate) {
  constexpr int most_turns = 5'000'000; // many more than it takes
  test::seeded random(19);
  const stored_output stored(random);
  std::vector<std::pair<reading*, std::string>> all;
  for (int i = 0; i < 60; ++i) {
    const auto place = stored.place(random);
    all.emplace_back(&open(place), stored.behind(place));
  }
  int turns = 0;
  for (std::size_t left = all.size(); left > 0;) {
    ASSERT_LT(++turns, most_turns) << "somebody waits, and nobody has been asked";
    if (random.one_in(2) && !house.asked.empty()) {
      std::swap(house.asked.front(), house.asked[random.below(house.asked.size())]);
      const auto from = house.asked.front().position;
      house.say(random.one_in(8) ? stream_news{} : stored.page(from, random));
      continue;
    }
    auto& [one, expected] = all[random.below(all.size())];
    if (!one->from)
      continue;
    const bool goes = one->waits && random.one_in(100);
    if (one->last) {
      ASSERT_EQ(output_in(one->text), expected);
    }
    if (one->last || goes) {
      one->from.reset();
      --left;
    } else if (!one->waits) {
      one->next();
    }
  }
}

// For the thread sanitizer: readers come, ask and go while others are answered.
TEST_F(StreamHub, TakesManyThreads) {
  constexpr int readers_each = 200;
  std::jthread answering([this](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::unique_lock lock(house.mutex);
      if (house.asked.empty()) {
        lock.unlock();
        std::this_thread::yield();
        continue;
      }
      auto one = std::move(house.asked.back());
      house.asked.pop_back();
      lock.unlock();
      if (one.position.seq >= 8)
        one.done(answer<stream_news>(refusal{refusal_code::gone, "over", {}, {}}));
      else
        one.done(page(one.position.seq + 1, "x\n"));
    }
  });
  std::vector<std::jthread> reading_threads;
  for (int t = 0; t < 4; ++t)
    reading_threads.emplace_back([this] {
      for (int i = 0; i < readers_each; ++i) {
        const auto one = hub.open(opened, framing::line);
        std::string text;
        for (bool last = false; !last;) {
          std::promise<feed::piece> came;
          one->next([&](feed::piece p) { came.set_value(std::move(p)); });
          const auto p = came.get_future().get();
          for (const auto& s : p.slices)
            text += s.bytes;
          last = p.last;
        }
        EXPECT_EQ(output_in(text), "x\nx\nx\nx\nx\nx\n");
      }
    });
  reading_threads.clear();
}

} // namespace
} // namespace rdev::http
