#include "adapters/http/request_handler.hpp"

#include "adapters/crypto.hpp"
#include "adapters/http/asker.hpp"
#include "adapters/http/bodies.hpp"
#include "adapters/http/byte_feed.hpp"
#include "adapters/http/docs_page.hpp"
#include "adapters/http/openapi.hpp"
#include "adapters/http/render.hpp"
#include "adapters/http/routes.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>

namespace rdev::http {

namespace {

using clock = std::chrono::steady_clock;

constexpr const char* unmatched = "unmatched";

bool is_json(std::string_view content_type) {
  auto type = std::string(content_type.substr(0, content_type.find(';')));
  while (!type.empty() && type.back() == ' ')
    type.pop_back();
  std::transform(type.begin(), type.end(), type.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return type == "application/json";
}

// A client may invent methods; a counter may not have a label for each.
std::string_view method_label(std::string_view method) {
  for (const std::string_view known : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
    if (method == known)
      return known;
  return "other";
}

bool visible_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 33 && c <= 126; });
}

std::string whole_seconds(std::chrono::milliseconds d) {
  return std::to_string(std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(d).count()));
}

// What is wrong with the fields of the head, whatever the route is.
std::vector<field_problem> problems_of_head(const request& asked) {
  std::vector<field_problem> out;
  const auto key = asked.field("idempotency-key");
  if (!asked.agrees("idempotency-key"))
    out.push_back({"Idempotency-Key", given_differently});
  else if (asked.has("idempotency-key") && (key.empty() || key.size() > 255 || !visible_ascii(key)))
    out.push_back({"Idempotency-Key", "must be 1 to 255 visible ASCII characters"});
  return out;
}

// What the route makes of the request, or the refusal with all that is wrong with its head, its query and its body.
answer<operation> operation_of(const request& asked, const parameters& path, const route& where,
                               const server_rules& here) {
  // What was accepted once is answered like the first time, whatever the settings say by now: its owner knows.
  const server_rules for_repeats{here.max_timeout, {}, {}, {}};
  const auto& rules = asked.has("idempotency-key") ? for_repeats : here;
  if (where.takes_body() && !asked.body.empty() && !is_json(asked.field("content-type")))
    return refusal{refusal_code::unsupported_media_type, "the body must be application/json", {}, {}};
  if (const auto coding = asked.field("content-encoding"); !coding.empty() && coding != "identity")
    return refusal{refusal_code::unsupported_media_type, "the body must not be compressed", {}, {}};
  auto problems = problems_of_head(asked);
  auto query = parse_query(asked.query());
  if (!query)
    problems.push_back({"query", "has a % that is not followed by two hexadecimal digits"});
  if (!query && !where.takes_body()) // what its parameters are is not known
    return bad_request(std::move(problems));
  auto made =
      where.make({path, std::move(query).value_or(parameters{}), asked.body, std::string(asked.field("last-event-id")),
                  asked.field("accept").find("application/octet-stream") != std::string_view::npos, &rules});
  if (problems.empty())
    return made;
  if (!made && made.why().code == refusal_code::bad_request)
    std::move(made.why().details.begin(), made.why().details.end(), std::back_inserter(problems));
  return bad_request(std::move(problems));
}

} // namespace

// What the request brought of secrets, hidden until its line has been logged. Shared with the recipe, which is the
// first to know them.
struct request_handler::secrets {
  std::vector<redactor::registration> hidden;

  void hide(const answer<operation>& made, const redactor& by) {
    const auto* submission = made ? std::get_if<submit_command>(&*made) : nullptr;
    if (submission == nullptr)
      return;
    for (const auto& one : submission->what.env)
      hidden.push_back(by.hide(one.value));
  }
};

// What was asked. Shared with the recipe, which may run after the reply when the house was late.
struct request_handler::wish {
  request asked;
  parameters path;
};

// One request under way.
struct request_handler::exchange {
  request_context from;
  const route* where = nullptr;
  std::shared_ptr<const wish> in; // until the reply goes out: an open stream need not keep it
  std::shared_ptr<secrets> hidden = std::make_shared<secrets>();
  answer_to done;
  clock::time_point began = clock::now();
  std::string key_prefix;
  std::optional<refusal_code> refused;
  bool stream = false; // an event stream

  [[nodiscard]] std::string_view pattern() const {
    return where != nullptr ? where->pattern : unmatched;
  }
};

request_handler::request_handler(api& house, log& out, metrics& counters, handler_config config)
    : house_(house), log_(out), metrics_(counters), config_(std::move(config)), streams_(house, config_.heartbeat) {
}

request_handler::under_way request_handler::take_in(const request& asked, const ip_address& peer) const {
  auto x = std::make_shared<exchange>();
  x->from = context_of(asked, peer, config_.trusted_proxies, config_.hidden_by);
  return x;
}

void request_handler::handle(request asked, const ip_address& peer, answer_to done) {
  const auto x = take_in(asked, peer);
  x->done = std::move(done);
  auto found = find_route(asked.method, asked.path());
  if (found && found->found != nullptr) {
    x->where = found->found;
    x->in = std::make_shared<const wish>(wish{std::move(asked), std::move(found->path)});
  }
  metrics_.request_started(method_label(x->from.method), x->pattern());
  if (x->where != nullptr)
    return x->where->needed ? ask_house(x) : answer_open_route(x);
  if (!found)
    return send(x, refused(x, bad_request("path", "has a % that is not followed by two hexadecimal digits")));
  if (found->allowed.empty())
    return send(x, refused(x, {refusal_code::not_found, "there is no such route; see /openapi.json", {}, {}}));
  auto out = refused(x, {refusal_code::method_not_allowed, "this route has no method " + x->from.method, {}, {}});
  std::string allowed;
  for (const auto method : found->allowed)
    allowed += (allowed.empty() ? "" : ", ") + std::string(method);
  out.fields.emplace_back("Allow", allowed);
  send(x, std::move(out));
}

reply request_handler::refuse(const refusal& why, const ip_address& peer, const request& asked) {
  const auto x = take_in(asked, peer);
  if (x->from.method.empty())
    x->from.method = "-";
  metrics_.request_started(method_label(x->from.method), unmatched);
  auto out = refused(x, why);
  out.close = true;
  watch_end(x, out);
  return out;
}

// Without the house, which is told of it.
reply request_handler::refused(const under_way& x, const refusal& why) {
  house_.note_refused(x->from, why);
  return failure_reply(x, why);
}

void request_handler::answer_open_route(const under_way& x) {
  reply out;
  const auto which = x->where->operation;
  if (which == "health") {
    out.body = R"({"status":"ok"})";
  } else if (which == "ready") {
    bool good = false;
    out.body = render_ready(house_.ready(), good);
    out.status = good ? 200 : 503;
    if (!good)
      out.fields.emplace_back("Retry-After", "1");
  } else if (which == "metrics") {
    out.type = "text/plain; version=0.0.4; charset=utf-8";
    out.body = metrics_.text();
  } else if (which == "openapi") {
    out.body = openapi_json;
  } else {
    out.type = "text/html; charset=utf-8";
    out.body = docs_page;
    out.fields.emplace_back("Content-Security-Policy", docs_page_policy);
  }
  out.fields.emplace_back("X-Request-ID", x->from.request_id);
  send(x, std::move(out));
}

void request_handler::ask_house(const under_way& x) {
  const auto& [asked, path] = *x->in;
  if (x->where->body == body_rule::needed && !asked.framed) {
    auto out =
        refused(x, {refusal_code::length_required, "this route needs a body: send Content-Length or chunks", {}, {}});
    out.close = true; // a body may follow all the same
    return send(x, std::move(out));
  }
  api_request wanted;
  wanted.from = x->from;
  wanted.credential = credential_of(asked);
  wanted.needed = *x->where->needed;
  if (x->where->pattern.starts_with("/projects/{id}"))
    wanted.project = path.at("id");
  if (asked.has("idempotency-key") && asked.method == "POST")
    wanted.idempotency = idempotency{std::string(asked.field("idempotency-key")), sha256(asked.body)};
  wanted.recipe = [in = x->in, where = x->where, here = config_.allowed, by = config_.hidden_by, of = x->hidden] {
    auto made = operation_of(in->asked, in->path, *where, *here);
    if (by)
      of->hide(made, *by);
    return made;
  };
  house_.perform(std::move(wanted), [this, x](api_reply answered) { send(x, reply_to(x, std::move(answered))); });
}

reply request_handler::reply_to(const under_way& x, api_reply answered) {
  if (answered.who)
    x->key_prefix = answered.who->key_prefix;
  else if (!answered.what)
    x->key_prefix = answered.what.why().key_prefix;
  auto out = answered.what ? success(x, std::move(*answered.what)) : failure_reply(x, answered.what.why());
  if (answered.rate) {
    const auto& r = *answered.rate;
    const auto window = std::to_string(r.window.count());
    out.fields.emplace_back("RateLimit-Policy", "\"key\";q=" + std::to_string(r.quota) + ";w=" + window);
    out.fields.emplace_back("RateLimit",
                            "\"key\";r=" + std::to_string(r.remaining) + ";t=" + whole_seconds(r.resets_in));
  }
  return out;
}

reply request_handler::success(const under_way& x, outcome what) {
  reply out;
  if (auto* opened = std::get_if<stream_opened>(&what)) {
    out = event_reply(x, *opened);
  } else if (auto* bytes = std::get_if<output_bytes>(&what)) {
    out = byte_reply(x, std::move(*bytes));
  } else {
    out.status = success_status(what, x->where->operation);
    out.body = render(what, x->from.request_id);
    if (const auto where = location_of(what); !where.empty() && out.status != 200) // else nothing was made
      out.fields.emplace_back("Location", where);
    if (is_replay(what))
      out.fields.emplace_back("Idempotency-Replayed", "true");
  }
  out.fields.emplace_back("X-Request-ID", x->from.request_id);
  out.fields.emplace_back("Cache-Control", "no-store");
  return out;
}

reply request_handler::event_reply(const under_way& x, const stream_opened& opened) {
  reply out;
  if (opened.already_complete) {
    out.status = 204;
    out.type.clear();
    return out;
  }
  out.type = "text/event-stream";
  out.fields.emplace_back("X-Accel-Buffering", "no");
  out.close = true;
  const auto query = parse_query(x->in->asked.query()).value_or(parameters{});
  const auto how = query.find("framing");
  const bool chunks = how != query.end() && how->second == "chunk";
  metrics_.stream_opened();
  x->stream = true;
  out.rest = streams_.open(opened, chunks ? framing::chunk : framing::line);
  return out;
}

reply request_handler::byte_reply(const under_way& x, output_bytes first) {
  const auto size = first.end;
  byte_range range;
  const auto asked_range = parse_range(x->in->asked.field("range"), size, range);
  if (asked_range == range_wish::unsatisfiable) {
    auto out = refused(x, {refusal_code::range_not_satisfiable, "the range lies behind the end of the output", {}, {}});
    out.fields = {{"Content-Range", "bytes */" + std::to_string(size)}};
    return out;
  }
  reply out;
  out.type = "application/octet-stream";
  out.fields.emplace_back("Accept-Ranges", "bytes");
  if (asked_range == range_wish::satisfiable) {
    out.status = 206;
    out.fields.emplace_back("Content-Range", "bytes " + std::to_string(range.from) + "-" +
                                                 std::to_string(range.to - 1) + "/" + std::to_string(size));
  }
  out.size = range.to - range.from;
  const auto which = parse_query(x->in->asked.query())->at("stream") == "stderr" ? stream::err : stream::out;
  out.rest = make_byte_feed(house_, *command_id::parse(x->in->path.at("id")), which, range, std::move(first), 0);
  return out;
}

reply request_handler::failure_reply(const under_way& x, const refusal& why) {
  reply out;
  out.status = status_of(why.code);
  out.body = render(why, x->from.request_id);
  out.fields.emplace_back("X-Request-ID", x->from.request_id);
  out.fields.emplace_back("Cache-Control", "no-store");
  if (why.retry_after.count() > 0 || out.status == 429 || out.status == 503)
    out.fields.emplace_back("Retry-After", whole_seconds(why.retry_after));
  if (out.status == 401)
    out.fields.emplace_back("WWW-Authenticate", "Bearer realm=\"rdev\"");
  x->refused = why.code;
  return out;
}

void request_handler::send(const under_way& x, reply r) {
  watch_end(x, r);
  const auto done = std::move(x->done);
  x->in.reset();
  done(std::move(r));
}

// When the reply has gone out, the request is finished: one log line, one count.
void request_handler::watch_end(const under_way& x, reply& r) {
  r.finished = [this, x, status = r.status] {
    const auto took = clock::now() - x->began;
    metrics_.request_finished(method_label(x->from.method), x->pattern(), status, took);
    if (x->stream)
      metrics_.stream_closed();
    std::vector<log_field> fields{
        {"request_id", x->from.request_id}, {"trace_id", x->from.trace_id},
        {"method", x->from.method},         {"path", x->from.path},
        {"status", std::int64_t{status}},   {"duration_ms", std::chrono::duration<double, std::milli>(took).count()},
        {"client_ip", x->from.client_ip}};
    if (!x->key_prefix.empty())
      fields.emplace_back("key_prefix", x->key_prefix);
    if (x->refused)
      fields.emplace_back("code", std::string(name_of(*x->refused)));
    log_.write(log_level::info, "request completed", fields);
  };
}

} // namespace rdev::http
