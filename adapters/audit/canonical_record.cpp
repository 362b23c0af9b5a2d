#include "adapters/audit_chain.hpp"

#include "adapters/crypto.hpp"
#include "adapters/json/json.hpp"

#include <cstdint>

namespace rdev::audit_chain {

namespace {

// The detail is JSON that PostgreSQL has parsed; what has outgrown our parser's limits is taken as a string.
void add_canonical_detail(std::string& to, const std::string& detail) {
  if (detail == "{}") {
    to += detail;
    return;
  }
  if (!json::add_canonical(to, detail))
    json::add_canonical_string(to, detail);
}

template <class Id>
std::string shown(const std::string& stored) {
  const auto id = Id::from_uuid(stored);
  return id ? id->text() : stored;
}

} // namespace

std::string shown_target(const audit_entry& record) {
  const std::string_view action = record.action;
  if (action.starts_with("command."))
    return shown<command_id>(record.target);
  if (action.starts_with("key.") || action == "auth.anomaly")
    return shown<key_id>(record.target);
  if (action.starts_with("webhook."))
    return shown<webhook_id>(record.target);
  if (action.starts_with("ban.") || action == "auth.lockout")
    return shown<ban_id>(record.target);
  if (action.starts_with("node."))
    return shown<node_id>(record.target);
  return record.target;
}

std::string exact_time(timestamp at) {
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(at - day);
  std::string out = "0000-00-00T00:00:00.000000Z";
  const auto put = [&](std::size_t at_digit, std::size_t digits, std::int64_t number) {
    for (auto i = at_digit + digits; i > at_digit; number /= 10)
      out[--i] = static_cast<char>('0' + number % 10);
  };
  put(0, 4, static_cast<int>(date.year()));
  put(5, 2, static_cast<unsigned>(date.month()));
  put(8, 2, static_cast<unsigned>(date.day()));
  put(11, 2, time.hours().count());
  put(14, 2, time.minutes().count());
  put(17, 2, time.seconds().count());
  put(20, 6, time.subseconds().count());
  return out;
}

std::string canonical(const audit_entry& record) {
  std::string out;
  out.reserve(512 + record.detail.size());
  const auto member = [&](std::string_view name) {
    out.append(out.empty() ? "{\"" : ",\"").append(name).append("\":");
  };
  const auto text = [&](std::string_view name, std::string_view value) {
    member(name);
    json::add_canonical_string(out, value);
  };
  const auto none = [&](std::string_view name) {
    member(name);
    out += "null";
  };
  text("action", record.action);
  record.actor ? text("actor_key", record.actor->text()) : none("actor_key");
  text("actor_name", record.actor_name);
  text("at", exact_time(record.at));
  text("client_ip", record.client_ip);
  member("detail");
  add_canonical_detail(out, record.detail);
  text("id", record.id.text());
  text("outcome", record.outcome);
  record.project ? text("project", *record.project) : none("project");
  text("reason", record.reason);
  text("request_id", record.request_id);
  text("target", shown_target(record));
  text("trace_id", record.trace_id);
  out += '}';
  return out;
}

std::string canonical(const audit_checkpoint& c) {
  const auto quoted = [](std::string_view text) {
    std::string out;
    json::add_canonical_string(out, text);
    return out;
  };
  return R"({"at":)" + quoted(exact_time(c.at)) + R"(,"first_seq":)" + std::to_string(c.first_seq) + R"(,"hash":)" +
         quoted(to_hex(c.hash)) + R"(,"kept_from":)" + (c.kept_from ? quoted(exact_time(*c.kept_from)) : "null") +
         R"(,"key":)" + quoted(c.key) + R"(,"seq":)" + std::to_string(c.seq) + R"(,"version":1})";
}

} // namespace rdev::audit_chain
