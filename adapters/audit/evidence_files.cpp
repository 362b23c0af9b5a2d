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

failure bad_line(const std::string& path, std::size_t number, const std::string& problem) {
  return {fault::invalid, path + ", line " + std::to_string(number) + ": " + problem};
}

// Hands each line to `take`, which says what is wrong with it; empty = nothing.
result<done> each_line(const std::string& path, const std::function<std::string(std::string_view)>& take) {
  std::ifstream in(path);
  if (!in)
    return failure{fault::invalid, path + " cannot be read"};
  std::string line(longest_line + 2, '\0'); // with CR and NUL
  for (std::size_t number = 1; in.getline(line.data(), static_cast<std::streamsize>(line.size())) || in.gcount() > 0;
       ++number) {
    if (in.bad())
      return failure{fault::invalid, path + " cannot be read"};
    std::string_view text(line.data(), static_cast<std::size_t>(in.gcount()) - (in.eof() || in.fail() ? 0 : 1));
    if (text.ends_with('\r'))
      text.remove_suffix(1);
    if (in.fail() || text.size() > longest_line)
      return bad_line(path, number, "is longer than " + std::to_string(longest_line) + " bytes");
    if (const auto problem = take(text); !problem.empty())
      return bad_line(path, number, problem);
  }
  if (in.bad())
    return failure{fault::invalid, path + " cannot be read"};
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
  const auto took = each_line(path, [&](std::string_view line) -> std::string {
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
  const auto took = each_line(path, [&](std::string_view line) -> std::string {
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
