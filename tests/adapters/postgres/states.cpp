// The state machine of docs/architecture.md is the one that SQL permits: from every state everything is tried that the
// ports can do to a command, and the changes that come of it are the edges of the picture.
#include "tests/support/contracts/store_contract.hpp"
#include "tests/support/test_database.hpp"

#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>

namespace rdev::test {

namespace {

using edge = std::pair<std::string, std::string>;

// `a --> b` of the picture, what leads from or to its `[*]` included.
std::set<edge> edges_of_the_picture() {
  std::ifstream file(RDEV_ARCHITECTURE);
  std::set<edge> out;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.find("stateDiagram") != std::string::npos)
      inside = true;
    else if (line.starts_with("```"))
      inside = false;
    std::istringstream words(line);
    std::string from;
    std::string arrow;
    std::string to;
    if (words >> from >> arrow >> to; inside && arrow == "-->")
      out.emplace(from, to.substr(0, to.find(':')));
  }
  return out;
}

} // namespace

class States : public ::testing::Test {
protected:
  void SetUp() override {
    key_writer w;
    w.family = key.family;
    ASSERT_EQ(value_of(postgres::make_key_store(db.stores())->create(key, {}, w)).verdict, mint_verdict::created);
    ASSERT_TRUE(leases->beat(node, std::chrono::minutes(10)));
    ASSERT_TRUE(leases->beat(other, std::chrono::minutes(10)));
  }

  // Where the row lives; a command must never be in two places.
  std::string state_of(const command_id& id) {
    const auto at = db.rows("SELECT 'queued' FROM queue_item WHERE command_id = '" + id.uuid() +
                            "' UNION ALL SELECT 'running' FROM lease WHERE command_id = '" + id.uuid() +
                            "' UNION ALL SELECT status FROM command_result WHERE command_id = '" + id.uuid() + "'");
    EXPECT_LE(at.size(), 1U) << "a command in two states";
    return at.empty() ? "[*]" : at[0][0];
  }

  void submit(const command_id& id) {
    new_command one;
    one.what.id = id;
    one.what.key = key.id;
    one.what.family = key.family;
    one.what.what.project = "demo";
    one.what.what.script = "echo";
    one.actor_name = "tester";
    one.scope = here;
    (void)commands->submit({&one, 1});
  }
  void claim() {
    (void)commands->claim({node.id, machine, 100, 100, here});
  }
  std::int64_t token_of(const command_id& id) {
    const auto row = db.rows("SELECT token FROM lease WHERE command_id = '" + id.uuid() + "'");
    return row.empty() ? 1 : std::stoll(row[0][0]);
  }
  void complete(const command_id& id, std::int64_t token, command_status status) {
    completion end{id, token, {}, {}};
    end.result.status = status;
    (void)commands->complete({&end, 1});
  }
  void cancel(const command_id& id, cancel_reason why) {
    (void)commands->cancel({id, why, key.id, key.name, {}});
  }
  void change_owner() {
    EXPECT_TRUE(leases->leave(node.id));
    EXPECT_TRUE(leases->adopt(other, 100, std::chrono::milliseconds(0)));
    EXPECT_TRUE(leases->beat(node, std::chrono::minutes(10)));
  }
  void write_output(const command_id& id) {
    const output_append one{id, token_of(id), {piece(3, stream::out, 0, "x")}};
    (void)output->append({&one, 1});
  }

  static constexpr std::array all_states{command_status::queued, command_status::running,   command_status::completed,
                                         command_status::failed, command_status::timed_out, command_status::cancelled,
                                         command_status::lost};

  test_database db;
  std::shared_ptr<command_store> commands = postgres::make_command_store(db.stores());
  std::shared_ptr<lease_store> leases = postgres::make_lease_store(db.stores());
  std::shared_ptr<output_store> output = postgres::make_output_store(db.stores());
  api_key key = some_key();
  node_info node{node_id::make(), "one", "", here};
  node_info other{node_id::make(), "two", "", here};
};

TEST_F(States, AreThoseOfThePicture) {
  using act = std::function<void(const command_id&)>;
  std::vector<act> acts{
      [&](const command_id& id) { submit(id); },
      [&](const command_id&) { claim(); },
      [&](const command_id& id) { cancel(id, cancel_reason::user); },
      [&](const command_id& id) { cancel(id, cancel_reason::timeout); },
      [&](const command_id&) { change_owner(); },
      [&](const command_id&) { (void)leases->reclaim(node, {}); },
      [&](const command_id& id) { write_output(id); },
      [&](const command_id&) { (void)leases->upkeep(); },
  };
  for (const auto status : all_states) {
    acts.emplace_back([&, status](const command_id& id) { complete(id, token_of(id), status); });
    acts.emplace_back([&, status](const command_id& id) { complete(id, token_of(id) + 1000, status); });
  }
  // How each state is come to; an ended one by its own name.
  std::map<std::string, act> ways{{"[*]", [](const command_id&) {}},
                                  {"queued", [&](const command_id& id) { submit(id); }}};
  ways["running"] = [&](const command_id& id) {
    submit(id);
    claim();
  };
  for (const auto status : all_states)
    if (ended(status))
      ways[std::string(name_of(status))] = [&, status](const command_id& id) {
        submit(id);
        claim();
        complete(id, token_of(id), status);
      };

  std::set<edge> permitted;
  for (const auto& [state, come_to] : ways) {
    bool changes = false;
    for (const auto& one : acts) {
      const auto id = command_id::make();
      come_to(id);
      ASSERT_EQ(state_of(id), state);
      one(id);
      if (const auto now = state_of(id); now != state) {
        permitted.emplace(state, now);
        changes = true;
      }
    }
    if (!changes)
      permitted.emplace(state, "[*]"); // nothing leads out of it
  }
  EXPECT_EQ(permitted, edges_of_the_picture());
}

TEST_F(States, ThatEndACommandAreFinal) {
  for (const auto first : all_states) {
    if (!ended(first))
      continue;
    const auto id = command_id::make();
    submit(id);
    claim();
    const auto token = token_of(id);
    complete(id, token, first);
    for (const auto second : all_states)
      complete(id, token, second);
    EXPECT_EQ(state_of(id), name_of(first));
    EXPECT_EQ(db.one("SELECT count(*) FROM event WHERE command_id = '" + id.uuid() + "'"), "3")
        << "queued, started and one end";
    EXPECT_EQ(db.one("SELECT count(*) FROM audit_log WHERE action = 'command.end' AND target = '" + id.uuid() + "'"),
              "1");
  }
}

} // namespace rdev::test
