#include "adapters/http/bodies.hpp"
#include "adapters/http/body_parts.hpp"

#include <algorithm>

namespace rdev::http {

namespace {

std::optional<std::vector<std::string>> maybe_texts(const json::value& list) {
  return list.is_array() ? std::optional(texts(list)) : std::nullopt;
}

std::optional<bool> maybe_boolean(const json::value& v) {
  return v.exists() ? std::optional(v.as_boolean()) : std::nullopt;
}

std::string url_in(checked_body& body, const server_rules& here) {
  auto url = text_in(body, "url");
  const bool told =
      std::any_of(body.problems.begin(), body.problems.end(), [](const auto& p) { return p.field == "url"; });
  if (here.of_webhook_url && !told)
    note(body.problems, "url", here.of_webhook_url(url));
  return url;
}

} // namespace

answer<operation> create_webhook_from(checked_body body, const server_rules& here) {
  const auto fields = body.fields;
  webhook_request what;
  what.url = url_in(body, here);
  what.events = texts(fields["events"]);
  what.projects = maybe_texts(fields["projects"]);
  what.description = text_in(body, "description");
  what.ordered = fields["ordered"].as_boolean();
  return unless(std::move(body.problems), create_webhook{std::move(what)});
}

answer<operation> change_webhook_from(const webhook_id& id, checked_body body, const server_rules& here) {
  const auto fields = body.fields;
  webhook_change what;
  if (fields["url"].exists())
    what.url = url_in(body, here);
  what.events = maybe_texts(fields["events"]);
  if (fields["projects"].exists())
    what.projects = maybe_texts(fields["projects"]);
  if (fields["description"].exists())
    what.description = text_in(body, "description");
  what.enabled = maybe_boolean(fields["enabled"]);
  what.ordered = maybe_boolean(fields["ordered"]);
  return unless(std::move(body.problems), change_webhook{id, std::move(what)});
}

answer<operation> rotate_webhook_secret_from(const webhook_id& id, checked_body body) {
  rotate_webhook_secret out;
  out.id = id;
  out.overlap = overlap_in(body, out.overlap);
  return unless(std::move(body.problems), out);
}

answer<operation> replay_deliveries_from(const webhook_id& id, checked_body body) {
  const auto fields = body.fields;
  delivery_filter which;
  which.status = delivery_status::failed;
  if (fields["status"].exists())
    which.status = delivery_status_from(fields["status"].as_string());
  which.events = texts(fields["events"]);
  which.from = time_in(body, "from");
  which.to = time_in(body, "to");
  return unless(std::move(body.problems), replay_deliveries{id, std::move(which)});
}

} // namespace rdev::http
