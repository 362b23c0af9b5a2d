// What only a database has to get right about webhooks: transactions that are open at the same time, nodes that race,
// what stands in the tables, partitions.
#include "adapters/postgres/arrays.hpp"
#include "tests/support/contracts/store_contract.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/test_database.hpp"

#include <pqxx/pqxx>

#include <atomic>
#include <random>
#include <set>
#include <thread>

namespace rdev::test {

using namespace std::chrono_literals;

class WebhookTables : public ::testing::Test {
protected:
  void SetUp() override {
    ASSERT_TRUE(leases->beat(node, 10min));
  }
  webhook made(const std::string& name = "hooks") {
    webhook what;
    what.id = webhook_id::make();
    what.url = "https://u:pa55@" + name + ".example.com/in/box?token=t0p#frag";
    what.events = {"*"};
    auto receipt = value_of(endpoints->create(what, secret("plain-" + name), writer()));
    EXPECT_EQ(receipt.verdict, mint_verdict::created);
    return receipt.webhook;
  }
  [[nodiscard]] static key_writer writer() {
    key_writer out;
    out.actor_name = "tester";
    out.from = {"req_1", "trace", "127.0.0.1", "POST", "/webhooks"};
    return out;
  }
  std::int64_t token_of(const webhook_id& id) {
    for (const auto& one : value_of(outbox->own(node.id)).mine)
      if (one.webhook.id == id)
        return one.token;
    return 0;
  }
  std::vector<due_delivery> due(const webhook_id& id, int most = 10000) {
    return value_of(outbox->due(id, token_of(id), most));
  }
  // So many events; a server may have open transactions of its own, which hold them back for a moment.
  [[nodiscard]] bool spread(int events) {
    int n = 0;
    return eventually([&] {
             n += value_of(outbox->spread(1000)).events;
             return n >= events;
           }) &&
           n == events;
  }
  void happens(const std::string& event = "command.queued") const {
    db.run("INSERT INTO event (event) VALUES ('" + event + "')");
  }
  [[nodiscard]] int count(const std::string& table) const {
    return std::stoi(db.one("SELECT count(*) FROM " + table));
  }
  attempt_record attempt(const webhook_id& id, const delivery_id& which, attempt_outcome outcome) {
    attempt_record out;
    out.webhook = id;
    out.token = token_of(id);
    out.delivery = which;
    out.outcome = outcome;
    out.what.error = outcome == attempt_outcome::delivered ? "" : "answered 410";
    return out;
  }

  test_database db;
  std::shared_ptr<webhook_registry> endpoints = postgres::make_webhook_registry(db.stores());
  std::shared_ptr<webhook_outbox> outbox = postgres::make_webhook_outbox(db.stores());
  std::shared_ptr<lease_store> leases = postgres::make_lease_store(db.stores());
  node_info node{node_id::make(), "one", "", here};
};

// ---- the order of transactions

TEST_F(WebhookTables, AnOpenTransactionHoldsBackWhatCameAfterIt) {
  const auto one = made();
  pqxx::connection c(db.conninfo());
  pqxx::work open(c);
  open.exec("INSERT INTO event (event) VALUES ('command.started')");
  happens("command.queued");
  auto fanned = value_of(outbox->spread(100));
  EXPECT_EQ(fanned.events, 0);
  EXPECT_TRUE(fanned.held);
  EXPECT_FALSE(fanned.more);
  open.exec("INSERT INTO event (event) VALUES ('command.completed')");
  open.commit();
  ASSERT_TRUE(spread(3));
  std::vector<std::string> got;
  for (const auto& d : due(one.id))
    got.push_back(d.what.event);
  EXPECT_EQ(got, (std::vector<std::string>{"command.started", "command.completed", "command.queued"}));
}

TEST_F(WebhookTables, ATransactionThatIsRolledBackHoldsNothingBackForGood) {
  made();
  {
    pqxx::connection c(db.conninfo());
    pqxx::work open(c);
    open.exec("INSERT INTO event (event) VALUES ('command.started')");
    happens();
    EXPECT_EQ(value_of(outbox->spread(100)).events, 0);
    open.abort();
  }
  EXPECT_TRUE(spread(1));
}

TEST_F(WebhookTables, OfManyWritersNothingIsSkippedOrDoubled) {
  const auto a = made("a");
  const auto b = made("b");
  constexpr int writers = 4;
  constexpr int each = 60;
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::atomic<int> writing{writers};
  std::atomic<int> looked_at{0};
  {
    std::vector<std::jthread> threads;
    for (unsigned w = 0; w < writers; ++w)
      threads.emplace_back([&, w] {
        std::mt19937 random(seed + w);
        pqxx::connection c(db.conninfo());
        for (int i = 0; i < each; ++i) {
          pqxx::work tx(c);
          tx.exec("INSERT INTO event (event, project) VALUES ('command.queued', 'w" + std::to_string(w) + "-" +
                  std::to_string(i) + "')");
          std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
          tx.commit();
        }
        --writing;
      });
    for (int s = 0; s < 2; ++s)
      threads.emplace_back([&] {
        const auto mine = postgres::make_webhook_outbox(db.stores());
        for (bool last = false; !last;) {
          last = writing == 0;
          while (true) {
            const auto fanned = value_of(mine->spread(7));
            looked_at += fanned.events;
            if (!fanned.more)
              break;
          }
        }
      });
  }
  EXPECT_TRUE(spread(writers * each - looked_at));
  EXPECT_EQ(count("webhook_cursor"), 1);
  for (const auto& id : {a.id, b.id}) {
    const auto got = due(id);
    ASSERT_EQ(got.size(), static_cast<std::size_t>(writers * each));
    std::set<std::string> projects;
    std::array<int, writers> last{-1, -1, -1, -1};
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].sequence, static_cast<std::int64_t>(i) + 1);
      projects.insert(*got[i].what.project);
      const auto writer = static_cast<std::size_t>(got[i].what.project->at(1) - '0');
      const int n = std::stoi(got[i].what.project->substr(3));
      EXPECT_GT(n, last.at(writer)) << "out of the order of one writer";
      last.at(writer) = n;
    }
    EXPECT_EQ(projects.size(), got.size());
  }
}

TEST_F(WebhookTables, TestsAndEventsShareOneSequence) {
  const auto one = made();
  constexpr int each = 40;
  {
    std::jthread tester([&] {
      const auto mine = postgres::make_webhook_registry(db.stores());
      for (int i = 0; i < each; ++i)
        EXPECT_EQ(value_of(mine->test(one.id, writer())).verdict, change_verdict::changed);
    });
    for (int i = 0; i < each; ++i) {
      happens();
      ASSERT_TRUE(eventually([&] { return value_of(outbox->spread(100)).events > 0; }));
    }
  }
  EXPECT_EQ(db.one("SELECT string_agg(DISTINCT (sequence - n)::text, ',') || ' ' || count(*) FROM (SELECT sequence, "
                   "row_number() OVER (ORDER BY id) AS n FROM webhook_delivery) AS d"),
            "0 80")
      << "ids grow with sequences";
}

TEST_F(WebhookTables, WhatHappenedBeforeWebhooksWereThereIsNeverTold) {
  // The cursor of the migration stands behind its own transaction, which old rows have.
  EXPECT_EQ(db.one("SELECT event_id FROM webhook_cursor"), "ffffffff-ffff-ffff-ffff-ffffffffffff");
  db.run("INSERT INTO event (event, xid) SELECT 'command.queued', xid FROM webhook_cursor");
  made();
  EXPECT_EQ(value_of(outbox->spread(100)).events, 0);
}

// ---- nodes that race

TEST_F(WebhookTables, NodesThatRaceShareEndpointsExactly) {
  for (int i = 0; i < 30; ++i)
    made("h" + std::to_string(i));
  for (int round = 0; round < 5; ++round) {
    db.run("DELETE FROM node");
    std::vector<node_info> nodes;
    for (int i = 0; i < 3; ++i) {
      nodes.push_back({node_id::make(), "n", "", here});
      ASSERT_TRUE(leases->beat(nodes.back(), 10min));
    }
    std::array<ownership, 3> got;
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < 3; ++i)
        threads.emplace_back([&, i] {
          const auto mine = postgres::make_webhook_outbox(db.stores());
          for (int n = 0; n < 3; ++n)
            got.at(i) = value_of(mine->own(nodes[i].id));
        });
    }
    std::set<webhook_id> all;
    for (const auto& o : got) {
      EXPECT_EQ(o.mine.size(), 10U);
      for (const auto& one : o.mine)
        all.insert(one.webhook.id);
    }
    EXPECT_EQ(all.size(), 30U);
    EXPECT_EQ(db.one("SELECT count(DISTINCT token) FROM webhook_lease"), "30");
  }
}

TEST_F(WebhookTables, RecordsOfManyEndpointsDoNotLockEachOtherOut) {
  std::vector<webhook_id> ids;
  for (int i = 0; i < 8; ++i)
    ids.push_back(made("h" + std::to_string(i)).id);
  for (int i = 0; i < 30; ++i)
    happens();
  ASSERT_TRUE(spread(30));
  std::map<webhook_id, std::vector<due_delivery>> waiting;
  for (const auto& id : ids)
    waiting[id] = due(id);
  const auto owned = value_of(outbox->own(node.id)).mine;
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < 3; ++t)
      threads.emplace_back([&, t] {
        const auto mine = postgres::make_webhook_outbox(db.stores());
        for (std::size_t i = t; i < 30; i += 3) {
          std::vector<attempt_record> batch;
          for (std::size_t n = 0; n < owned.size(); ++n) { // each thread in another order
            const auto& one = owned[t % 2 == 0 ? n : owned.size() - 1 - n];
            attempt_record r;
            r.webhook = one.webhook.id;
            r.token = one.token;
            r.delivery = waiting.at(r.webhook).at(i).id;
            r.outcome = i % 2 == 0 ? attempt_outcome::failed : attempt_outcome::delivered;
            batch.push_back(r);
          }
          EXPECT_EQ(value_of(mine->record(batch)), std::vector<bool>(batch.size(), true));
        }
      });
    threads.emplace_back([&] {
      for (int i = 0; i < 30; ++i) {
        happens();
        (void)value_of(outbox->spread(100));
      }
    });
  }
  EXPECT_EQ(count("webhook_attempt"), 240);
}

TEST_F(WebhookTables, ADeliveryThatIsSentAgainWhileItsAnswerIsWrittenIsNotLost) {
  const auto one = made();
  happens();
  ASSERT_TRUE(spread(1));
  const auto waiting = due(one.id).at(0);
  pqxx::connection c(db.conninfo());
  pqxx::work record(c);
  record.exec("SELECT rdev_record(ARRAY['" + one.id.uuid() + "']::uuid[], ARRAY[" + std::to_string(token_of(one.id)) +
              "], ARRAY['" + waiting.id.uuid() + "']::uuid[], '{failed}', '{0}', '{0}', '{500}', '{1}', '{x}', '{y}')");
  result<delivery_receipt> again{failure{fault::internal, ""}};
  std::jthread user([&] { again = endpoints->redeliver(one.id, waiting.id, writer()); });
  EXPECT_TRUE(eventually([&] {
    return db.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                  "datname = current_database()") != "0";
  }));
  record.commit();
  user.join();
  EXPECT_EQ(value_of(std::move(again)).delivery.status, delivery_status::pending);
  ASSERT_EQ(due(one.id).size(), 1U);
  EXPECT_EQ(value_of(outbox->record(std::array{attempt(one.id, waiting.id, attempt_outcome::delivered)})),
            std::vector<bool>{true});
  const auto shown = value_of(endpoints->find_delivery(one.id, waiting.id));
  EXPECT_EQ(shown->status, delivery_status::delivered);
  EXPECT_EQ(shown->attempts.size(), 2U);
}

// ---- what stands in the tables

TEST_F(WebhookTables, SecretsAreSealedAtRestAndNowhereElse) {
  const auto one = made("hooks");
  ASSERT_EQ(value_of(endpoints->rotate(one.id, secret("plain-next"), 1h, writer())).verdict, change_verdict::changed);
  for (const auto* table : {"webhook", "audit_log", "event", "idempotency"})
    EXPECT_EQ(db.one(std::string("SELECT count(*) FROM ") + table +
                     " t WHERE t::text LIKE '%plain-%' OR t::text LIKE '%" + postgres::bytea_hex("plain-").substr(2) +
                     "%'"),
              "0")
        << table;
  for (const auto* hidden : {"t0p", "frag", "pa55"})
    for (const auto* table : {"audit_log", "event"})
      EXPECT_EQ(db.one(std::string("SELECT count(*) FROM ") + table + " t WHERE t::text LIKE '%" + hidden + "%'"), "0")
          << table << ' ' << hidden;
}

TEST_F(WebhookTables, ASecretThatCannotBeOpenedLeavesTheOthersAlone) {
  const auto bad = made("a");
  const auto good = made("b");
  db.run("UPDATE webhook SET secret = (SELECT secret FROM webhook WHERE id = '" + good.id.uuid() + "') WHERE id = '" +
         bad.id.uuid() + "'"); // sealed for another row
  const auto mine = value_of(outbox->own(node.id)).mine;
  ASSERT_EQ(mine.size(), 2U);
  for (const auto& one : mine)
    EXPECT_EQ(one.secrets.current.reveal(), one.webhook.id == good.id ? "plain-b" : "");
}

TEST_F(WebhookTables, EveryChangeLeavesOneAuditRow) {
  auto one = made();
  happens();
  ASSERT_TRUE(spread(1));
  const auto dlv = due(one.id).at(0);
  one.description = "x";
  one = value_of(endpoints->change(one, writer())).webhook;
  auto stale = one;
  stale.revision = 0;
  EXPECT_EQ(value_of(endpoints->change(stale, writer())).verdict, change_verdict::stale);
  (void)value_of(endpoints->rotate(one.id, secret("s"), 1h, writer()));
  (void)value_of(endpoints->test(one.id, writer()));
  (void)value_of(endpoints->redeliver(one.id, dlv.id, writer()));
  (void)value_of(endpoints->replay({one.id, {}}, writer()));
  (void)value_of(outbox->record(std::array{attempt(one.id, dlv.id, attempt_outcome::disable)}));
  (void)value_of(endpoints->remove(one.id, writer()));
  using rows = std::vector<std::vector<std::string>>;
  EXPECT_EQ(
      db.rows("SELECT action, actor_name, outcome, client_ip, request_id, trace_id FROM audit_log WHERE target = '" +
              one.id.uuid() + "' ORDER BY at"),
      (rows{{"webhook.create", "tester", "allowed", "127.0.0.1", "req_1", "trace"},
            {"webhook.change", "tester", "allowed", "127.0.0.1", "req_1", "trace"},
            {"webhook.rotate_secret", "tester", "allowed", "127.0.0.1", "req_1", "trace"},
            {"webhook.test", "tester", "allowed", "127.0.0.1", "req_1", "trace"},
            {"webhook.redeliver", "tester", "allowed", "127.0.0.1", "req_1", "trace"},
            {"webhook.redeliver", "tester", "allowed", "127.0.0.1", "req_1", "trace"},
            {"webhook.disable", "system", "done", "", "", ""},
            {"webhook.delete", "tester", "allowed", "127.0.0.1", "req_1", "trace"}}));
  EXPECT_EQ(db.one("SELECT detail - 'former_until' FROM audit_log WHERE action = 'webhook.create'"),
            R"({"url": "https://hooks.example.com/in/box", "events": ["*"], "enabled": true, "ordered": false, )"
            R"("projects": null})");
  EXPECT_EQ(db.one("SELECT detail ->> 'deliveries' FROM audit_log WHERE detail ? 'deliveries'"), "2");
  EXPECT_EQ(db.one("SELECT detail ->> 'reason' FROM audit_log WHERE action = 'webhook.disable'"), "answered 410");
}

TEST_F(WebhookTables, UrlsAreToldWithoutWhatMayBeSecret) {
  for (const auto& [url, bare] :
       std::vector<std::pair<std::string, std::string>>{{"https://a.example", "https://a.example"},
                                                        {"https://a.example:8443/x/y", "https://a.example:8443/x/y"},
                                                        {"https://u:p@a.example/x@y?z@q", "https://a.example/x@y"},
                                                        {"https://u:p@q@a.example", "https://a.example"},
                                                        {"https://a.example?t=u@x", "https://a.example"},
                                                        {"http://[::1]:80/#f", "http://[::1]:80/"}})
    EXPECT_EQ(db.one("SELECT rdev_bare_url('" + url + "')"), bare);
}

TEST_F(WebhookTables, AFailureInTheMiddleLeavesNothing) {
  const auto one = made();
  happens();
  db.run(
      "CREATE FUNCTION forbidden() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$");
  const auto without = [&](const std::string& table, const auto& work) {
    db.run("CREATE TRIGGER forbidden BEFORE INSERT OR DELETE ON " + table +
           " FOR EACH ROW EXECUTE FUNCTION forbidden()");
    EXPECT_FALSE(work()) << table;
    db.run("DROP TRIGGER forbidden ON " + table);
  };
  for (const auto* table : {"webhook_delivery", "webhook_due"}) {
    without(table, [&] { return outbox->spread(10); });
    EXPECT_EQ(count("webhook_delivery") + count("webhook_due"), 0);
  }
  ASSERT_TRUE(spread(1));
  const std::array gone{attempt(one.id, due(one.id).at(0).id, attempt_outcome::disable)};
  const std::array failed{attempt(one.id, due(one.id).at(0).id, attempt_outcome::failed)};
  for (const auto* table : {"webhook_attempt", "event", "audit_log"}) {
    without(table, [&] { return outbox->record(gone); });
    EXPECT_TRUE(value_of(endpoints->find(one.id))->enabled);
    EXPECT_EQ(count("webhook_attempt"), 0);
  }
  for (const auto* table : {"webhook_attempt", "webhook_due", "webhook_failed"}) {
    without(table, [&] { return outbox->record(failed); });
    EXPECT_EQ(count("webhook_attempt"), 0);
    EXPECT_FALSE(value_of(endpoints->find(one.id))->failing_since);
  }
  for (const auto* table : {"webhook_delivery", "audit_log", "event"})
    without(table, [&] { return endpoints->test(one.id, writer()); });
  EXPECT_EQ(count("webhook_delivery"), 1);
  EXPECT_EQ(value_of(outbox->record(failed)), std::vector<bool>{true}) << "and the session is still of use";
}

// ---- by and by

TEST_F(WebhookTables, UpkeepDropsDeliveriesPastTheirRetention) {
  const auto one = made();
  const auto make = [&](const std::string& table, int days_ago) {
    const auto day = "(current_date - " + std::to_string(days_ago);
    db.run("DO $$ BEGIN EXECUTE format('CREATE TABLE %I PARTITION OF " + table + " FOR VALUES FROM (%L) TO (%L)', '" +
           table + "_' || to_char" + day + ", 'YYYYMMDD'), rdev_uuid7_floor(" + day +
           ")::timestamp AT TIME ZONE 'UTC'), rdev_uuid7_floor(" + day +
           " + 1)::timestamp AT TIME ZONE 'UTC')); END $$");
  };
  for (const int days : {7, 8, 9}) {
    for (const auto* table : {"webhook_delivery", "webhook_attempt"})
      make(table, days);
    const auto id = "overlay((rdev_uuid7_floor((current_date - " + std::to_string(days) +
                    ")::timestamp AT TIME ZONE 'UTC'))::text PLACING '7abc-8' FROM 15 FOR 6)::uuid";
    const auto hook = "'" + one.id.uuid() + "'";
    db.run("INSERT INTO webhook_delivery (id, webhook_id, event_id, event, sequence) SELECT " + id + ", " + hook +
           ", gen_random_uuid(), 'key.created', " + std::to_string(days));
    db.run("INSERT INTO webhook_attempt SELECT " + id + ", now(), 200, 1, '', ''");
    db.run("INSERT INTO webhook_due SELECT " + hook + ", " + id + ", gen_random_uuid(), 1, now()");
    db.run("INSERT INTO webhook_failed SELECT " + hook + ", " + id);
  }
  // A command that is running since then keeps the other tables of its day, not these.
  db.run("INSERT INTO lease (command_id, project, priority, node_id, token, start_intent, started_at) SELECT "
         "rdev_uuid7_floor((current_date - 9)::timestamp AT TIME ZONE 'UTC'), 'p', 1, gen_random_uuid(), 1, '', now()");
  ASSERT_TRUE(leases->upkeep());
  for (const auto* table : {"webhook_delivery", "webhook_attempt", "webhook_due", "webhook_failed"})
    EXPECT_EQ(count(table), 2) << table;
  EXPECT_EQ(db.one("SELECT string_agg(sequence::text, ',' ORDER BY sequence) FROM webhook_delivery"), "7,8")
      << "some of that day is younger than seven days";
  auto config = db.stores();
  config.webhook_retention = 24h;
  ASSERT_TRUE(postgres::make_lease_store(config)->upkeep());
  for (const auto* table : {"webhook_delivery", "webhook_attempt", "webhook_due", "webhook_failed"})
    EXPECT_EQ(count(table), 0) << table;
}

TEST_F(WebhookTables, UpkeepRemovesWhatIsLeftOfARemovedEndpoint) {
  const auto one = made("a");
  const auto other = made("b");
  db.run("INSERT INTO webhook_due SELECT webhook.id, rdev_uuid7(), gen_random_uuid(), n, now() FROM "
         "generate_series(1, 12000) n, webhook");
  db.run("INSERT INTO webhook_failed SELECT webhook.id, rdev_uuid7() FROM generate_series(1, 10) n, webhook");
  (void)value_of(outbox->own(node.id));
  ASSERT_EQ(value_of(endpoints->remove(one.id, writer())).verdict, change_verdict::changed);
  EXPECT_EQ(count("webhook_due"), 14000) << "no more than a statement can do";
  EXPECT_EQ(value_of(outbox->pending()), 12000);
  db.run("INSERT INTO webhook_lease VALUES ('" + one.id.uuid() + "', gen_random_uuid(), 1)");
  ASSERT_TRUE(leases->upkeep());
  EXPECT_EQ(count("webhook_due"), 12000);
  EXPECT_EQ(count("webhook_failed"), 10);
  EXPECT_EQ(db.one("SELECT webhook_id FROM webhook_lease"), other.id.uuid());
}

TEST_F(WebhookTables, EnablingMakesAtMostTenThousandDueAtOnce) {
  auto one = made();
  db.run("INSERT INTO webhook_due SELECT webhook.id, rdev_uuid7_of_tick(n), gen_random_uuid(), n, now() + interval '1 "
         "hour' "
         "FROM generate_series(1, 12000) n, webhook");
  one.enabled = false;
  one = value_of(endpoints->change(one, writer())).webhook;
  EXPECT_EQ(count("webhook_due WHERE due_at <= now()"), 0);
  one.enabled = true;
  ASSERT_EQ(value_of(endpoints->change(one, writer())).verdict, change_verdict::changed);
  EXPECT_EQ(db.one("SELECT count(*) || ' ' || max(sequence) FROM webhook_due WHERE due_at <= now()"), "10000 10000");
}

} // namespace rdev::test
