#include "adapters/audit/evidence_files.hpp"

#include "adapters/audit_chain.hpp"
#include "adapters/crypto.hpp"
#include "adapters/json/json.hpp"

#include <fstream>
#include <functional>

namespace rdev::audit_chain {

namespace {

constexpr std::size_t key_bytes = 32;
constexpr std::size_t longest_line = 64 * 1024;
constexpr std::size_t most_bytes = 100 * 1024 * 1024;

failure bad_line(const std::string& path, std::size_t number, const std::string& problem) {
  return {fault::invalid, path + ", line " + std::to_string(number) + ": " + problem};
}

// Hands each line to `take`, which says what is wrong with it; empty = nothing.
result<done> each_line(const std::string& path, const std::function<std::string(const std::string&)>& take) {
  std::ifstream in(path);
  if (!in)
    return failure{fault::invalid, path + " cannot be read"};
  std::string line;
  std::size_t bytes = 0;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    bytes += line.size();
    if (line.ends_with('\r'))
      line.pop_back();
    if (line.size() > longest_line || bytes > most_bytes)
      return bad_line(path, number, "is too long");
    if (const auto problem = take(line); !problem.empty())
      return bad_line(path, number, problem);
  }
  return done{};
}

std::string read(const json::value& line, audit_checkpoint& out) {
  const auto hash = from_hex(line["hash"].as_string());
  const auto signature = from_base64(line["signature"].as_string());
  const auto at = from_rfc3339(line["at"].as_string());
  const auto kept_from = from_rfc3339(line["kept_from"].as_string());
  if (line["seq"].as_integer() < 1)
    return "has no seq";
  if (!hash)
    return "has no hash of 64 hexadecimal digits";
  if (!signature)
    return "has no signature in base64";
  if (!at)
    return "has no time (at)";
  if (!kept_from && !line["kept_from"].as_string().empty())
    return "has a kept_from that is no time";
  out = {line["seq"].as_integer(),
         *hash,
         *at,
         line["first_seq"].as_integer(),
         kept_from,
         std::string(line["key"].as_string()),
         *signature};
  return {};
}

// As a file has it that was being written when the power failed. What follows is good none the less.
bool is_cut_off(std::string_view line) {
  return line.front() == '{' && line.back() != '}';
}

} // namespace

result<std::vector<audit_checkpoint>> read_checkpoints(const std::string& path) {
  std::vector<audit_checkpoint> out;
  const auto took = each_line(path, [&](const std::string& line) -> std::string {
    if (line.empty() || is_cut_off(line))
      return {};
    const auto parsed = json::parse(line);
    const auto* object = std::get_if<json::value>(&parsed);
    if (object == nullptr || !object->is_object())
      return "is not a JSON object";
    if ((*object)["msg"].exists() && (*object)["msg"].as_string() != "audit checkpoint")
      return {};
    return read(*object, out.emplace_back());
  });
  if (!took)
    return took.error();
  if (out.empty())
    return failure{fault::invalid, path + " holds no checkpoint"};
  return out;
}

result<std::vector<audit_public_key>> read_public_keys(const std::string& path) {
  std::vector<audit_public_key> out;
  const auto took = each_line(path, [&](const std::string& line) -> std::string {
    if (line.empty() || line.front() == '#')
      return {};
    auto key = from_base64(line);
    if (!key || key->size() != key_bytes)
      return "is not a public key: 32 bytes in base64";
    auto id = key_id_of(*key);
    out.push_back({std::move(id), std::move(*key), {}});
    return {};
  });
  if (!took)
    return took.error();
  if (out.empty())
    return failure{fault::invalid, path + " holds no key"};
  return out;
}

} // namespace rdev::audit_chain
