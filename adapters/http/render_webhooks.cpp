#include "adapters/http/members.hpp"
#include "adapters/http/render.hpp"

namespace rdev::http {

namespace {

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

void write_attempt(json::writer& out, const delivery_attempt& a) {
  out.begin_object().key("at").string(to_rfc3339(a.at));
  maybe(out, "status", a.status ? std::optional<std::int64_t>(*a.status) : std::nullopt);
  out.key("latency_ms").integer(a.latency.count());
  maybe(out, "error", unless_empty(a.error));
  out.key("body").string(a.body).end_object();
}

} // namespace

void write_webhook(json::writer& out, const webhook& w) {
  out.begin_object().key("id").string(w.id.text()).key("url").string(w.url);
  maybe(out, "events", std::optional(w.events));
  maybe(out, "projects", w.projects);
  out.key("description").string(w.description);
  out.key("enabled").boolean(w.enabled).key("ordered").boolean(w.ordered);
  out.key("status").string(name_of(w.status()));
  maybe(out, "reason", w.status() == webhook_status::disabled ? unless_empty(w.disabled_reason) : std::nullopt);
  maybe(out, "failing_since", w.failing_since);
  out.key("created_at").string(to_rfc3339(w.created_at));
  maybe(out, "created_by", w.created_by);
  out.end_object();
}

void write_delivery(json::writer& out, const delivery& d) {
  out.begin_object().key("id").string(d.id.text()).key("webhook_id").string(d.webhook.text());
  out.key("event").string(d.event).key("message_id").string(d.message.text());
  out.key("sequence").integer(d.sequence).key("status").string(name_of(d.status));
  out.key("created_at").string(to_rfc3339(d.created_at)).key("attempts").begin_array();
  for (const auto& one : d.attempts)
    write_attempt(out, one);
  out.end_array();
  maybe(out, "next_attempt_at", d.next_attempt_at);
  out.end_object();
}

} // namespace rdev::http
