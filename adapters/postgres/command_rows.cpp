#include "adapters/postgres/command_rows.hpp"

#include "adapters/json/json.hpp"
#include "adapters/postgres/arrays.hpp"

namespace rdev::postgres {

namespace {

std::string env_place(const command_id& id) {
  return "command_secret.env." + id.uuid();
}

} // namespace

std::string spec_of(const submission& what) {
  json::writer out;
  out.begin_object();
  if (what.script)
    out.key("script").string(*what.script);
  out.key("argv").begin_array();
  for (const auto& a : what.argv)
    out.string(a);
  out.end_array();
  out.key("prompt").string(what.prompt).key("workdir").string(what.workdir);
  out.key("env").begin_array();
  for (const auto& v : what.env)
    out.string(v.name);
  out.end_array().end_object();
  return out.take();
}

std::optional<std::string> clean_spec_of(const submission& what, const censor* by) {
  if (by == nullptr)
    return std::nullopt;
  submission clean;
  bool hidden = false;
  const auto clean_text = [&](const std::string& text) {
    auto out = by->redact(text);
    hidden = hidden || out;
    return std::move(out).value_or(text);
  };
  if (what.script)
    clean.script = clean_text(*what.script);
  for (const auto& one : what.argv)
    clean.argv.push_back(clean_text(one));
  clean.prompt = clean_text(what.prompt);
  clean.workdir = clean_text(what.workdir);
  if (!hidden)
    return std::nullopt;
  for (const auto& one : what.env)
    clean.env.push_back({one.name, {}});
  return spec_of(clean);
}

std::string sealed_env(const command& c, sealer& seal) {
  if (c.what.env.empty())
    return {};
  json::writer out;
  out.begin_array();
  for (const auto& v : c.what.env)
    out.begin_array().string(v.name).string(v.value.reveal()).end_array();
  out.end_array();
  const secret plain(out.take());
  return seal.seal(plain.reveal(), env_place(c.id));
}

namespace {

result<std::vector<env_var>> open_env(const pqxx::field& sealed, const command_id& id, sealer& seal) {
  std::vector<env_var> out;
  if (sealed.is_null())
    return out;
  auto plain = seal.open(bytes_of_hex(sealed.c_str()), env_place(id));
  if (!plain)
    return std::move(plain.error());
  auto parsed = json::parse(*plain);
  const auto* list = std::get_if<json::value>(&parsed);
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i)
    out.push_back({std::string(list->at(i).at(0).as_string()), secret(std::string(list->at(i).at(1).as_string()))});
  return out;
}

void read_spec(std::string_view text, submission& what) {
  auto parsed = json::parse(text);
  const auto* spec = std::get_if<json::value>(&parsed);
  if (spec == nullptr)
    return;
  if ((*spec)["script"].exists())
    what.script = std::string((*spec)["script"].as_string());
  const auto argv = (*spec)["argv"];
  for (std::size_t i = 0; i < argv.size(); ++i)
    what.argv.emplace_back(argv.at(i).as_string());
  what.prompt = (*spec)["prompt"].as_string();
  what.workdir = (*spec)["workdir"].as_string();
}

} // namespace

std::optional<cancel_reason> cancel_from(const pqxx::field& f) {
  if (f.is_null())
    return std::nullopt;
  return std::string_view(f.c_str()) == "timeout" ? cancel_reason::timeout : cancel_reason::user;
}

lease lease_from(const pqxx::row& row, sealer& seal, std::chrono::milliseconds asked_at) {
  lease out;
  auto& c = out.what;
  c.id = *command_id::from_uuid(row[0].c_str());
  c.what.project = row[1].c_str();
  c.key = *key_id::from_uuid(row[2].c_str());
  c.family = *key_id::from_uuid(row[3].c_str());
  c.what.type = command_type_from(row[4].c_str()).value_or(command_type::shell);
  c.what.priority = static_cast<priority>(row[5].as<int>());
  c.what.timeout = std::chrono::seconds(row[6].as<int>());
  c.created_at = time_of(row[7]);
  read_spec(row[8].c_str(), c.what);
  out.token = row[10].as<std::int64_t>();
  out.attempt = row[11].as<int>();
  out.start_intent = row[12].c_str();
  out.started_at = time_of(row[13]);
  out.cancel = cancel_from(row[14]);
  out.scope = row[15].c_str();
  out.age = std::chrono::milliseconds(row[16].as<std::int64_t>());
  out.taken_at = asked_at;
  auto env = open_env(row[9], c.id, seal);
  if (env)
    c.what.env = std::move(*env);
  else
    out.unreadable = "its environment cannot be read: " + env.error().message;
  return out;
}

std::optional<command_result> result_from(const pqxx::row& row, int first) {
  const auto at = [&](int i) { return row[static_cast<pqxx::row::size_type>(first + i)]; };
  if (at(0).is_null())
    return std::nullopt;
  command_result out;
  out.status = command_status_from(at(0).c_str()).value_or(command_status::lost);
  out.reason = maybe_text(at(1));
  if (!at(2).is_null())
    out.exit_code = at(2).as<int>();
  out.signal = maybe_text(at(3));
  out.survivors = at(4).as<int>();
  out.started_at = maybe_time_of(at(5));
  out.finished_at = time_of(at(6));
  out.out = {at(7).as<std::uint64_t>(), at(8).c_str(), at(9).as<std::uint64_t>()};
  out.err = {at(10).as<std::uint64_t>(), at(11).c_str(), at(12).as<std::uint64_t>()};
  out.complete = at(13).as<bool>();
  return out;
}

std::array<std::uint8_t, 32> scope_of(const request_context& from, const idempotency& key) {
  return sha256(from.method + '\n' + from.path + '\n' + key.key);
}

std::string as_bytes(const std::array<std::uint8_t, 32>& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string interval_of(std::chrono::milliseconds d) {
  return std::to_string(d.count()) + " milliseconds";
}

} // namespace rdev::postgres
