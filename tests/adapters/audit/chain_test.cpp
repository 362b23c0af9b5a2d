// A chain in which something was done is never found to be good, and what was done is named.
#include "adapters/audit_chain.hpp"
#include "adapters/signing.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace rdev::audit_chain {
namespace {

class Chain : public ::testing::Test {
protected:
  Chain() {
    seal_hash before{};
    for (int i = 1; i <= 6; ++i) {
      audit_entry record;
      record.id = audit_id::make();
      record.actor_name = "tester";
      record.action = "key.create";
      record.target = std::to_string(i);
      record.outcome = "allowed";
      record.detail = "{}";
      links.push_back(link(i, before, record));
      before = links.back().hash;
      records.push_back(std::move(record));
    }
  }
  [[nodiscard]] const audit_entry* record_of(const audit_id& id) const {
    const auto found = std::find_if(records.begin(), records.end(), [&](const auto& r) { return r.id == id; });
    return found == records.end() ? nullptr : &*found;
  }
  [[nodiscard]] audit_verification verified() const {
    verifier v(0, {});
    for (const auto& one : links)
      v.look_at(one, record_of(one.id), kept_from);
    for (const auto& one : checkpoints)
      v.look_at(one, is_signature(one.signature, key.public_key, canonical(one)));
    return v.outcome();
  }
  void sign_the_end() {
    audit_checkpoint c;
    c.seq = links.back().seq;
    c.hash = links.back().hash;
    c.signature = sign(key.private_key, canonical(c));
    checkpoints.push_back(c);
  }
  void expect(audit_problem problem, std::int64_t seq, const audit_id& id) const {
    const auto found = verified().first_bad;
    ASSERT_TRUE(found);
    EXPECT_EQ(found->problem, problem);
    EXPECT_EQ(found->seq, seq);
    EXPECT_EQ(found->id, id);
  }

  signing_key key = make_signing_key();
  std::vector<audit_entry> records;
  std::vector<audit_seal> links;
  std::vector<audit_checkpoint> checkpoints;
  std::optional<timestamp> kept_from;
};

TEST_F(Chain, IsGoodAsItWasMade) {
  sign_the_end();
  const auto outcome = verified();
  EXPECT_FALSE(outcome.first_bad);
  EXPECT_EQ(outcome.checked, 6);
  EXPECT_EQ(outcome.sealed_through, 6);
}

TEST_F(Chain, ShowsAChangeOfAnyFieldOfARecord) {
  const std::function<void(audit_entry&)> changes[] = {[](auto& r) { r.at += std::chrono::microseconds(1); },
                                                       [](auto& r) { r.actor = key_id::make(); },
                                                       [](auto& r) { r.actor_name += "x"; },
                                                       [](auto& r) { r.action = "key.change"; },
                                                       [](auto& r) { r.target += "x"; },
                                                       [](auto& r) { r.project = ""; },
                                                       [](auto& r) { r.outcome = "refused"; },
                                                       [](auto& r) { r.reason = "x"; },
                                                       [](auto& r) { r.client_ip = "10.0.0.1"; },
                                                       [](auto& r) { r.request_id = "x"; },
                                                       [](auto& r) { r.trace_id = "x"; },
                                                       [](auto& r) { r.detail = R"({"a": 1})"; }};
  for (const auto& change : changes) {
    const auto before = records[2];
    change(records[2]);
    expect(audit_problem::changed, 3, records[2].id);
    records[2] = before;
  }
  EXPECT_FALSE(verified().first_bad);
}

TEST_F(Chain, ShowsARecordThatIsGone) {
  const auto id = records[3].id;
  records.erase(records.begin() + 3);
  expect(audit_problem::missing, 4, id);
}

TEST_F(Chain, ShowsALinkThatIsGone) {
  links.erase(links.begin() + 3);
  expect(audit_problem::missing, 4, {});
}

TEST_F(Chain, ShowsTwoLinksThatChangedPlaces) {
  std::swap(links[2].seq, links[3].seq);
  std::swap(links[2], links[3]);
  expect(audit_problem::reordered, 3, links[2].id);
}

TEST_F(Chain, ShowsALinkThatWasMadeAnewAlone) {
  records[2].reason = "another";
  links[2] = link(3, links[1].hash, records[2]);
  expect(audit_problem::reordered, 4, links[3].id);
}

TEST_F(Chain, ThatWasMadeAnewFromThereOnIsShownByItsCheckpoint) {
  sign_the_end();
  records[2].reason = "another";
  for (std::size_t i = 2; i < links.size(); ++i)
    links[i] = link(static_cast<std::int64_t>(i) + 1, links[i - 1].hash, records[i]);
  expect(audit_problem::changed, 6, links[5].id);
}

TEST_F(Chain, ShowsATailThatWasCutOff) {
  sign_the_end();
  links.pop_back();
  records.pop_back();
  expect(audit_problem::tail_cut, 6, {});
}

TEST_F(Chain, ShowsACheckpointThatIsNotSigned) {
  sign_the_end();
  checkpoints[0].at += std::chrono::microseconds(1);
  expect(audit_problem::bad_signature, 6, {});
}

TEST_F(Chain, ShowsACheckpointOfAnotherKey) {
  sign_the_end();
  key = make_signing_key();
  expect(audit_problem::bad_signature, 6, {});
}

TEST_F(Chain, ShowsARecordWithoutALink) {
  verifier v(0, {});
  const auto stranger = audit_id::make();
  v.look_at_unsealed(stranger);
  ASSERT_TRUE(v.found());
  EXPECT_EQ(v.outcome().first_bad->problem, audit_problem::inserted);
  EXPECT_EQ(v.outcome().first_bad->id, stranger);
}

TEST_F(Chain, ForgivesRecordsThatRetentionHasRemovedAndNoOthers) {
  const auto id = records[0].id;
  records.erase(records.begin());
  kept_from = timestamp(std::chrono::milliseconds(id.unix_ms() + 1000));
  EXPECT_FALSE(verified().first_bad);
  EXPECT_EQ(verified().checked, 5);
  kept_from = timestamp(std::chrono::milliseconds(id.unix_ms()));
  expect(audit_problem::missing, 1, id);
}

TEST(Signatures, AreRefusedWhenAnythingIsChanged) {
  const auto key = make_signing_key();
  const auto good = sign(key.private_key, "text");
  EXPECT_TRUE(is_signature(good, key.public_key, "text"));
  EXPECT_FALSE(is_signature(good, key.public_key, "texts"));
  EXPECT_FALSE(is_signature(good.substr(1), key.public_key, "text"));
  EXPECT_FALSE(is_signature(good, key.public_key.substr(1), "text"));
  EXPECT_FALSE(is_signature(good, make_signing_key().public_key, "text"));
}

} // namespace
} // namespace rdev::audit_chain
