#include "adapters/http/render.hpp"

#include "adapters/audit_chain.hpp"
#include "adapters/crypto.hpp"
#include "adapters/http/members.hpp"

namespace rdev::http {

namespace {

using json::writer;

void write(writer& out, const project& p) {
  write_project(out, p);
}

void write(writer& out, const project_created& p) {
  write_project(out, p.what);
}

void write(writer& out, const submitted& s) {
  const auto id = s.id.text();
  out.begin_object().key("id").string(id);
  out.key("stream_url").string("/projects/" + s.project + "/events?stream_id=" + id);
  out.key("status").string("queued").end_object();
}

void write(writer& out, const cancel_accepted& c) {
  out.begin_object().key("id").string(c.id.text()).key("status").string(name_of(c.status)).end_object();
}

void write(writer& out, const command_view& c) {
  const auto* r = c.result ? &*c.result : nullptr;
  out.begin_object();
  out.key("id").string(c.id.text()).key("project").string(c.project).key("type").string(name_of(c.type));
  out.key("status").string(name_of(c.status));
  maybe(out, "reason", r != nullptr ? r->reason : std::nullopt);
  maybe(out, "waiting_for", c.waiting_for);
  out.key("priority").string(name_of(c.priority));
  maybe(out, "exit_code", r != nullptr && r->exit_code ? std::optional<std::int64_t>(*r->exit_code) : std::nullopt);
  maybe(out, "signal", r != nullptr ? r->signal : std::nullopt);
  out.key("survivors").integer(r != nullptr ? r->survivors : 0);
  out.key("created_at").string(to_rfc3339(c.created_at));
  maybe(out, "started_at", c.started_at);
  maybe(out, "finished_at", r != nullptr ? std::optional(r->finished_at) : std::nullopt);
  maybe(out, "duration_ms", r != nullptr ? duration_ms(r->started_at, r->finished_at) : std::nullopt);
  out.key("stdout");
  r != nullptr ? write_receipt(out, r->out) : void(out.null());
  out.key("stderr");
  r != nullptr ? write_receipt(out, r->err) : void(out.null());
  out.key("complete").boolean(r != nullptr && r->complete);
  maybe(out, "env", std::optional(c.env_names));
  out.end_object();
}

void write(writer& out, const queue_view& q) {
  out.begin_object().key("depth").begin_object();
  for (const auto p : {priority::critical, priority::high, priority::normal, priority::low})
    out.key(name_of(p)).integer(q.depth.at(static_cast<std::size_t>(p)));
  out.end_object().key("by_project").begin_array();
  for (const auto& p : q.by_project)
    out.begin_object()
        .key("project")
        .string(p.project)
        .key("depth")
        .integer(p.depth)
        .key("running")
        .integer(p.running)
        .end_object();
  out.end_array().key("oldest_seconds").number(q.oldest_seconds).key("running").integer(q.running);
  out.key("completed_per_minute").integer(q.completed_per_minute).end_object();
}

void write(writer& out, const output_list& list) {
  out.begin_array();
  for (const auto& c : list.chunks) {
    const bool text = valid_utf8(*c.bytes);
    out.begin_object().key("seq").unsigned_integer(c.seq).key("stream").string(name_of(c.stream));
    out.key("offset").unsigned_integer(c.offset).key("at").string(to_rfc3339(c.at));
    out.key("encoding").string(text ? "utf-8" : "base64");
    out.key("data").string(text ? *c.bytes : to_base64(*c.bytes)).end_object();
  }
  out.end_array();
}

void write(writer& out, const api_key& k) {
  out.begin_object();
  out.key("id").string(k.id.text()).key("name").string(k.name).key("key_prefix").string(k.prefix);
  maybe(out, "scopes", std::optional(k.granted.names()));
  maybe(out, "project_ids", k.project_ids);
  maybe(out, "allowed_ips", k.allowed_ips);
  maybe(out, "rate_limit", k.rate_limit ? std::optional<std::int64_t>(*k.rate_limit) : std::nullopt);
  maybe(out, "concurrency_limit",
        k.concurrency_limit ? std::optional<std::int64_t>(*k.concurrency_limit) : std::nullopt);
  out.key("created_at").string(to_rfc3339(k.created_at));
  maybe(out, "created_by", k.created_by);
  maybe(out, "expires_at", k.expires_at);
  maybe(out, "last_used_at", k.last_used_at);
  maybe(out, "last_used_ip", k.last_used_ip.empty() ? std::nullopt : std::optional(k.last_used_ip));
  maybe(out, "revoked_at", k.revoked_at);
  maybe(out, "revoked_by", k.revoked_by);
  maybe(out, "rotated_from", k.rotated_from);
  out.key("active").boolean(k.active(now_utc())).end_object();
}

void write(writer& out, const ban& b) {
  out.begin_object();
  out.key("id").string(b.id.text()).key("network").string(b.network.text()).key("since").string(to_rfc3339(b.since));
  out.key("until").string(to_rfc3339(b.until)).key("strikes").integer(b.strikes).end_object();
}

void write(writer& out, const minted_key& m) {
  out.begin_object().key("key");
  write(out, m.key);
  out.key("secret");
  m.text ? out.string(m.text->reveal()) : out.null();
  out.end_object();
}

void write(writer& out, const webhook& w) {
  write_webhook(out, w);
}

void write(writer& out, const minted_webhook& m) {
  out.begin_object().key("webhook");
  write_webhook(out, m.what);
  out.key("secret");
  m.text ? out.string(m.text->reveal()) : out.null();
  out.end_object();
}

void write(writer& out, const delivery& d) {
  write_delivery(out, d);
}

void write(writer& out, const delivery_queued& d) {
  write_delivery(out, d.what);
}

void write(writer& out, const deliveries_queued& d) {
  out.begin_object().key("deliveries").integer(d.deliveries).end_object();
}

template <class T>
void write(writer& out, const page<T>& p) {
  out.begin_array();
  for (const auto& item : p.items)
    write(out, item);
  out.end_array();
}

// A record as it was hashed, and its link beside it.
void write(writer& out, const audit_page& p) {
  out.begin_array();
  for (const auto& one : p.records) {
    auto text = audit_chain::canonical(one.record);
    text.pop_back();
    out.raw(text + R"(,"seal":{"hash":")" + to_hex(one.seal.hash) + R"(","prev_hash":")" + to_hex(one.seal.prev_hash) +
            R"(","row_hash":")" + to_hex(one.seal.row_hash) + R"(","seq":)" + std::to_string(one.seal.seq) + "}}");
  }
  out.end_array();
}

void write(writer& out, const audit_verification& v) {
  out.begin_object().key("valid").boolean(!v.first_bad).key("checked").integer(v.checked);
  out.key("sealed_through").integer(v.sealed_through).key("first_bad");
  if (v.first_bad) {
    out.begin_object().key("seq").integer(v.first_bad->seq).key("id");
    v.first_bad->id.empty() ? out.null() : out.string(v.first_bad->id.text());
    out.key("problem").string(name_of(v.first_bad->problem)).end_object();
  } else {
    out.null();
  }
  out.end_object();
}

void write(writer& out, const audit_keys& k) {
  out.begin_array();
  for (const auto& one : k.keys) {
    out.begin_object().key("id").string(one.id).key("algorithm").string("Ed25519");
    out.key("public_key")
        .string(to_base64(one.public_key))
        .key("created_at")
        .string(to_rfc3339(one.created_at))
        .end_object();
  }
  out.end_array();
}

// These two are streamed and never rendered.
void write(writer& out, const output_bytes&) {
  out.null();
}
void write(writer& out, const stream_opened&) {
  out.null();
}

template <class T>
std::optional<std::string> cursor_of(const T&) {
  return std::nullopt;
}
template <class T>
std::optional<std::string> cursor_of(const page<T>& p) {
  return p.next_cursor;
}

template <class T>
constexpr bool is_page = false;
template <class T>
constexpr bool is_page<page<T>> = true;

void write_meta(writer& out, const std::string& request_id) {
  out.key("request_id").string(request_id).key("timestamp").string(to_rfc3339(now_utc()));
}

} // namespace

void write_receipt(json::writer& out, const stream_receipt& r) {
  out.begin_object().key("bytes").unsigned_integer(r.bytes).key("sha256").string(r.sha256);
  out.key("total_bytes").unsigned_integer(r.total_bytes).key("truncated").boolean(r.truncated()).end_object();
}

void write_project(json::writer& out, const project& p) {
  out.begin_object().key("id").string(p.id).key("status").string(name_of(p.status));
  maybe(out, "reason", p.reason);
  out.key("phase").string(p.phase).key("ready").boolean(p.ready).key("restarts").integer(p.restarts);
  maybe(out, "last_seen", p.last_seen);
  out.key("labels").begin_object();
  for (const auto& [name, value] : p.labels)
    out.key(name).string(value);
  out.end_object().key("created_at").string(to_rfc3339(p.created_at)).end_object();
}

std::optional<std::int64_t> duration_ms(const std::optional<timestamp>& started, timestamp finished) {
  if (!started)
    return std::nullopt;
  return std::chrono::duration_cast<std::chrono::milliseconds>(finished - *started).count();
}

std::string render(const outcome& what, const std::string& request_id) {
  writer out;
  out.begin_object().key("data");
  std::visit([&](const auto& v) { write(out, v); }, what);
  out.key("meta").begin_object();
  write_meta(out, request_id);
  std::visit(
      [&](const auto& v) {
        using kind = std::decay_t<decltype(v)>;
        if constexpr (is_page<kind>)
          maybe(out, "next_cursor", cursor_of(v));
        if constexpr (std::is_same_v<kind, audit_page>)
          maybe(out, "next_cursor", v.more ? std::optional(std::to_string(v.looked_through)) : std::nullopt);
        if constexpr (std::is_same_v<kind, output_list>)
          maybe(out, "next_cursor", v.next_after ? std::optional(std::to_string(*v.next_after)) : std::nullopt);
      },
      what);
  out.end_object().end_object();
  return out.take();
}

std::string render(const refusal& why, const std::string& request_id) {
  writer out;
  out.begin_object().key("error").begin_object();
  out.key("code").string(name_of(why.code)).key("message").string(why.message);
  if (!why.details.empty()) {
    out.key("details").begin_array();
    for (const auto& d : why.details)
      out.begin_object().key("field").string(d.field).key("problem").string(d.problem).end_object();
    out.end_array();
  }
  out.end_object().key("meta").begin_object();
  write_meta(out, request_id);
  out.end_object().end_object();
  return out.take();
}

std::string render_ready(const std::vector<health_check>& checks, bool& all_good) {
  all_good = !checks.empty();
  for (const auto& c : checks)
    all_good = all_good && c.ok;
  writer out;
  out.begin_object().key("status").string(all_good ? "ok" : "unavailable").key("checks").begin_object();
  for (const auto& c : checks)
    out.key(c.name).begin_object().key("status").string(c.status).end_object();
  out.end_object().end_object();
  return out.take();
}

std::string location_of(const outcome& what) {
  if (const auto* s = std::get_if<submitted>(&what))
    return "/commands/" + s->id.text();
  if (const auto* p = std::get_if<project_created>(&what))
    return "/projects/" + p->what.id;
  if (const auto* k = std::get_if<minted_key>(&what))
    return "/keys/" + k->key.id.text();
  if (const auto* w = std::get_if<minted_webhook>(&what))
    return "/webhooks/" + w->what.id.text();
  if (const auto* d = std::get_if<delivery_queued>(&what))
    return "/webhooks/" + d->what.webhook.text() + "/deliveries/" + d->what.id.text();
  return {};
}

bool is_replay(const outcome& what) {
  return std::visit(
      [](const auto& v) {
        if constexpr (requires { v.replayed; })
          return v.replayed;
        else
          return false;
      },
      what);
}

} // namespace rdev::http
