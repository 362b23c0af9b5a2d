#include "adapters/http/recipes.hpp"

#include "adapters/http/bodies.hpp"

namespace rdev::http {

namespace {

template <class Make>
answer<operation> with_webhook(const call& c, Make make) {
  return with_id<webhook_id>(c, "webhook", make);
}

// The operation of a body, with the webhook of the path: what is asked is looked at before whether the thing is there.
template <class Operation, class Read>
answer<operation> of_webhook(const call& c, std::string_view schema, webhook_id Operation::*place, Read read) {
  auto body = parse_body(schema, c.body);
  if (!body)
    return std::move(body.why());
  auto what = read(webhook_id(), std::move(*body));
  if (!what)
    return what;
  return with_webhook(c, [&](webhook_id id) {
    std::get<Operation>(*what).*place = id;
    return std::move(what);
  });
}

template <class Make>
answer<operation> with_delivery(const call& c, Make make) {
  return with_webhook(c, [&](webhook_id webhook) {
    return with_id<delivery_id>(
        c, "delivery", [&](delivery_id id) { return operation(make(webhook, id)); }, "did");
  });
}

std::string known_events() {
  std::string out;
  for (const auto name : all_event_names)
    out += std::string(name) + ", ";
  return out + std::string(test_event_name);
}

delivery_filter filter_of(const call& c, std::vector<field_problem>& problems) {
  delivery_filter out;
  if (const auto status = query(c, "status")) {
    out.status = delivery_status_from(*status);
    if (!out.status)
      problems.push_back({"status", "must be one of pending, delivered, failed, blocked"});
  }
  if (const auto event = query(c, "event")) {
    out.events = {*event};
    if (!valid_event_filter(*event) && *event != test_event_name)
      problems.push_back({"event", "must be one of " + known_events() + ", all of a kind such as command.*, or *"});
  }
  out.from = time_of(c, "from", problems);
  out.to = time_of(c, "to", problems);
  return out;
}

} // namespace

answer<operation> list_webhooks_of(const call& c) {
  std::vector<field_problem> problems;
  list_webhooks out{page_of(c, problems, is_id<webhook_id>)};
  return unless(std::move(problems), out);
}

answer<operation> create_webhook_of(const call& c) {
  auto body = parse_body("WebhookRequest", c.body);
  return body ? create_webhook_from(std::move(*body), *c.here) : answer<operation>(std::move(body.why()));
}

answer<operation> get_webhook_of(const call& c) {
  return with_webhook(c, [](webhook_id id) { return operation(get_webhook{id}); });
}

answer<operation> change_webhook_of(const call& c) {
  return of_webhook(c, "WebhookChange", &change_webhook::id, [&](const webhook_id& id, checked_body body) {
    return change_webhook_from(id, std::move(body), *c.here);
  });
}

answer<operation> delete_webhook_of(const call& c) {
  return with_webhook(c, [](webhook_id id) { return operation(delete_webhook{id}); });
}

answer<operation> test_webhook_of(const call& c) {
  return with_webhook(c, [](webhook_id id) { return operation(test_webhook{id}); });
}

answer<operation> rotate_webhook_secret_of(const call& c) {
  return of_webhook(c, "RotateRequest", &rotate_webhook_secret::id, rotate_webhook_secret_from);
}

answer<operation> list_deliveries_of(const call& c) {
  std::vector<field_problem> problems;
  const auto at = page_of(c, problems, is_id<delivery_id>);
  auto which = filter_of(c, problems);
  if (!problems.empty())
    return bad_request(std::move(problems));
  return with_webhook(c, [&](webhook_id id) { return operation(list_deliveries{id, std::move(which), at}); });
}

answer<operation> get_delivery_of(const call& c) {
  return with_delivery(c, [](webhook_id webhook, delivery_id id) { return get_delivery{webhook, id}; });
}

answer<operation> redeliver_of(const call& c) {
  return with_delivery(c, [](webhook_id webhook, delivery_id id) { return redeliver{webhook, id}; });
}

answer<operation> replay_deliveries_of(const call& c) {
  return of_webhook(c, "ReplayRequest", &replay_deliveries::webhook, replay_deliveries_from);
}

} // namespace rdev::http
