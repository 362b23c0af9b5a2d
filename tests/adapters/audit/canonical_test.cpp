// RFC 8785 and the texts that are hashed and signed.
#include "adapters/audit_chain.hpp"
#include "adapters/json/json.hpp"

#include <gtest/gtest.h>

namespace rdev::audit_chain {
namespace {

std::string canonical_json(std::string_view text) {
  const auto parsed = json::parse(text);
  const auto* good = std::get_if<json::value>(&parsed);
  auto out = good != nullptr ? good->canonical() : "refused";
  std::string added = "before ";
  EXPECT_EQ(json::add_canonical(added, text), good != nullptr);
  EXPECT_EQ(added, good != nullptr ? "before " + out : "before ") << "the other way to the same text";
  return out;
}

// The example of RFC 8785, 3.2.2 and 3.2.3, without the number that needs the nearest double.
TEST(CanonicalJson, IsThatOfTheSpecificationsExample) {
  EXPECT_EQ(canonical_json(R"({
    "numbers": [1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false]
  })"),
            "{\"literals\":[null,true,false],\"numbers\":[1e+30,4.5,0.002,1e-27],"
            "\"string\":\"\u20ac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

// RFC 8785, 3.2.3: by UTF-16 code units, so that a surrogate comes before U+FB33.
TEST(CanonicalJson, OrdersNamesByTheirUtf16CodeUnits) {
  EXPECT_EQ(
      canonical_json("{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7,"
                     "\"b\":8,\"aa\":9,\"a\":10}"),
      "{\"\\r\":2,\"1\":4,\"a\":10,\"aa\":9,\"b\":8,\"\u0080\":6,\"\u00f6\":7,\"\u20ac\":1,\"\U0001F600\":5,\"\ufb33\":"
      "3}");
}

// ECMA-262, Number::toString; the first ones are of RFC 8785, appendix B.
TEST(CanonicalJson, WritesNumbersAsEcmascriptDoes) {
  const std::pair<const char*, const char*> cases[] = {{"-0", "0"},
                                                       {"5e-324", "5e-324"},
                                                       {"9007199254740992", "9007199254740992"},
                                                       {"1e21", "1e+21"},
                                                       {"0.000001", "0.000001"},
                                                       {"0.0000001", "1e-7"},
                                                       {"-12.5", "-12.5"},
                                                       {"1.0", "1"},
                                                       {"100", "100"},
                                                       {"9007199254740993", "9007199254740992"},
                                                       {"18446744073709551615", "18446744073709552000"}};
  for (const auto& [given, expected] : cases)
    EXPECT_EQ(canonical_json(given), expected) << given;
}

audit_entry a_record() {
  audit_entry out;
  out.id = *audit_id::from_uuid("01a220a7-e6d9-74d4-9e0b-721e2bf85a6e");
  out.at = timestamp(std::chrono::microseconds(1'795'844'299'961'123));
  out.actor = key_id::from_uuid("01a220a7-e6d9-74d4-9e0b-721e2bf85a6f");
  out.actor_name = "ci \"main\"";
  out.action = "command.submit";
  out.target = "01a220a7-e6d9-74d4-9e0b-721e2bf85a70";
  out.project = "demo";
  out.outcome = "allowed";
  out.client_ip = "10.0.0.1";
  out.request_id = "req_1";
  out.detail = R"({"type": "shell", "argv": ["a", "b"], "priority": 1})";
  return out;
}

TEST(CanonicalRecord, HasAllMembersInTheOrderOfTheirNames) {
  EXPECT_EQ(canonical(a_record()),
            R"({"action":"command.submit","actor_key":")" + a_record().actor->text() +
                R"(","actor_name":"ci \"main\"","at":"2026-11-28T05:38:19.961123Z","client_ip":"10.0.0.1",)"
                R"("detail":{"argv":["a","b"],"priority":1,"type":"shell"},"id":")" +
                a_record().id.text() +
                R"(","outcome":"allowed","project":"demo","reason":"","request_id":"req_1","target":")" +
                command_id::from_uuid("01a220a7-e6d9-74d4-9e0b-721e2bf85a70")->text() + R"(","trace_id":""})");
}

TEST(CanonicalRecord, SaysNullWhereThereIsNoKeyAndNoProject) {
  auto record = a_record();
  record.actor.reset();
  record.project.reset();
  EXPECT_NE(canonical(record).find(R"("actor_key":null)"), std::string::npos);
  EXPECT_NE(canonical(record).find(R"("project":null)"), std::string::npos);
}

TEST(CanonicalRecord, IsCanonicalJsonItself) {
  for (const auto* detail : {"{}", R"({"b": 1, "a": {"d": null, "c": "\u0001"}})"}) {
    auto record = a_record();
    record.detail = detail;
    EXPECT_EQ(canonical_json(canonical(record)), canonical(record)) << detail;
  }
}

TEST(CanonicalRecord, TakesADetailThatIsTooDeepForAString) {
  auto record = a_record();
  record.detail = "{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}";
  EXPECT_NE(canonical(record).find(R"("detail":"{\"a\":[[)"), std::string::npos);
}

TEST(CanonicalRecord, NamesTargetsAsUsersKnowThem) {
  const std::string uuid = "01a220a7-e6d9-74d4-9e0b-721e2bf85a70";
  auto record = a_record();
  const std::pair<const char*, std::string> cases[] = {
      {"command.end", "cmd_"}, {"key.revoke", "key_"}, {"webhook.create", "wh_"}, {"ban.lift", "ban_"}};
  for (const auto& [action, prefix] : cases) {
    record.action = action;
    record.target = uuid;
    EXPECT_TRUE(shown_target(record).starts_with(prefix)) << action;
    record.target = "not an id";
    EXPECT_EQ(shown_target(record), "not an id");
  }
  record.action = "project.create";
  record.target = "demo";
  EXPECT_EQ(shown_target(record), "demo");
}

TEST(CanonicalCheckpoint, HasAllMembersButTheSignature) {
  audit_checkpoint c;
  c.seq = 12;
  c.at = timestamp(std::chrono::microseconds(1'795'844'299'000'001));
  c.key = "0123456789abcdef";
  EXPECT_EQ(canonical(c), R"({"at":"2026-11-28T05:38:19.000001Z","first_seq":1,"hash":")" + std::string(64, '0') +
                              R"(","kept_from":null,"key":"0123456789abcdef","seq":12,"version":1})");
  c.kept_from = timestamp(std::chrono::microseconds(1'795'844'299'000'000));
  EXPECT_NE(canonical(c).find(R"("kept_from":"2026-11-28T05:38:19.000000Z")"), std::string::npos);
}

} // namespace
} // namespace rdev::audit_chain
