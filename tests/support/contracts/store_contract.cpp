#include "tests/support/contracts/store_contract.hpp"

#include <array>

namespace rdev::test {

api_key some_key(const std::string& name) {
  api_key k;
  k.id = key_id::make();
  k.family = k.id;
  k.name = name;
  k.prefix = "rdev_" + k.id.text().substr(k.id.text().size() - 8);
  k.hash[0] = 7;
  k.granted = {scope::projects_execute, scope::keys_write};
  return k;
}

std::shared_ptr<const std::string> bytes(std::string text) {
  return std::make_shared<const std::string>(std::move(text));
}

chunk piece(std::uint32_t seq, rdev::stream which, std::uint64_t offset, std::string text) {
  return {seq, which, false, offset, bytes(std::move(text)), {}};
}

chunk marker(std::uint32_t seq, rdev::stream which, std::uint64_t offset) {
  return {seq, which, true, offset, bytes(""), {}};
}

std::string joined(const std::vector<chunk>& chunks) {
  std::string out;
  for (const auto& c : chunks)
    out += *c.bytes;
  return out;
}

std::array<std::uint8_t, 32> digest_of(std::uint8_t n) {
  std::array<std::uint8_t, 32> out{};
  out.fill(n);
  return out;
}

void StoreContract::SetUp() {
  rig = GetParam()();
  commands = rig->commands();
  output = rig->output();
  queries = rig->queries();
  leases = rig->leases();
  keys = rig->keys();
  bans = rig->bans();
  key = some_key();
  ASSERT_EQ(value_of(keys->create(key, {}, writer())).verdict, mint_verdict::created);
  node = {node_id::make(), "one", "127.0.0.1:1", here};
  ASSERT_TRUE(value_of(leases->beat(node, std::chrono::minutes(1))));
}

new_command StoreContract::a_command(const std::string& project, priority p) const {
  new_command out;
  out.what.id = command_id::make();
  out.what.key = key.id;
  out.what.family = key.family;
  out.what.what.project = project;
  out.what.what.script = "echo hello";
  out.what.what.timeout = std::chrono::seconds(60);
  out.what.what.priority = p;
  out.from = {"req_1", "0af7651916cd43dd8448eb211c80319c", "127.0.0.1", "POST", "/projects/" + project + "/shell"};
  out.actor_name = key.name;
  out.scope = here;
  return out;
}

command_id StoreContract::submitted(const new_command& one) {
  const auto receipts = value_of(commands->submit({&one, 1}));
  EXPECT_EQ(receipts.size(), 1U);
  if (receipts.empty())
    return {};
  EXPECT_EQ(receipts[0].verdict, submit_verdict::created);
  return receipts[0].id;
}

command_id StoreContract::submitted(const std::string& project, priority p) {
  return submitted(a_command(project, p));
}

std::vector<lease> StoreContract::claimed(int most, int per_project) {
  return value_of(commands->claim({node.id, machine, most, per_project, here}));
}

lease StoreContract::running(const std::string& project) {
  const auto id = submitted(project);
  for (auto& l : claimed())
    if (l.what.id == id)
      return l;
  ADD_FAILURE() << "a submitted command could not be claimed";
  return {};
}

bool StoreContract::appended(const lease& l, std::vector<chunk> chunks) {
  const output_append one{l.what.id, l.token, std::move(chunks)};
  const auto verdicts = value_of(output->append({&one, 1}));
  return verdicts.size() == 1 && verdicts[0];
}

bool StoreContract::completed(const lease& l, command_status status) {
  completion one{l.what.id, l.token, {}, {}};
  one.result.status = status;
  one.result.exit_code = 0;
  one.result.complete = true;
  const auto verdicts = value_of(commands->complete({&one, 1}));
  return verdicts.size() == 1 && verdicts[0];
}

command_status StoreContract::status_of(const command_id& id) {
  const auto found = value_of(queries->find(id));
  EXPECT_TRUE(found.has_value());
  return found ? found->status : command_status::lost;
}

cancel_verdict StoreContract::cancel(const command_id& id, cancel_reason why) {
  const auto now = value_of(keys->find(key.id));
  return value_of(commands->cancel(
      {id, why, key.id, key.name, {"req_2", "", "127.0.0.1", "DELETE", "/"}, now ? now->revision : 0}));
}

void StoreContract::revoke(const key_id& id) {
  ASSERT_EQ(value_of(keys->revoke(id, writer())).verdict, change_verdict::changed);
}

std::optional<api_key> StoreContract::with_prefix(const std::string& prefix) {
  const auto found = value_of(keys->find_by_prefix(std::array{prefix}));
  return found.empty() ? std::nullopt : std::optional(found.front());
}

key_writer StoreContract::writer(const std::string& name) const {
  key_writer out;
  out.actor_name = name;
  out.from = {"req_3", "", "127.0.0.1", "POST", "/keys"};
  out.family = key.family;
  return out;
}

} // namespace rdev::test
