#include "adapters/http/event_frames.hpp"

#include "adapters/crypto.hpp"
#include "adapters/http/render.hpp"
#include "adapters/json/json.hpp"

namespace rdev::http {

namespace {

using json::writer;

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

std::string status(std::string_view name) {
  writer data;
  data.begin_object().key("status").string(name).end_object();
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

// Collects frames into parts.
class parts {
public:
  parts(event_position from, std::size_t most) : from_(from), most_(most) {
  }
  [[nodiscard]] bool full() const {
    return total_ + text_.size() >= most_;
  }
  void add(std::string_view event, std::optional<event_position> id, const std::string& data) {
    add_frame(text_, event, id, data);
    if (!id)
      return;
    pass(*id);
    if (text_.size() >= part_bytes)
      cut(at_);
  }
  void pass(event_position to) {
    at_ = to;
  }
  void cut(event_position to) {
    if (text_.empty() && to == from_)
      return;
    total_ += text_.size();
    done_.push_back({from_, to, false, std::make_shared<const std::string>(std::move(text_))});
    text_.clear();
    from_ = to;
  }
  std::vector<stream_part> take(event_position to, bool last) {
    cut(to);
    if (!done_.empty())
      done_.back().last = last;
    return std::move(done_);
  }
  [[nodiscard]] event_position at() const {
    return at_;
  }

private:
  event_position from_;
  event_position at_ = from_;
  std::size_t most_;
  std::size_t total_ = 0;
  std::string text_;
  std::vector<stream_part> done_;
};

} // namespace

std::string connected_frames(const stream_opened& opened) {
  writer data;
  data.begin_object().key("project").string(opened.project).key("stream_id");
  opened.command ? data.string(opened.command->text()) : data.null();
  data.key("reconnecting").boolean(!opened.from_start).end_object();
  std::string out = retry_frame;
  add_frame(out, "connected", std::nullopt, data.take());
  return out;
}

std::string heartbeat_frame() {
  writer data;
  data.begin_object().key("timestamp").string(to_rfc3339(now_utc())).end_object();
  std::string out;
  add_frame(out, "heartbeat", std::nullopt, data.take());
  return out;
}

std::string status_frame(const project& what) {
  writer data;
  write_project(data, what);
  std::string out;
  add_frame(out, "status", std::nullopt, data.take());
  return out;
}

std::string error_frame(const refusal& why) {
  std::string out;
  add_frame(out, "error", std::nullopt, error(name_of(why.code), why.message));
  return out;
}

std::vector<stream_part> parts_of(const event_page& page, event_position from, framing how, std::size_t most_bytes) {
  parts out(from, most_bytes);
  if (page.queued)
    out.add("status", event_position{seq_queued, 0}, status("queued"));
  if (page.running)
    out.add("status", event_position{seq_running, 0}, status("running"));
  auto first = page.first_pos;
  for (const auto& c : page.chunks) {
    if (c.truncation_marker) {
      out.add(
          "error", std::nullopt,
          error("OUTPUT_TRUNCATED", "the output has reached output.max_bytes; what follows is counted but not stored"));
      out.pass({c.seq, 0});
    }
    cut_frames(c, first, how, [&](const frame& f) {
      if (!out.full())
        out.add("output", f.position, output(f, how));
    });
    first = 0;
    if (out.full())
      return out.take(out.at(), false);
  }
  if (page.completed)
    out.add("complete", page.next, complete(*page.completed));
  return out.take(page.next, page.completed.has_value());
}

} // namespace rdev::http
