#include "actors/auditor.hpp"

#include "adapters/memory/memory_stores.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/audit_records.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

#include <algorithm>

namespace rdev::auditor {
namespace {

using namespace std::chrono_literals;
using ::testing::SizeIs;

class Auditor : public test::actor_house {
protected:
  void start() {
    auditor = open(behavior, around(), settings, memory::make_audit_reader(world), memory::make_audit_log(world));
    run();
  }
  test::asked<answer<outcome>> want(operation what) {
    return ask<answer<outcome>>(auditor, request{test::who_has(me), test::a_request("GET", "/audit"), std::move(what)});
  }
  // So many records of somebody, sealed.
  void happens(int n, const std::optional<std::string>& project = std::nullopt) {
    const audit_record row{{}, "tester", "x", "x", project, "done", {}, {}, {}};
    for (int i = 0; i < n; ++i)
      test::put(*memory::make_audit_log(world), row);
    ASSERT_EQ(memory::make_audit_chain(world)->seal(node, n)->sealed, n);
  }
  [[nodiscard]] std::size_t listings() const {
    return world->calls("audit_reads.list").size();
  }
  [[nodiscard]] std::vector<std::string> on_record() const {
    std::vector<std::string> out;
    for (const auto& row : world->audit_rows())
      out.push_back(row.what.action);
    return out;
  }

  std::shared_ptr<memory::world> world = memory::make_world();
  node_id node = node_id::make();
  config settings;
  api_key me = test::a_key({scope::audit_read});
  actor auditor;
};

TEST_F(Auditor, PutsEveryReadingOnRecordBeforeItReads) {
  start();
  EXPECT_TRUE(want(list_audit{}).reply());
  EXPECT_TRUE(want(verify_audit{}).reply());
  EXPECT_TRUE(want(list_audit_keys{}).reply());
  EXPECT_TRUE(want(list_audit_keys{}).reply());
  EXPECT_THAT(on_record(), ::testing::ElementsAre("audit.read", "audit.verify", "audit.keys", "audit.keys"));
}

TEST_F(Auditor, ReadsNothingForWhomItCannotPutOnRecord) {
  start();
  world->unreachable(true);
  EXPECT_EQ(want(list_audit{}).failed(), fault::unavailable);
  EXPECT_EQ(want(verify_audit{}).failed(), fault::unavailable);
  EXPECT_EQ(listings(), 0U);
  EXPECT_EQ(counts.count("fault_seen auditor"), 2);
}

TEST_F(Auditor, PutsWhoGoesOnReadingOnRecordOnceAMinute) {
  start();
  list_audit next;
  next.goes_on = true; // also behind 0: nothing of what was looked for has come yet
  want(next);
  want(next);
  EXPECT_THAT(on_record(), SizeIs(1));
  advance(61s);
  want(next);
  EXPECT_THAT(on_record(), SizeIs(2));
  EXPECT_EQ(listings(), 3U);
}

TEST_F(Auditor, PutsWhoGoesOnWithSomethingElseOnRecord) {
  happens(3);
  start();
  const auto readings = [this] {
    const auto all = on_record();
    return std::count(all.begin(), all.end(), "audit.read");
  };
  const auto begun = std::get<audit_page>(*want(list_audit{}).reply()).looked_through;
  list_audit next;
  next.goes_on = true;
  next.what.after = begun;
  want(next);
  EXPECT_EQ(readings(), 1);
  auto other = next;
  other.what.action = "key.*";
  want(other);
  EXPECT_EQ(readings(), 2) << "another filter";
  auto beyond = other;
  beyond.what.after = begun + 1000;
  want(beyond);
  EXPECT_EQ(readings(), 3) << "from where no page has ended";
  auto before = beyond;
  before.what.after = 0;
  want(before);
  EXPECT_EQ(readings(), 4) << "what comes before";
}

TEST_F(Auditor, PutsWhoGoesOnFromAnotherAddressOnRecord) {
  start();
  list_audit next;
  next.goes_on = true;
  auto from = test::a_request("GET", "/audit");
  from.client_ip = "203.0.113.9";
  for (int i = 0; i < 3; ++i) {
    want(next);
    ask<answer<outcome>>(auditor, request{test::who_has(me), from, next});
  }
  EXPECT_THAT(on_record(), SizeIs(2)) << "each once";
  EXPECT_EQ(world->audit_rows().back().what.from.client_ip, "203.0.113.9");
}

TEST_F(Auditor, ShowsABoundKeyItsProjectsOnly) {
  me.project_ids = std::vector<std::string>{"demo"};
  for (const auto* project : {"demo", "other"})
    happens(1, project);
  happens(1);
  start();
  const auto page = std::get<audit_page>(*want(list_audit{}).reply());
  ASSERT_THAT(page.records, SizeIs(1));
  EXPECT_EQ(page.records[0].record.project, "demo");
  EXPECT_EQ(want(verify_audit{}).reply().why().code, refusal_code::forbidden);
}

TEST_F(Auditor, VerifiesTheChain) {
  happens(3);
  start();
  const auto good = std::get<audit_verification>(*want(verify_audit{}).reply());
  EXPECT_EQ(good.checked, 3);
  EXPECT_FALSE(good.first_bad);
  world->rewrite_audit(1, [](auto& record) { record.reason = "changed"; });
  const auto bad = std::get<audit_verification>(*want(verify_audit{}).reply());
  ASSERT_TRUE(bad.first_bad);
  EXPECT_EQ(bad.first_bad->problem, audit_problem::changed);
  EXPECT_EQ(bad.first_bad->seq, 2);
}

TEST_F(Auditor, RefusesToVerifyMoreThanItMay) {
  settings.most_checked = 4000;
  happens(11000);
  start();
  EXPECT_EQ(want(verify_audit{}).reply().why().code, refusal_code::bad_request);
}

TEST_F(Auditor, SaysThatTheStoreIsAway) {
  start();
  for (const auto* call : {"audit_reads.list", "audit_reads.keys"})
    world->fail_next_of(call, fault::unavailable);
  EXPECT_EQ(want(list_audit{}).failed(), fault::unavailable);
  EXPECT_EQ(want(verify_audit{}).failed(), fault::unavailable);
}

} // namespace
} // namespace rdev::auditor
