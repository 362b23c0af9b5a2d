#include "adapters/webhooks/standard_webhooks.hpp"

#include "adapters/crypto.hpp"
#include "adapters/json/json.hpp"
#include "messages/values/output.hpp"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

namespace rdev::webhook_sending {
namespace {

constexpr std::chrono::sys_seconds at{std::chrono::seconds(1614265330)};

// OpenSSL alone, without anything of ours.
std::string signature_by_openssl(std::string_view key, std::string_view what) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned size = 0;
  ::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(what.data()),
         what.size(), mac.data(), &size);
  std::array<unsigned char, 64> text{};
  const int n = ::EVP_EncodeBlock(text.data(), mac.data(), static_cast<int>(size));
  return "v1," + std::string(reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(n));
}

outgoing_message a_message() {
  outgoing_message out;
  out.sequence = 12;
  out.secrets.current = secret("present bytes of the secret, 32 b");
  out.what.id = message_id::make();
  out.what.event = "command.completed";
  out.what.at = *from_rfc3339("2026-11-28T10:00:00.250Z");
  return out;
}

json::value parsed(const std::string& body) {
  return std::get<json::value>(json::parse(body));
}

// The vector that the implementations of Standard Webhooks share.
TEST(Signatures, AreThoseOfThePublishedVector) {
  signing_secrets secrets;
  secrets.current = secret(*from_base64("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
  EXPECT_EQ(signatures(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, R"({"test": 2432232314})"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(Signatures, AreTwoDuringARotationThePresentOneFirst) {
  auto m = a_message();
  m.secrets.former = secret("former bytes");
  const auto text = m.what.id.text() + ".1614265330.body";
  EXPECT_EQ(signatures(m.secrets, m.what.id.text(), at, "body"),
            signature_by_openssl(m.secrets.current.reveal(), text) + " " + signature_by_openssl("former bytes", text));
}

TEST(Signatures, StandInTheFieldsOfARequestBesideWhatTheyCover) {
  const auto m = a_message();
  const auto request = sign(m, at);
  const std::vector<std::pair<std::string_view, std::string>> expected{
      {"content-type", "application/json"},
      {"user-agent", "rdev-webhooks/1"},
      {"webhook-id", m.what.id.text()},
      {"webhook-timestamp", "1614265330"},
      {"webhook-signature",
       signature_by_openssl(m.secrets.current.reveal(), m.what.id.text() + ".1614265330." + request.body)}};
  EXPECT_EQ(request.fields, expected);
  EXPECT_EQ(request.body, render_body(m));
}

TEST(Secrets, HaveATextThatVerifiersTake) {
  EXPECT_EQ(secret_text(std::string("\0\xff\x10", 3)).reveal(), "whsec_AP8Q");
}

TEST(Body, SaysEverythingThatIsKnownInAFixedOrder) {
  auto m = a_message();
  m.what.project = "demo";
  m.what.command = command_id::make();
  m.what.command_type = "shell";
  m.what.key = key_id::make();
  m.what.data = R"({ "exit_code": 0, "duration_ms":1234 , "list":[1,{"a":"b\n"}] })";
  const auto id = m.what.command->text();
  EXPECT_EQ(render_body(m), R"({"event":"command.completed","timestamp":"2026-11-28T10:00:00.250Z","sequence":12,)"
                            R"("data":{"command_id":")" +
                                id + R"(","project":"demo","type":"shell","output_url":"/commands/)" + id +
                                R"(/output","key_id":")" + m.what.key->text() +
                                R"(","exit_code":0,"duration_ms":1234,"list":[1,{"a":"b\n"}]}})");
}

TEST(Body, SaysWhereTheOutputIsOnceACommandHasEnded) {
  auto m = a_message();
  m.what.command = command_id::make();
  for (const auto* event :
       {"command.completed", "command.failed", "command.cancelled", "command.timed_out", "command.lost"}) {
    m.what.event = event;
    EXPECT_EQ(parsed(render_body(m))["data"]["output_url"].as_string(),
              "/commands/" + m.what.command->text() + "/output")
        << event;
  }
  for (const auto* event : {"command.queued", "command.started", "auth.anomaly"}) {
    m.what.event = event;
    EXPECT_FALSE(parsed(render_body(m))["data"]["output_url"].exists()) << event;
  }
}

TEST(Body, LeavesOutWhatThereIsNot) {
  EXPECT_EQ(render_body(a_message()),
            R"({"event":"command.completed","timestamp":"2026-11-28T10:00:00.250Z","sequence":12,"data":{}})");
}

TEST(Body, NamesBansAndWebhooksAsUsersKnowThem) {
  const auto ban = ban_id::make();
  const auto hook = webhook_id::make();
  auto m = a_message();
  m.what.data = R"({"ban":")" + ban.uuid() + R"(","webhook":")" + hook.uuid() + R"(","x":1})";
  EXPECT_EQ(parsed(render_body(m))["data"].text(),
            R"({"ban_id":")" + ban.text() + R"(","webhook_id":")" + hook.text() + R"(","x":1})");
}

TEST(Body, KeepsAMemberOfThatNameThatIsNoId) {
  auto m = a_message();
  m.what.data = R"({"ban":"for ever","webhook":null})";
  EXPECT_EQ(parsed(render_body(m))["data"].text(), m.what.data);
}

TEST(Body, SaysNothingTwice) {
  auto m = a_message();
  m.what.project = "demo";
  m.what.data = R"({"project":"another","type":"kept, as the fact has none","truncated":"never"})";
  EXPECT_EQ(parsed(render_body(m))["data"].text(), R"({"project":"demo","type":"kept, as the fact has none"})");
}

TEST(Body, CutsLongStringsAtWholeCharactersAndSaysSo) {
  auto m = a_message();
  std::string long_text;
  while (long_text.size() < 30'000)
    long_text += "\xe2\x82\xac";
  m.what.data = R"({"short":"stays","list":[{"deep":")" + long_text + R"("}],"number":18446744073709551615})";
  const auto body = render_body(m);
  EXPECT_LE(body.size(), most_body_bytes);
  const auto data = parsed(body)["data"];
  EXPECT_EQ(data["short"].as_string(), "stays");
  EXPECT_EQ(data["number"].text(), "18446744073709551615");
  EXPECT_TRUE(data["truncated"].as_boolean());
  const auto deep = data["list"].at(0)["deep"].as_string();
  EXPECT_EQ(deep.size(), 4095U); // 4096 and not within a character
  EXPECT_TRUE(long_text.starts_with(deep));
}

TEST(Body, NeverHasMoreThan20000Bytes) {
  std::string many = "{\"first\":\"x\"";
  for (int i = 0; i < 900; ++i)
    many += ",\"" + std::to_string(i) + std::string(100, 'n') + "\":1";
  auto m = a_message();
  m.what.project = "demo";
  m.what.data = many + "}";
  EXPECT_EQ(parsed(render_body(m))["data"].text(), R"({"project":"demo","truncated":true})");

  std::string texts = "{\"0\":1";
  for (int i = 1; i < 200; ++i)
    texts += ",\"" + std::to_string(i) + "\":\"" + std::string(1000, '\x01' + (i % 3 == 0 ? 'a' : 'b')) + "\"";
  m.what.data = texts + "}";
  const auto body = render_body(m);
  EXPECT_LE(body.size(), most_body_bytes);
  EXPECT_EQ(parsed(body)["data"]["199"].as_string().size(), 64U);
}

TEST(Body, OfDataOfExactlyTheLimitIsNotCut) {
  auto m = a_message();
  m.what.data = R"({"t":""})";
  const auto rest = most_body_bytes - render_body(m).size();
  m.what.data = R"({"t":")" + std::string(rest, 'x') + R"("})";
  EXPECT_EQ(render_body(m).size(), most_body_bytes);
  EXPECT_FALSE(parsed(render_body(m))["data"]["truncated"].exists());
  m.what.data = R"({"t":")" + std::string(rest + 1, 'x') + R"("})";
  EXPECT_TRUE(parsed(render_body(m))["data"]["truncated"].as_boolean());
}

TEST(Body, SaysThatSomethingIsMissingWhenTheDataCannotBeRead) {
  auto m = a_message();
  for (const auto* text : {"", "[1]", "{", "null"}) {
    m.what.data = text;
    EXPECT_EQ(parsed(render_body(m))["data"].text(), R"({"truncated":true})") << text;
  }
}

} // namespace
} // namespace rdev::webhook_sending
