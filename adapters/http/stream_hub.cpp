#include "adapters/http/stream_hub.hpp"

#include "adapters/http/event_frames.hpp"

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <mutex>
#include <tuple>

namespace rdev::http {

namespace {

constexpr std::size_t made_bytes = 512 * 1024;     // of frames, of one page of the house
constexpr std::size_t kept_bytes = 2 * made_bytes; // of a topic's frames, for those who are a little late
constexpr std::size_t kept_parts = 256;
constexpr std::size_t most_slices = 64; // in one piece

// Readers with different keys do not share: a stream ends when its key is revoked.
using topic_key = std::tuple<std::string, std::optional<command_id>, framing, key_id>;

// What can be sent at once of the parts behind `at`; moves `at` behind them.
template <class Parts>
feed::piece piece_behind(event_position& at, const Parts& parts) {
  feed::piece out;
  std::size_t size = 0;
  for (const stream_part& part : parts) {
    if (part.from != at)
      continue;
    out.slices.push_back(slice_of(part.bytes));
    out.last = part.last;
    at = part.to;
    size += part.bytes->size();
    if (out.last || size >= part_bytes || out.slices.size() == most_slices)
      break;
  }
  return out;
}

feed::piece piece_of(std::string text, bool last) {
  return {{slice_of(std::make_shared<const std::string>(std::move(text)))}, last};
}

} // namespace

struct stream_hub::directory {
  std::mutex mutex;
  std::map<topic_key, std::weak_ptr<topic>> topics;
};

// What readers of one stream share.
struct stream_hub::topic : std::enable_shared_from_this<topic> {
  struct waiting {
    std::shared_ptr<reader> who;
    feed::deliver done;
  };
  using crowd = std::vector<waiting>;

  topic(api& h, stream_opened what, framing f, std::chrono::milliseconds beat, topic_key k,
        std::shared_ptr<directory> d)
      : house(h), opened(std::move(what)), how(f), heartbeat(beat), key(std::move(k)), listed_in(std::move(d)) {
  }
  topic(const topic&) = delete;
  topic& operator=(const topic&) = delete;
  ~topic();

  void next(std::shared_ptr<reader> who, const feed::deliver& done);
  void ask(event_position from);
  void on_news(event_position from, const answer<stream_news>& news);
  void on_nothing(event_position from);
  void keep(const std::vector<stream_part>& parts);
  void forget();
  crowd asking_from(event_position from);

  api& house;
  const stream_opened opened;
  const framing how;
  const std::chrono::milliseconds heartbeat;
  const topic_key key;
  const std::shared_ptr<directory> listed_in;

  std::mutex mutex;
  std::map<event_position, crowd> asked; // by what the house has been asked for
  std::deque<stream_part> kept;          // the latest, in the order in which they came
  std::size_t kept_size = 0;
};

class stream_hub::reader final : public feed, public std::enable_shared_from_this<reader> {
public:
  reader(std::shared_ptr<topic> of, const stream_opened& opened) : topic_(std::move(of)), at(opened.from) {
    greeting_ = std::make_shared<const std::string>(connected_frames(opened));
  }

  void next(deliver done) override {
    if (greeting_)
      return done({{slice_of(std::move(greeting_))}, false});
    topic_->next(shared_from_this(), done);
  }
  [[nodiscard]] std::chrono::milliseconds heartbeat_interval() const override;
  [[nodiscard]] std::string heartbeat() const override {
    return heartbeat_frame();
  }

private:
  std::shared_ptr<topic> topic_;
  std::shared_ptr<const std::string> greeting_;

public:
  event_position at; // what has been handed out
};

std::chrono::milliseconds stream_hub::reader::heartbeat_interval() const {
  return topic_->heartbeat;
}

stream_hub::topic::~topic() {
  std::lock_guard guard(listed_in->mutex);
  const auto found = listed_in->topics.find(key);
  if (found != listed_in->topics.end() && found->second.expired()) // a successor may be there already
    listed_in->topics.erase(found);
}

void stream_hub::topic::keep(const std::vector<stream_part>& parts) {
  for (const auto& part : parts) {
    kept.push_back(part);
    kept_size += part.bytes->size();
    while (kept.size() > kept_parts || kept_size > kept_bytes) {
      kept_size -= kept.front().bytes->size();
      kept.pop_front();
    }
  }
}

void stream_hub::topic::forget() {
  kept.clear();
  kept_size = 0;
}

void stream_hub::topic::next(std::shared_ptr<reader> who, const feed::deliver& done) {
  feed::piece late;
  bool first = false;
  const auto from = who->at;
  {
    std::lock_guard guard(mutex);
    late = piece_behind(who->at, kept);
    if (late.slices.empty()) {
      auto& others = asked[from];
      first = others.empty();
      others.push_back({std::move(who), done});
    }
  }
  if (!late.slices.empty())
    return done(std::move(late));
  if (first)
    ask(from);
}

void stream_hub::topic::ask(event_position from) {
  house.next(opened, from, heartbeat,
             [self = shared_from_this(), from](const answer<stream_news>& news) { self->on_news(from, news); });
}

stream_hub::topic::crowd stream_hub::topic::asking_from(event_position from) {
  const auto found = asked.find(from);
  if (found == asked.end())
    return {};
  auto out = std::move(found->second);
  asked.erase(found);
  return out;
}

void stream_hub::topic::on_news(event_position from, const answer<stream_news>& news) {
  feed::piece all; // the same for everybody
  std::vector<stream_part> parts;
  auto to = from;
  if (news && news->events) {
    parts = parts_of(*news->events, from, how, made_bytes);
    all = piece_behind(to, parts);
  } else if (!news) {
    // A part of the house was away: the client comes again with the last id that it saw.
    const bool away = news.why().code == refusal_code::service_unavailable;
    all = piece_of(away ? retry_frame : error_frame(news.why()), true);
  } else if (news->draining) {
    all = piece_of(retry_frame, true);
  } else if (news->project_status) {
    all = piece_of(status_frame(*news->project_status), false);
  } else {
    return on_nothing(from);
  }
  crowd everybody;
  {
    std::lock_guard guard(mutex);
    everybody = asking_from(from);
    keep(parts);
    if (parts.empty())
      forget(); // a key that was revoked reads nothing more
    for (const auto& one : everybody)
      one.who->at = to;
  }
  for (auto& one : everybody)
    one.done(all);
}

// For a while nothing has come: nobody is a little late any more, and some of those who wait may have gone.
void stream_hub::topic::on_nothing(event_position from) {
  crowd gone;
  {
    std::lock_guard guard(mutex);
    forget();
    auto& waiting_here = asked[from];
    const auto stay = std::partition(waiting_here.begin(), waiting_here.end(),
                                     [](const waiting& one) { return one.who.use_count() > 1; });
    gone.assign(std::move_iterator(stay), std::move_iterator(waiting_here.end()));
    waiting_here.erase(stay, waiting_here.end());
    if (waiting_here.empty()) {
      asked.erase(from);
      return;
    }
  }
  ask(from);
}

stream_hub::stream_hub(api& house, std::chrono::milliseconds heartbeat)
    : house_(house), heartbeat_(heartbeat), topics_(std::make_shared<directory>()) {
}

stream_hub::~stream_hub() = default;

std::shared_ptr<feed> stream_hub::open(const stream_opened& opened, framing how) {
  const topic_key key{opened.project, opened.command, how, opened.key};
  std::shared_ptr<topic> of;
  {
    std::lock_guard guard(topics_->mutex);
    auto& listed = topics_->topics[key];
    of = listed.lock();
    if (!of) {
      of = std::make_shared<topic>(house_, opened, how, heartbeat_, key, topics_);
      listed = of;
    }
  }
  return std::make_shared<reader>(std::move(of), opened);
}

} // namespace rdev::http
