#include "adapters/audit/dump.hpp"
#include "adapters/crypto.hpp"
#include "adapters/json/json.hpp"

#include <array>

namespace rdev::audit_chain {

namespace {

constexpr std::array<std::string_view, 10> texts{"action",  "actor_name", "at",         "client_ip", "id",
                                                 "outcome", "reason",     "request_id", "target",    "trace_id"};
constexpr std::size_t record_members = 14; // with actor_key, detail, project and seal
constexpr std::size_t seal_members = 4;

std::string text_of(const json::value& line, std::string_view name) {
  return std::string(line[name].as_string());
}

std::string read(const json::value& line, audit_entry& out) {
  for (const auto name : texts)
    if (!line[name].is_string())
      return "has no text " + std::string(name);
  for (const auto* name : {"actor_key", "project"})
    if (!line[name].is_string() && !line[name].is_null())
      return std::string("has no ") + name + ", not even null";
  if (!line["detail"].exists())
    return "has no detail";
  const auto id = audit_id::parse(line["id"].as_string());
  const auto at = from_rfc3339(line["at"].as_string());
  const auto actor = key_id::parse(line["actor_key"].as_string());
  if (!id)
    return "has an id that is none";
  if (!at || exact_time(*at) != line["at"].as_string())
    return "has a time (at) that is not in UTC with six decimals";
  if (!actor && line["actor_key"].is_string())
    return "has an actor_key that is no id";
  out.id = *id;
  out.at = *at;
  out.actor = actor;
  out.actor_name = text_of(line, "actor_name");
  out.action = text_of(line, "action");
  out.target = text_of(line, "target");
  if (line["project"].is_string())
    out.project = text_of(line, "project");
  out.outcome = text_of(line, "outcome");
  out.reason = text_of(line, "reason");
  out.client_ip = text_of(line, "client_ip");
  out.request_id = text_of(line, "request_id");
  out.trace_id = text_of(line, "trace_id");
  out.detail = line["detail"].canonical();
  return shown_target(out) == out.target ? "" : "has a target that is not in the form of its id";
}

std::string read(const json::value& seal, audit_seal& out) {
  const auto row = from_hex(seal["row_hash"].as_string());
  const auto prev = from_hex(seal["prev_hash"].as_string());
  const auto hash = from_hex(seal["hash"].as_string());
  if (seal.members().size() != seal_members || seal["seq"].as_integer() < 1 || !row || !prev || !hash)
    return "has no seal of a seq and a row_hash, prev_hash and hash of 64 hexadecimal digits";
  out = {seal["seq"].as_integer(), out.id, *row, *prev, *hash};
  return {};
}

} // namespace

result<sealed_record> read_sealed_record(std::string_view line) {
  const auto bad = [](std::string why) { return failure{fault::invalid, std::move(why)}; };
  const auto parsed = json::parse(line);
  const auto* object = std::get_if<json::value>(&parsed);
  if (object == nullptr) { // the parser's own words may hold some of the line's, which a terminal would obey
    const auto& at = std::get<json::parse_error>(parsed).offset;
    return bad("is not JSON as rdev reads it" + (at ? ", byte " + std::to_string(*at) : std::string()));
  }
  if (!object->is_object())
    return bad("is not a JSON object");
  sealed_record out;
  if (auto wrong = read(*object, out.record); !wrong.empty())
    return bad(std::move(wrong));
  out.seal.id = out.record.id;
  if (auto wrong = read((*object)["seal"], out.seal); !wrong.empty())
    return bad(std::move(wrong));
  if (object->members().size() != record_members)
    return bad("has members that a record does not have");
  return out;
}

} // namespace rdev::audit_chain
