#include "adapters/webhooks/standard_webhooks.hpp"

#include "adapters/crypto.hpp"
#include "adapters/json/json.hpp"
#include "messages/values/output.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace rdev::webhook_sending {

namespace {

constexpr auto uncut = std::numeric_limits<std::size_t>::max();
// To how many bytes strings are cut, until it is short enough.
constexpr std::array<std::size_t, 5> string_limits{uncut, 4096, 1024, 256, 64};

std::string_view cut(std::string_view text, std::size_t limit) {
  if (text.size() <= limit)
    return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0U) == 0x80U) // not within a character
    --limit;
  return text.substr(0, limit);
}

// Parsed text is at most 64 levels deep.
void write(json::writer& out, const json::value& v, std::size_t limit) { // NOLINT(misc-no-recursion)
  if (v.is_string()) {
    out.valid_string(cut(v.as_string(), limit));
  } else if (v.is_array()) {
    out.begin_array();
    for (std::size_t i = 0; i < v.size(); ++i)
      write(out, v.at(i), limit);
    out.end_array();
  } else if (v.is_object()) {
    out.begin_object();
    for (const auto& name : v.members())
      write(out.key(name), v[name], limit);
    out.end_object();
  } else {
    out.raw(v.text());
  }
}

// A UUID of the store under the name and in the form that users know.
template <class Id>
bool write_id(json::writer& out, std::string_view name, const json::value& v) {
  const auto id = Id::from_uuid(v.as_string());
  if (id)
    out.key(name).valid_string(id->text());
  return id.has_value();
}

void write_member(json::writer& out, const std::string& name, const json::value& v, std::size_t limit) {
  if (name == "ban" && write_id<ban_id>(out, "ban_id", v))
    return;
  if (name == "webhook" && write_id<webhook_id>(out, "webhook_id", v))
    return;
  if (limit == uncut)
    out.key(name).raw(v.text());
  else
    write(out.key(name), v, limit);
}

// Whether it is the end of a command: what it wrote is there to be fetched, and not part of a message.
bool ended(std::string_view event) {
  return event.starts_with("command.") && event != "command.queued" && event != "command.started";
}

// Whether the fact itself says what a member of this name in `data` would say.
bool said_by(const event_fact& fact, std::string_view name) {
  return (name == "command_id" && fact.command) || (name == "project" && fact.project) ||
         (name == "type" && !fact.command_type.empty()) || (name == "key_id" && fact.key) || name == "output_url" ||
         name == "truncated";
}

std::string render(const outgoing_message& m, const json::value* data, std::size_t limit) {
  const auto& fact = m.what;
  json::writer out;
  out.begin_object();
  out.key("event").string(fact.event);
  out.key("timestamp").string(to_rfc3339(fact.at));
  out.key("sequence").integer(m.sequence);
  out.key("data").begin_object();
  if (fact.command)
    out.key("command_id").string(fact.command->text());
  if (fact.project)
    out.key("project").string(*fact.project);
  if (!fact.command_type.empty())
    out.key("type").string(fact.command_type);
  if (fact.command && ended(fact.event))
    out.key("output_url").string("/commands/" + fact.command->text() + "/output");
  if (fact.key)
    out.key("key_id").string(fact.key->text());
  if (data != nullptr)
    for (const auto& name : data->members())
      if (!said_by(fact, name))
        write_member(out, name, (*data)[name], limit);
  if (data == nullptr || limit != uncut)
    out.key("truncated").boolean(true);
  out.end_object();
  out.end_object();
  return out.take();
}

std::string signature(const secret& with, std::string_view what) {
  const auto mac = hmac_sha256(with.reveal(), what);
  return "v1," + to_base64({reinterpret_cast<const char*>(mac.data()), mac.size()});
}

} // namespace

secret secret_text(std::string_view bytes) {
  return secret("whsec_" + to_base64(bytes));
}

std::string render_body(const outgoing_message& m) {
  const auto parsed = json::parse(m.what.data);
  const auto* data = std::get_if<json::value>(&parsed);
  if (data != nullptr && data->is_object())
    for (const auto limit : string_limits)
      if (auto body = render(m, data, limit); body.size() <= most_body_bytes)
        return body;
  return render(m, nullptr, uncut);
}

std::string signatures(const signing_secrets& secrets, std::string_view id, std::chrono::sys_seconds at,
                       std::string_view body) {
  std::string what(id);
  what.append(".").append(std::to_string(at.time_since_epoch().count())).append(".").append(body);
  auto out = signature(secrets.current, what);
  if (secrets.former)
    out.append(" ").append(signature(*secrets.former, what));
  return out;
}

signed_request sign(const outgoing_message& m, std::chrono::sys_seconds at) {
  signed_request out;
  out.body = render_body(m);
  const auto id = m.what.id.text();
  out.fields = {{"content-type", "application/json"},
                {"user-agent", "rdev-webhooks/1"},
                {"webhook-id", id},
                {"webhook-timestamp", std::to_string(at.time_since_epoch().count())},
                {"webhook-signature", signatures(m.secrets, id, at, out.body)}};
  return out;
}

} // namespace rdev::webhook_sending
