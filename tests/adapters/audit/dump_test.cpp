// A dump in which something was done is never found to be good, and what was done is named.
#include "adapters/audit/dump.hpp"
#include "adapters/crypto.hpp"
#include "adapters/signing.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace rdev::audit_chain {
namespace {

std::string line_of(const sealed_record& one) {
  auto text = canonical(one.record);
  text.pop_back();
  return text + R"(,"seal":{"hash":")" + to_hex(one.seal.hash) + R"(","prev_hash":")" + to_hex(one.seal.prev_hash) +
         R"(","row_hash":")" + to_hex(one.seal.row_hash) + R"(","seq":)" + std::to_string(one.seal.seq) + "}}";
}

class spaces final : public std::streambuf {
public:
  explicit spaces(std::streamsize n) : left_(n) {
  }

protected:
  std::streamsize xsgetn(char* to, std::streamsize n) override {
    n = std::min(n, left_);
    std::fill_n(to, n, ' ');
    left_ -= n;
    return n;
  }

private:
  std::streamsize left_;
};

class Dump : public ::testing::Test {
protected:
  Dump() {
    seal_hash before{};
    for (int i = 1; i <= 6; ++i) {
      audit_entry record;
      record.id = audit_id::make();
      record.at = timestamp(std::chrono::microseconds(1'795'844'299'961'123 + i));
      record.actor_name = "tester \"é\"";
      record.action = "key.create";
      record.target = key_id::make().uuid();
      record.outcome = "allowed";
      record.detail = R"({"scopes": ["admin"], "n": 1})";
      if (i > 3) {
        record.actor = key_id::make();
        record.project = "demo";
      }
      const auto seal = link(i, before, record);
      before = seal.hash;
      records.push_back({seal, std::move(record)});
      lines.push_back(line_of(records.back()));
    }
    evidence.keys.push_back({key_id_of(key.public_key), key.public_key, {}});
  }
  void keep_checkpoint(std::size_t seq) {
    audit_checkpoint c;
    c.seq = static_cast<std::int64_t>(seq);
    c.hash = records[seq - 1].seal.hash;
    c.key = key_id_of(key.public_key);
    c.signature = sign(key.private_key, canonical(c));
    evidence.checkpoints.push_back(c);
  }
  [[nodiscard]] dump_verification verified() const {
    std::string text;
    for (const auto& line : lines)
      text += line + '\n';
    std::stringbuf in(text);
    return verify_dump(in, evidence);
  }
  void expect(audit_problem problem, std::int64_t seq, std::size_t line) const {
    const auto found = verified();
    ASSERT_TRUE(found.seen.first_bad);
    EXPECT_EQ(found.seen.first_bad->problem, problem) << name_of(found.seen.first_bad->problem);
    EXPECT_EQ(found.seen.first_bad->seq, seq);
    EXPECT_EQ(found.bad_line, line);
  }

  signing_key key = make_signing_key();
  std::vector<sealed_record> records;
  std::vector<std::string> lines;
  outside_evidence evidence;
};

TEST_F(Dump, IsGoodAsItWasWritten) {
  keep_checkpoint(3);
  keep_checkpoint(6);
  const auto found = verified();
  EXPECT_FALSE(found.seen.first_bad);
  EXPECT_EQ(found.seen.checked, 6);
  EXPECT_EQ(found.seen.sealed_through, 6);
  EXPECT_EQ(found.first, 1);
}

TEST_F(Dump, IsNotGoodAnyMoreWhateverByteIsChanged) {
  const auto whole = lines[4];
  for (std::size_t i = 0; i < whole.size(); ++i) {
    lines[4][i] = static_cast<char>(whole[i] ^ 1);
    const auto found = verified();
    EXPECT_TRUE(found.seen.first_bad) << lines[4];
    EXPECT_TRUE(found.bad_line == 5 || found.bad_line == 6) << lines[4];
    lines[4] = whole;
  }
}

TEST_F(Dump, NamesTheRecordThatWasChanged) {
  const auto at = lines[4].find("allowed");
  lines[4].replace(at, 7, "refused");
  expect(audit_problem::changed, 5, 5);
  EXPECT_EQ(verified().seen.first_bad->id, records[4].record.id);
}

TEST_F(Dump, NamesTheLineThatIsNoRecord) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "is not JSON"},
      {"[]", "is not a JSON object"},
      {"{}", "has no text action"},
      {lines[2].substr(0, lines[2].size() / 2), "is not JSON"},
      {lines[2].substr(0, lines[2].size() - 1) + R"(,"more":1})", "has members that a record does not have"},
      {lines[2].substr(0, lines[2].size() - 1) + R"(,"action":"x"})", "is not JSON"},
      {std::string(100, '[') + std::string(100, ']'), "is not JSON as rdev reads it, byte 64"}};
  for (const auto& [line, why] : cases) {
    lines[2] = line;
    expect(audit_problem::changed, 3, 3);
    EXPECT_NE(verified().why.find(why), std::string::npos) << verified().why;
  }
}

TEST_F(Dump, RefusesALineWithoutEnd) {
  spaces in(65 * 1024 * 1024);
  const auto found = verify_dump(in, evidence);
  ASSERT_TRUE(found.seen.first_bad);
  EXPECT_EQ(found.seen.first_bad->problem, audit_problem::changed);
  EXPECT_EQ(found.why, "is longer than 64 MiB");
}

TEST_F(Dump, TakesATargetOnlyInTheFormInWhichItIsShown) {
  const auto& target = records[1].record.target;
  const auto shown = shown_target(records[1].record);
  lines[1].replace(lines[1].find(shown), shown.size(), target);
  expect(audit_problem::changed, 2, 2);
}

TEST_F(Dump, ShowsALineThatIsGone) {
  lines.erase(lines.begin() + 3);
  expect(audit_problem::missing, 4, 4);
}

TEST_F(Dump, ShowsLinesThatChangedPlaces) {
  std::swap(lines[2], lines[4]);
  expect(audit_problem::reordered, 3, 3);
  EXPECT_EQ(verified().seen.first_bad->id, records[2].record.id);
}

TEST_F(Dump, ShowsALineThatWasPutIn) {
  lines.insert(lines.begin() + 3, lines[1]);
  expect(audit_problem::inserted, 2, 4);
}

TEST_F(Dump, ShowsARecordThatWasPutInWithALinkOfItsOwn) {
  auto stranger = records[2];
  stranger.record.id = stranger.seal.id = audit_id::make();
  stranger.seal = link(4, records[2].seal.hash, stranger.record);
  lines.insert(lines.begin() + 3, line_of(stranger));
  expect(audit_problem::inserted, 4, 5);
}

TEST_F(Dump, ThatEndsBeforeAKeptCheckpointHasLostItsTail) {
  keep_checkpoint(6);
  lines.pop_back();
  expect(audit_problem::tail_cut, 6, 0);
  lines.clear();
  expect(audit_problem::tail_cut, 1, 0);
}

TEST_F(Dump, MadeAnewFromThereOnIsShownByAKeptCheckpoint) {
  keep_checkpoint(6);
  for (std::size_t i = 4; i < 6; ++i) {
    records[i].record.reason = "another";
    records[i].seal = link(static_cast<std::int64_t>(i) + 1, records[i - 1].seal.hash, records[i].record);
    lines[i] = line_of(records[i]);
  }
  expect(audit_problem::changed, 6, 6);
}

TEST_F(Dump, BelievesNoOtherKeysThanThoseItIsGiven) {
  keep_checkpoint(3);
  const auto other = make_signing_key();
  evidence.keys = {{key_id_of(other.public_key), other.public_key, {}}};
  expect(audit_problem::bad_signature, 3, 0);
  evidence.keys = {{key_id_of(key.public_key), other.public_key, {}}};
  expect(audit_problem::bad_signature, 3, 0);
}

TEST_F(Dump, MayBeginLaterThanTheLog) {
  lines.erase(lines.begin(), lines.begin() + 3);
  keep_checkpoint(1);
  keep_checkpoint(6);
  const auto found = verified();
  EXPECT_FALSE(found.seen.first_bad);
  EXPECT_EQ(found.seen.checked, 3);
  EXPECT_EQ(found.first, 4);
}

TEST_F(Dump, IsHeldToACheckpointOnTheLinkBeforeItsFirst) {
  keep_checkpoint(3);
  lines.erase(lines.begin(), lines.begin() + 3);
  EXPECT_FALSE(verified().seen.first_bad);
  seal_hash before{};
  for (std::size_t i = 3; i < 6; ++i) {
    records[i].seal = link(static_cast<std::int64_t>(i) + 1, before, records[i].record);
    before = records[i].seal.hash;
    lines[i - 3] = line_of(records[i]);
  }
  expect(audit_problem::changed, 3, 1);
}

TEST_F(Dump, CannotClaimToBeginAtTheBeginning) {
  records[0].seal = link(1, records[0].seal.hash, records[0].record);
  lines = {line_of(records[0])};
  expect(audit_problem::reordered, 1, 1);
}

TEST_F(Dump, OfNothingHasNoFirstRecord) {
  lines.clear();
  EXPECT_EQ(verified().first, 0);
  EXPECT_FALSE(verified().seen.first_bad);
}

TEST_F(Dump, NeedsNoEndOfItsLastLine) {
  std::stringbuf in(lines[0] + '\n' + lines[1]);
  const auto found = verify_dump(in, evidence);
  EXPECT_FALSE(found.seen.first_bad);
  EXPECT_EQ(found.seen.checked, 2);
}

} // namespace
} // namespace rdev::audit_chain
