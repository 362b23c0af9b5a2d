#include "tests/support/contracts/store_contract.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <thread>

namespace rdev::test {

namespace {

std::map<std::string, int> by_project(const std::vector<lease>& all) {
  std::map<std::string, int> out;
  for (const auto& l : all)
    ++out[l.what.what.project];
  return out;
}

} // namespace

TEST_P(Claims, TakesByPriorityAmongCommandsOfTheSameAge) {
  const auto low = submitted("demo", priority::low);
  const auto normal = submitted("demo", priority::normal);
  const auto high = submitted("demo", priority::high);
  const auto critical = submitted("demo", priority::critical);
  std::vector<command_id> order;
  for (int i = 0; i < 4; ++i)
    for (const auto& l : claimed(1))
      order.push_back(l.what.id);
  EXPECT_EQ(order, (std::vector{critical, high, normal, low}));
}

TEST_P(Claims, TakesTheOlderOfTheSamePriorityFirst) {
  std::vector<command_id> ids;
  for (int i = 0; i < 5; ++i)
    ids.push_back(submitted());
  std::vector<command_id> order;
  for (int i = 0; i < 5; ++i)
    order.push_back(claimed(1).at(0).what.id);
  EXPECT_EQ(order, ids);
}

TEST_P(Claims, IsFairBetweenProjects) {
  for (int i = 0; i < 20; ++i)
    submitted("busy", priority::critical);
  submitted("quiet");
  submitted("other");
  const auto first = by_project(claimed(4));
  EXPECT_EQ(first.at("quiet"), 1);
  EXPECT_EQ(first.at("other"), 1);
  EXPECT_EQ(first.at("busy"), 2);
  submitted("quiet");
  EXPECT_EQ(by_project(claimed(1)).count("quiet"), 1U) << "who runs less comes first";
}

TEST_P(Claims, LeavesAloneWhatIsForAnotherRunner) {
  auto elsewhere = a_command();
  elsewhere.scope = "scope-2";
  submitted(elsewhere);
  submitted();
  const auto got = claimed();
  ASSERT_EQ(got.size(), 1U);
  EXPECT_NE(got[0].what.id, elsewhere.what.id);
  EXPECT_EQ(got[0].scope, here);
  const auto theirs = value_of(commands->claim({node.id, machine, 9, 1, "scope-2"}));
  ASSERT_EQ(theirs.size(), 1U) << "the cap of a project is its own in each runner";
  EXPECT_EQ(theirs[0].what.id, elsewhere.what.id);
}

TEST_P(Claims, TakesOnlyWhatHasAPlaceWithTheIntentOfThatPlace) {
  const auto first = submitted("a");
  const auto second = submitted("b");
  submitted("c");
  EXPECT_TRUE(value_of(commands->claim({node.id, machine, 9, 9, here, std::map<std::string, std::string>{}})).empty());
  const std::map<std::string, std::string> places{{"a", "pod/a \"1\""}, {"b", "pod/b"}, {"d", "pod/d"}};
  const auto got = value_of(commands->claim({node.id, machine, 9, 9, here, places}));
  std::map<command_id, std::string> intents;
  for (const auto& l : got)
    intents[l.what.id] = l.start_intent;
  EXPECT_EQ(intents, (std::map<command_id, std::string>{{first, "pod/a \"1\""}, {second, "pod/b"}}));
  EXPECT_EQ(claimed().at(0).start_intent, machine);
}

TEST_P(Claims, NeverTakesMoreThanAskedFor) {
  for (int i = 0; i < 5; ++i)
    submitted("p" + std::to_string(i));
  EXPECT_EQ(claimed(3).size(), 3U);
  EXPECT_EQ(claimed(0).size(), 0U);
  EXPECT_EQ(claimed(100).size(), 2U);
  EXPECT_TRUE(claimed().empty());
}

TEST_P(Claims, KeepsTheCapOfAProject) {
  for (int i = 0; i < 6; ++i)
    submitted("a");
  submitted("b");
  const auto got = claimed(100, 2);
  EXPECT_EQ(by_project(got), (std::map<std::string, int>{{"a", 2}, {"b", 1}}));
  EXPECT_TRUE(claimed(100, 2).empty());
  const auto of_a = std::find_if(got.begin(), got.end(), [](const auto& l) { return l.what.what.project == "a"; });
  EXPECT_TRUE(completed(*of_a));
  EXPECT_EQ(by_project(claimed(100, 2)), (std::map<std::string, int>{{"a", 1}}));
}

TEST_P(Claims, TwoClaimersAtOnceTakeEachCommandOnceAndKeepTheCap) {
  constexpr int cap = 5;
  for (int round = 0; round < 5; ++round) {
    const auto project = "p" + std::to_string(round);
    for (int i = 0; i < 20; ++i)
      submitted(project);
    std::array<std::vector<lease>, 2> got;
    {
      std::vector<std::jthread> threads;
      for (auto& mine : got)
        threads.emplace_back([this, &mine, store = rig->commands()] {
          for (int i = 0; i < 6; ++i)
            for (auto& l : value_of(store->claim({node.id, machine, 2, cap, here})))
              mine.push_back(std::move(l));
        });
    }
    std::set<command_id> different;
    std::set<std::int64_t> tokens;
    for (const auto& side : got)
      for (const auto& l : side) {
        different.insert(l.what.id);
        tokens.insert(l.token);
      }
    EXPECT_EQ(different.size(), static_cast<std::size_t>(cap));
    EXPECT_EQ(got[0].size() + got[1].size(), static_cast<std::size_t>(cap));
    EXPECT_EQ(tokens.size(), static_cast<std::size_t>(cap));
  }
}

TEST_P(Claims, EveryCommittedCommandIsClaimedAndHandedOutExactlyOnceWhileOthersSubmit) {
  constexpr int each = 60;
  std::vector<command_id> sent;
  std::vector<lease> got;
  {
    std::jthread submitter([this, &sent, store = rig->commands()] {
      for (int i = 0; i < each; ++i) {
        const auto one = a_command("p" + std::to_string(i % 3));
        value_of(store->submit({&one, 1}));
        sent.push_back(one.what.id);
      }
    });
    for (int i = 0; i < 40; ++i)
      for (auto& l : claimed(10, 1000))
        got.push_back(std::move(l));
  }
  for (auto& l : claimed(1000, 1000))
    got.push_back(std::move(l));
  std::set<command_id> handed_out;
  for (const auto& l : got)
    EXPECT_TRUE(handed_out.insert(l.what.id).second);
  EXPECT_EQ(handed_out, std::set<command_id>(sent.begin(), sent.end()));
}

TEST_P(Claims, ALeaseSaysAllItsOwnerNeeds) {
  const auto id = submitted();
  const auto before = now_utc() - std::chrono::minutes(1);
  const auto l = claimed().at(0);
  EXPECT_EQ(l.what.id, id);
  EXPECT_EQ(l.start_intent, machine);
  EXPECT_EQ(l.attempt, 1);
  EXPECT_GT(l.token, 0);
  EXPECT_GT(l.started_at, before);
  EXPECT_GE(l.started_at, l.what.created_at);
  EXPECT_FALSE(l.cancel);
  EXPECT_EQ(l.next_seq, seq_first_chunk);
  EXPECT_EQ(l.out_bytes, 0U);
  EXPECT_EQ(l.err_bytes, 0U);
  EXPECT_EQ(status_of(id), command_status::running);
}

TEST_P(Claims, TokensGrow) {
  std::int64_t last = 0;
  for (int i = 0; i < 5; ++i) {
    const auto l = running();
    EXPECT_GT(l.token, last);
    last = l.token;
    completed(l);
  }
}

} // namespace rdev::test
