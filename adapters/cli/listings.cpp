#include "adapters/cli/listings.hpp"

#include "adapters/cli/table.hpp"

#include <algorithm>
#include <functional>
#include <limits>

namespace rdev::cli {

namespace {

constexpr std::size_t largest_page = 200;

// Follows next_cursor up to `limit` items.
std::variant<std::vector<json::value>, trouble> pages_of(server& at, const std::string& path, const query& parameters,
                                                         std::optional<std::size_t> limit) {
  const auto most = limit.value_or(std::numeric_limits<std::size_t>::max());
  std::vector<json::value> items;
  std::string cursor;
  do {
    auto page = parameters;
    page.emplace_back("limit", std::to_string(std::min(largest_page, most - items.size())));
    page.emplace_back("cursor", cursor);
    const auto answer = at.ask("GET", with_query(path, page));
    if (const auto* bad = std::get_if<trouble>(&answer))
      return *bad;
    const auto& [data, meta] = std::get<reply>(answer);
    for (std::size_t i = 0; i < data.size() && items.size() < most; ++i)
      items.push_back(data.at(i));
    const auto next = meta["next_cursor"];
    if (data.size() == 0 || next.as_string() == cursor)
      break; // a server that never comes to an end must not keep us for ever
    cursor = next.as_string();
  } while (!cursor.empty() && items.size() < most);
  return items;
}

using row_maker = std::function<table_row(const json::value&)>;

printout list(server& at, const std::string& path, const query& parameters, std::optional<std::size_t> limit,
              bool as_json, const table_row& head, const row_maker& row_of) {
  const auto found = pages_of(at, path, parameters, limit);
  if (const auto* bad = std::get_if<trouble>(&found))
    return *bad;
  const auto& items = std::get<std::vector<json::value>>(found);
  if (as_json) {
    json::writer all;
    all.begin_array();
    for (const auto& item : items)
      all.raw(item.text());
    return all.end_array().take() + "\n";
  }
  std::vector<table_row> rows{head};
  for (const auto& item : items)
    rows.push_back(row_of(item));
  return table_of(rows);
}

// One thing: `as_table` says what people want to see of it.
printout one(const std::variant<reply, trouble>& answer, bool as_json,
             const std::function<std::string(const json::value&)>& as_table) {
  if (const auto* bad = std::get_if<trouble>(&answer))
    return *bad;
  const auto& data = std::get<reply>(answer).data;
  return as_json ? data.text() + "\n" : as_table(data);
}

const table_row project_head{"ID", "STATUS", "PHASE", "READY", "RESTARTS", "LAST SEEN", "CREATED", "REASON"};

table_row project_row(const json::value& p) {
  return {cell_of(p["id"]),       cell_of(p["status"]),    cell_of(p["phase"]),      cell_of(p["ready"]),
          cell_of(p["restarts"]), cell_of(p["last_seen"]), cell_of(p["created_at"]), cell_of(p["reason"])};
}

table_row command_row(const json::value& c) {
  auto why = cell_of(c["reason"]);
  if (why.empty())
    why = cell_of(c["waiting_for"]);
  return {cell_of(c["id"]),
          cell_of(c["project"]),
          cell_of(c["type"]),
          cell_of(c["status"]),
          cell_of(c["exit_code"]),
          cell_of(c["created_at"]),
          duration_cell(c["duration_ms"]),
          why};
}

std::string everything_or(const json::value& list) {
  const auto cell = cell_of(list);
  return cell.empty() ? "all" : cell;
}

std::string key_state(const json::value& k) {
  if (k["active"].as_boolean())
    return "active";
  return k["revoked_at"].is_string() ? "revoked" : "expired";
}

const table_row key_head{"ID", "NAME", "PREFIX", "STATE", "SCOPES", "PROJECTS", "ALLOWED FROM", "EXPIRES", "LAST USED"};

table_row key_row(const json::value& k) {
  const auto expires = cell_of(k["expires_at"]);
  return {cell_of(k["id"]),
          cell_of(k["name"]),
          cell_of(k["key_prefix"]),
          key_state(k),
          cell_of(k["scopes"]),
          everything_or(k["project_ids"]),
          everything_or(k["allowed_ips"]),
          expires.empty() ? "never" : expires,
          cell_of(k["last_used_at"])};
}

const table_row webhook_head{"ID", "STATUS", "EVENTS", "PROJECTS", "ORDERED", "URL", "REASON"};

table_row webhook_row(const json::value& w) {
  return {cell_of(w["id"]),      cell_of(w["status"]), cell_of(w["events"]), everything_or(w["projects"]),
          cell_of(w["ordered"]), cell_of(w["url"]),    cell_of(w["reason"])};
}

const table_row delivery_head{"ID",   "EVENT",   "STATUS",       "ATTEMPTS", "ANSWER",
                              "TOOK", "CREATED", "NEXT ATTEMPT", "ERROR"};

table_row delivery_row(const json::value& d) {
  const auto attempts = d["attempts"];
  const auto last = attempts.size() == 0 ? json::value() : attempts.at(attempts.size() - 1);
  return {cell_of(d["id"]),         cell_of(d["event"]),
          cell_of(d["status"]),     std::to_string(attempts.size()),
          cell_of(last["status"]),  duration_cell(last["latency_ms"]),
          cell_of(d["created_at"]), cell_of(d["next_attempt_at"]),
          cell_of(last["error"])};
}

std::string queue_tables(const json::value& q) {
  std::vector<table_row> totals{{"PRIORITY", "WAITING"}};
  const auto depth = q["depth"];
  for (const auto& name : depth.members())
    totals.push_back({name, cell_of(depth[name])});
  std::vector<table_row> projects{{"PROJECT", "WAITING", "RUNNING"}};
  const auto by_project = q["by_project"];
  for (std::size_t i = 0; i < by_project.size(); ++i) {
    const auto p = by_project.at(i);
    projects.push_back({cell_of(p["project"]), cell_of(p["depth"]), cell_of(p["running"])});
  }
  const std::vector<table_row> rest{
      {"RUNNING", "OLDEST WAITS", "COMPLETED PER MINUTE"},
      {cell_of(q["running"]), cell_of(q["oldest_seconds"]) + "s", cell_of(q["completed_per_minute"])}};
  return table_of(totals) + "\n" + table_of(projects) + "\n" + table_of(rest);
}

void write_list(json::writer& body, const char* name, const std::vector<std::string>& items) {
  if (items.empty())
    return; // left out = everything; an empty list would be refused
  body.key(name).begin_array();
  for (const auto& item : items)
    body.string(item);
  body.end_array();
}

std::string body_of(const create_key& what) {
  json::writer body;
  body.begin_object().key("name").string(what.name);
  write_list(body, "scopes", what.scopes);
  write_list(body, "project_ids", what.projects);
  write_list(body, "allowed_ips", what.networks);
  if (!what.expires.empty())
    body.key("expires_in").string(what.expires);
  return body.end_object().take();
}

std::string body_of(const create_webhook& what) {
  json::writer body;
  body.begin_object().key("url").string(what.url);
  write_list(body, "events", what.events);
  write_list(body, "projects", what.projects);
  if (!what.description.empty())
    body.key("description").string(what.description);
  if (what.ordered)
    body.key("ordered").boolean(true);
  return body.end_object().take();
}

// What was made, and its secret. `kind` is a member of the answer; `how_to_end` the command that removes it.
printout minted(const std::variant<reply, trouble>& answer, bool as_json, const char* kind, const char* how_to_end,
                const table_row& head, const row_maker& row_of) {
  if (const auto* good = std::get_if<reply>(&answer); good != nullptr && !good->data["secret"].is_string())
    // The first answer was cut off, and only that one had the secret.
    return trouble{trouble_kind::unreachable,
                   std::string("the ") + kind +
                       " was made, but its secret was lost with a cut connection; make another, and: " + how_to_end +
                       " " + cell_of(good->data[kind]["id"])};
  return one(answer, as_json, [&](const json::value& made) {
    return table_of({head, row_of(made[kind])}) + "\n" +
           table_of({{"secret (shown this once):", cell_of(made["secret"])}});
  });
}

} // namespace

printout perform(server& at, const list_commands& what, bool as_json) {
  return list(at, "/commands", {{"project", what.project}, {"status", what.status}}, what.limit, as_json,
              {"ID", "PROJECT", "TYPE", "STATUS", "EXIT", "CREATED", "TOOK", "REASON"}, command_row);
}

printout perform(server& at, const list_projects& what, bool as_json) {
  return list(at, "/projects", {}, what.limit, as_json, project_head, project_row);
}

printout perform(server& at, const list_keys& what, bool as_json) {
  return list(at, "/keys", {}, what.limit, as_json, key_head, key_row);
}

printout perform(server& at, const show_queue&, bool as_json) {
  return one(at.ask("GET", "/queue"), as_json, queue_tables);
}

printout perform(server& at, const create_project& what, bool as_json) {
  const auto body = json::writer().begin_object().key("id").string(what.id).end_object().take();
  return one(at.ask("POST", "/projects", body), as_json, [](const json::value& p) {
    return table_of({project_head, project_row(p)});
  });
}

printout perform(server& at, const delete_project& what, bool as_json) {
  return one(at.ask("DELETE", "/projects/" + percent_encoded(what.id)), as_json, [&](const json::value&) {
    return table_of({{"project", what.id, "is deleted"}});
  });
}

printout perform(server& at, const create_key& what, bool as_json) {
  return minted(at.ask("POST", "/keys", body_of(what)), as_json, "key", "rdev keys revoke", key_head, key_row);
}

printout perform(server& at, const revoke_key& what, bool as_json) {
  return one(at.ask("DELETE", "/keys/" + percent_encoded(what.id)), as_json, [](const json::value& k) {
    return table_of({key_head, key_row(k)});
  });
}

printout perform(server& at, const list_webhooks& what, bool as_json) {
  return list(at, "/webhooks", {}, what.limit, as_json, webhook_head, webhook_row);
}

printout perform(server& at, const create_webhook& what, bool as_json) {
  return minted(at.ask("POST", "/webhooks", body_of(what)), as_json, "webhook", "rdev webhooks delete", webhook_head,
                webhook_row);
}

printout perform(server& at, const delete_webhook& what, bool as_json) {
  return one(at.ask("DELETE", "/webhooks/" + percent_encoded(what.id)), as_json, [&](const json::value&) {
    return table_of({{"webhook", what.id, "is deleted"}});
  });
}

printout perform(server& at, const test_webhook& what, bool as_json) {
  return one(at.ask("POST", "/webhooks/" + percent_encoded(what.id) + "/test"), as_json, [](const json::value& d) {
    return table_of({delivery_head, delivery_row(d)});
  });
}

printout perform(server& at, const list_deliveries& what, bool as_json) {
  return list(at, "/webhooks/" + percent_encoded(what.webhook) + "/deliveries",
              {{"status", what.status}, {"event", what.event}}, what.limit, as_json, delivery_head, delivery_row);
}

printout perform(server& at, const cancel_request& what, bool as_json) {
  return one(at.ask("POST", "/commands/" + percent_encoded(what.command_id) + "/cancel"), as_json,
             [](const json::value& c) {
               return table_of({{"ID", "STATUS"}, {cell_of(c["id"]), cell_of(c["status"])}});
             });
}

} // namespace rdev::cli
