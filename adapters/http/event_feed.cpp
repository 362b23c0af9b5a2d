#include "adapters/http/event_feed.hpp"

#include "adapters/crypto.hpp"
#include "adapters/http/render.hpp"
#include "adapters/json/json.hpp"

namespace rdev::http {

namespace {

using json::writer;

constexpr const char* retry_line = "retry: 1000\n\n"; // milliseconds until a client comes back

// `id:` only where there is one.
void add_frame(std::string& out, std::string_view event, std::optional<event_position> id, const std::string& data) {
  if (id) {
    out += "id: ";
    out += to_event_id(*id);
    out += '\n';
  }
  out += "event: ";
  out += event;
  out += "\ndata: ";
  out += data;
  out += "\n\n";
}

std::string connected(const stream_opened& opened) {
  writer data;
  data.begin_object().key("project").string(opened.project).key("stream_id");
  opened.command ? data.string(opened.command->text()) : data.null();
  data.key("reconnecting").boolean(!opened.from_start).end_object();
  return data.take();
}

std::string status(std::string_view name) {
  writer data;
  data.begin_object().key("status").string(name).end_object();
  return data.take();
}

std::string heartbeat() {
  writer data;
  data.begin_object().key("timestamp").string(to_rfc3339(now_utc())).end_object();
  return data.take();
}

std::string error(std::string_view code, std::string_view message) {
  writer data;
  data.begin_object().key("code").string(code).key("message").string(message).end_object();
  return data.take();
}

std::string output(const frame& f, framing how) {
  const bool text = valid_utf8(f.bytes);
  writer data;
  data.begin_object().key("stream").string(name_of(f.stream)).key(how == framing::line ? "line" : "data");
  text ? data.valid_string(f.bytes) : data.valid_string(to_base64(f.bytes));
  if (how == framing::line)
    data.key("eol").boolean(f.eol);
  data.key("encoding").string(text ? "utf-8" : "base64").key("offset").unsigned_integer(f.offset).end_object();
  return data.take();
}

std::string complete(const command_result& r) {
  writer data;
  data.begin_object().key("status").string(name_of(r.status)).key("exit_code");
  r.exit_code ? data.integer(*r.exit_code) : data.null();
  data.key("signal");
  r.signal ? data.string(*r.signal) : data.null();
  data.key("reason");
  r.reason ? data.string(*r.reason) : data.null();
  data.key("duration_ms");
  const auto took = duration_ms(r.started_at, r.finished_at);
  took ? data.integer(*took) : data.null();
  data.key("stdout");
  write_receipt(data, r.out);
  data.key("stderr");
  write_receipt(data, r.err);
  data.key("complete").boolean(r.complete).end_object();
  return data.take();
}

class event_feed final : public feed, public std::enable_shared_from_this<event_feed> {
public:
  event_feed(api& house, stream_opened opened, const event_feed_config& config)
      : house_(house), opened_(std::move(opened)), position_(opened_.from), config_(config) {
  }

  void next(deliver done) override {
    if (!greeted_) {
      greeted_ = true;
      std::string out = retry_line;
      add_frame(out, "connected", std::nullopt, connected(opened_));
      return done({std::move(out), false});
    }
    house_.next(opened_, position_, config_.heartbeat,
                [self = shared_from_this(), done = std::move(done)](const answer<stream_news>& news) {
                  done(self->piece_of(news));
                });
  }

private:
  piece piece_of(const answer<stream_news>& news) {
    piece out;
    if (!news) {
      // A part of the house was away: the client comes again with the last id that it saw.
      if (news.why().code == refusal_code::service_unavailable)
        out.bytes = retry_line;
      else
        add_frame(out.bytes, "error", std::nullopt, error(name_of(news.why().code), news.why().message));
      out.last = true;
      return out;
    }
    if (news->draining) {
      out.bytes = retry_line;
      out.last = true;
    } else if (news->events) {
      out.bytes = frames_of(*news->events, config_.how);
      out.last = news->events->completed.has_value();
      position_ = news->events->next;
    } else if (news->project_status) {
      writer data;
      write_project(data, *news->project_status);
      add_frame(out.bytes, "status", std::nullopt, data.take());
    } else {
      add_frame(out.bytes, "heartbeat", std::nullopt, heartbeat());
    }
    return out;
  }

  api& house_;
  stream_opened opened_;
  event_position position_;
  event_feed_config config_;
  bool greeted_ = false;
};

} // namespace

std::string frames_of(const event_page& page, framing how) {
  std::string out;
  if (page.queued)
    add_frame(out, "status", event_position{seq_queued, 0}, status("queued"));
  if (page.running)
    add_frame(out, "status", event_position{seq_running, 0}, status("running"));
  auto from = page.first_pos;
  for (const auto& c : page.chunks) {
    if (c.truncation_marker)
      add_frame(
          out, "error", std::nullopt,
          error("OUTPUT_TRUNCATED", "the output has reached output.max_bytes; what follows is counted but not stored"));
    cut_frames(c, from, how, [&](const frame& f) { add_frame(out, "output", f.position, output(f, how)); });
    from = 0;
  }
  if (page.completed)
    add_frame(out, "complete", page.next, complete(*page.completed));
  return out;
}

std::shared_ptr<feed> make_event_feed(api& house, stream_opened opened, const event_feed_config& config) {
  return std::make_shared<event_feed>(house, std::move(opened), config);
}

} // namespace rdev::http
