// No secret gets into audit_log, whichever statement writes the record; the things themselves stay as they are.
#include "tests/support/audit_records.hpp"
#include "tests/support/contracts/store_contract.hpp"
#include "tests/support/test_database.hpp"
#include "tests/support/watched.hpp"

#include <gmock/gmock.h>

namespace rdev::test {

using testing::HasSubstr;
using testing::Not;

class RedactedRecords : public ::testing::Test {
protected:
  void SetUp() override {
    stores.audited = std::make_shared<const censor>(by, counts, "audit");
    commands = postgres::make_command_store(stores);
    keys = postgres::make_key_store(stores);
    key = some_key();
    writer.family = key.family;
    ASSERT_EQ(value_of(keys->create(key, {}, writer)).verdict, mint_verdict::created);
  }
  [[nodiscard]] new_command a_command(submission what) const {
    new_command out;
    out.what = {command_id::make(), key.id, key.family, std::move(what), {}};
    out.what.what.project = "demo";
    out.actor_name = "tester";
    out.scope = here;
    return out;
  }
  [[nodiscard]] std::string detail(const std::string& action) const {
    return db.one("SELECT string_agg(detail::text, ' ') FROM audit_log WHERE action = '" + action + "'");
  }
  [[nodiscard]] std::string whole_log() const {
    return db.one("SELECT string_agg(l::text, ' ') FROM audit_log l");
  }

  const std::string value = "it's a \"secret\"";
  test_database db;
  redactor by = *redactor::make({});
  redactor::registration hidden = by.hide(secret(value));
  watched_metrics counts;
  postgres::store_config stores = db.stores();
  std::shared_ptr<command_store> commands;
  std::shared_ptr<key_store> keys;
  api_key key;
  key_writer writer;
};

TEST_F(RedactedRecords, OfACommandHaveNoSecretOfItsTextsButTheCommandHas) {
  submission script;
  script.script = "echo " + value + " | base64";
  script.env = {{"NAME", secret(value)}};
  submission argv;
  argv.argv = {"curl", "aXQncyBhICJzZWNyZXQi", "it%27s%20a%20%22secret%22", "plain"};
  submission agent;
  agent.type = command_type::claude;
  agent.prompt = "say " + value;
  const std::vector<new_command> batch{a_command(script), a_command(argv), a_command(agent)};
  ASSERT_TRUE(commands->submit(batch));
  const auto log = detail("command.submit");
  EXPECT_THAT(log, HasSubstr(R"("script": "echo [redacted] | base64")"));
  EXPECT_THAT(log, HasSubstr(R"(["curl", "[redacted]", "[redacted]", "plain"])"));
  EXPECT_THAT(log, HasSubstr(R"("prompt": "say [redacted]")"));
  EXPECT_THAT(log, HasSubstr(R"(["NAME"])"));
  EXPECT_EQ(counts.count("redacted audit"), 4);
  EXPECT_EQ(db.one("SELECT spec ->> 'script' FROM command WHERE id = '" + batch[0].what.id.uuid() + "'"),
            *script.script);
}

TEST_F(RedactedRecords, OfACommandWithoutSecretsAreItsSpecification) {
  submission script;
  script.script = "echo plain";
  const auto one = a_command(script);
  ASSERT_TRUE(commands->submit({&one, 1}));
  EXPECT_EQ(db.one("SELECT l.detail @> c.spec FROM audit_log l JOIN command c ON c.id::text = l.target"), "t");
}

TEST_F(RedactedRecords, OfAnEndHaveNoSecretOfItsReason) {
  const auto leases = postgres::make_lease_store(stores);
  const node_info node{node_id::make(), "one", "", here};
  ASSERT_TRUE(leases->beat(node, std::chrono::minutes(10)));
  const auto one = a_command({});
  ASSERT_TRUE(commands->submit({&one, 1}));
  const auto held = value_of(commands->claim({node.id, machine, 1, 64, here}));
  ASSERT_EQ(held.size(), 1U);
  completion end;
  end.id = one.what.id;
  end.token = held[0].token;
  end.result.reason = "cannot run " + value;
  end.result.out.sha256 = end.result.err.sha256 = std::string(64, '0');
  ASSERT_TRUE(commands->complete({&end, 1}));
  EXPECT_THAT(detail("command.end"), HasSubstr(R"("reason": "cannot run [redacted]")"));
  EXPECT_EQ(db.one("SELECT reason FROM command_result"), *end.result.reason);
}

TEST_F(RedactedRecords, OfAKeyHaveNoSecretOfItsName) {
  auto other = some_key("other");
  other.name = "for " + value;
  writer.by = key.id;
  ASSERT_EQ(value_of(keys->create(other, {}, writer)).verdict, mint_verdict::created);
  EXPECT_THAT(detail("key.create"), HasSubstr(R"("name": "for [redacted]")"));
  other = **keys->find(other.id);
  EXPECT_EQ(other.name, "for " + value);
  ASSERT_EQ(value_of(keys->change(other, writer)).verdict, change_verdict::changed);
  EXPECT_THAT(detail("key.change"), HasSubstr(R"("name": "for [redacted]")"));
}

TEST_F(RedactedRecords, OfAWebhookHaveNoSecretOfItsAddress) {
  const auto endpoints = postgres::make_webhook_registry(stores);
  webhook what;
  what.id = webhook_id::make();
  what.url = "https://hooks.example/it%27s%20a%20%22secret%22/x";
  what.events = {"*"};
  writer.by = key.id;
  ASSERT_EQ(value_of(endpoints->create(what, secret(std::string(32, 'w')), writer)).verdict, mint_verdict::created);
  ASSERT_EQ(value_of(endpoints->change(what, writer)).verdict, change_verdict::changed);
  for (const auto* action : {"webhook.create", "webhook.change"})
    EXPECT_THAT(detail(action), HasSubstr(R"("url": "https://hooks.example/[redacted]/x")"));
  EXPECT_EQ(value_of(endpoints->find(what.id))->url, what.url);
}

TEST_F(RedactedRecords, ThatStandAloneHaveNoSecretInAnyText) {
  audit_record row;
  row.actor_name = "named " + value;
  row.action = "request.refused";
  row.target = "GET /" + value;
  row.outcome = "refused";
  row.detail = {{"actor", value}, {"after", "0"}};
  row.from.request_id = "aXQncyBhICJzZWNyZXQi";
  row.from.client_ip = "127.0.0.1";
  test::put(*postgres::make_audit_log(stores), row);
  EXPECT_EQ(db.rows("SELECT actor_name, target, detail ->> 'actor', request_id, client_ip FROM audit_log "
                    "WHERE action = 'request.refused'"),
            (std::vector<std::vector<std::string>>{
                {"named [redacted]", "GET /[redacted]", "[redacted]", "[redacted]", "127.0.0.1"}}));
  EXPECT_THAT(whole_log(), Not(HasSubstr("secret")));
}

} // namespace rdev::test
