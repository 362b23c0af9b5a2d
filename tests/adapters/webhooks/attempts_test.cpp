// One attempt: what goes over the wire, and what is made of each answer and of none.
#include "adapters/webhooks/standard_webhooks.hpp"
#include "endpoint.hpp"
#include "names.hpp"
#include "rig.hpp"

#include <gmock/gmock.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

namespace rdev::test {
namespace {

using testing::StartsWith;
using webhook_sending::make_webhook_sender;

std::string hmac_by_openssl(std::string_view key, std::string_view what) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned size = 0;
  ::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(what.data()),
         what.size(), mac.data(), &size);
  std::array<unsigned char, 64> text{};
  const int n = ::EVP_EncodeBlock(text.data(), mac.data(), static_cast<int>(size));
  return {reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(n)};
}

TEST(WebhookAttempt, IsASignedPostThatSaysNothingElseOfUs) {
  endpoint to(always(answer("204 No Content")));
  const auto sender = make_webhook_sender(open_to_loopback());
  const auto m = message_to(to.url("/a/b?c=d"));
  const auto before = std::chrono::system_clock::now();
  const auto sent = send(*sender, m);
  EXPECT_EQ(sent.error, "");
  EXPECT_EQ(sent.status, 204);
  EXPECT_EQ(sent.body, "");
  EXPECT_FALSE(sent.retry_after);

  ASSERT_EQ(to.requests().size(), 1U);
  const auto seen = to.requests().front();
  auto fields = seen.fields;
  EXPECT_EQ(seen.line, "POST /a/b?c=d HTTP/1.1");
  EXPECT_EQ(seen.body, webhook_sending::render_body(m));
  EXPECT_EQ(fields["host"], "127.0.0.1:" + std::to_string(to.port()));
  EXPECT_EQ(fields["content-type"], "application/json");
  EXPECT_EQ(fields["webhook-id"], m.what.id.text());
  const auto seconds = std::stoll(fields["webhook-timestamp"]);
  EXPECT_GE(seconds, std::chrono::system_clock::to_time_t(before) - 1);
  EXPECT_LE(seconds, std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()) + 1);
  EXPECT_EQ(fields["webhook-signature"],
            "v1," + hmac_by_openssl(std::string(32, 's'),
                                    m.what.id.text() + "." + fields["webhook-timestamp"] + "." + seen.body));
  std::vector<std::string> names;
  for (const auto& [name, value] : fields)
    names.push_back(name);
  EXPECT_THAT(names, testing::ElementsAre("accept", "content-length", "content-type", "host", "user-agent",
                                          "webhook-id", "webhook-signature", "webhook-timestamp"));
}

TEST(WebhookAttempt, SendsTheLargestBodyWithoutAskingFirst) {
  endpoint to(always(answer("200 OK")));
  const auto sender = make_webhook_sender(open_to_loopback());
  auto m = message_to(to.url());
  m.what.data = R"({"text":")" + std::string(19'000, 'x') + R"("})";
  EXPECT_EQ(send(*sender, m).error, "");
  ASSERT_EQ(to.requests().size(), 1U);
  EXPECT_EQ(to.requests().front().body, webhook_sending::render_body(m));
  EXPECT_FALSE(to.requests().front().fields.contains("expect"));
}

struct status_row {
  std::string line;
  int status;
  std::string error;
};

class WebhookAnswer : public testing::TestWithParam<status_row> {};

TEST_P(WebhookAnswer, CountsByItsStatus) {
  endpoint elsewhere(always(answer("200 OK")));
  endpoint to(always(answer(GetParam().line, "said", "location: " + elsewhere.url() + "\r\n")));
  const auto sender = make_webhook_sender(open_to_loopback());
  const auto sent = send(*sender, to.url());
  EXPECT_EQ(sent.status, GetParam().status);
  EXPECT_EQ(sent.error, GetParam().error);
  EXPECT_EQ(sent.body, "said");
  EXPECT_EQ(elsewhere.connections(), 0) << "redirects are not followed";
}

INSTANTIATE_TEST_SUITE_P(
    Statuses, WebhookAnswer,
    testing::Values(status_row{"200 OK", 200, ""}, status_row{"202 Accepted", 202, ""}, status_row{"299 X", 299, ""},
                    status_row{"301 Moved", 301, "the endpoint answered with 301; redirects are not followed"},
                    status_row{"302 Found", 302, "the endpoint answered with 302; redirects are not followed"},
                    status_row{"307 X", 307, "the endpoint answered with 307; redirects are not followed"},
                    status_row{"400 Bad", 400, "the endpoint answered with 400"},
                    status_row{"401 X", 401, "the endpoint answered with 401"},
                    status_row{"410 Gone", 410, "the endpoint answered with 410"},
                    status_row{"500 Oops", 500, "the endpoint answered with 500"},
                    status_row{"503 Busy", 503, "the endpoint answered with 503"}),
    [](const auto& row) { return std::to_string(row.param.status); });

sent_message answered_with(const std::string& text) {
  endpoint to([&](wire& w, const seen_request&) {
    w.write(text);
    w.close();
  });
  return send(*make_webhook_sender(open_to_loopback()), to.url());
}

TEST(WebhookAnswer, MaySayWhenToComeBack) {
  EXPECT_EQ(answered_with(answer("503 Busy", "", "Retry-After: 120\r\n")).retry_after, std::chrono::seconds(120));
  EXPECT_EQ(answered_with(answer("429 Busy", "", "retry-AFTER:\t 7 \r\n")).retry_after, std::chrono::seconds(7));
  EXPECT_FALSE(answered_with(answer("503 Busy", "", "Retry-After: later\r\n")).retry_after);
  const auto far = answered_with(answer("503 Busy", "", "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n")).retry_after;
  EXPECT_EQ(far, std::chrono::hours(24 * 365));
  EXPECT_EQ(answered_with(answer("503 Busy", "", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n")).retry_after,
            std::chrono::seconds(0));
}

TEST(WebhookAnswer, MayBeAnnouncedByOthers) {
  const auto sent = answered_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 5\r\n\r\n" +
                                  answer("200 OK", "x"));
  EXPECT_EQ(sent.status, 200);
  EXPECT_EQ(sent.body, "x");
  EXPECT_FALSE(sent.retry_after);
}

TEST(WebhookAnswer, MayComeInChunks) {
  const auto sent = answered_with("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n"
                                  "retry-after: 9\r\n\r\n");
  EXPECT_EQ(sent.error, "");
  EXPECT_EQ(sent.body, "abc");
  EXPECT_FALSE(sent.retry_after) << "a field behind the body is none of the head";
}

TEST(WebhookAnswer, IsNotedAsText) {
  EXPECT_EQ(answered_with(answer("200 OK", std::string("a\0\xff", 3))).body, "a\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(WebhookAnswer, OfTenMegabytesIsNotReadToItsEnd) {
  std::promise<bool> taken;
  endpoint to([&](wire& w, const seen_request&) {
    w.write("HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n");
    bool all = true;
    for (int i = 0; i < 1000 && all; ++i)
      all = w.write(std::string(10'000, 'x'));
    taken.set_value(all);
    w.close();
  });
  const auto sender = make_webhook_sender(open_to_loopback());
  const auto sent = send(*sender, to.url());
  EXPECT_EQ(sent.status, 200);
  EXPECT_EQ(sent.error, "");
  EXPECT_EQ(sent.body, std::string(1024, 'x'));
  EXPECT_FALSE(taken.get_future().get()) << "the connection was closed long before";
}

TEST(WebhookAnswer, WithAHeadWithoutEndIsGivenUp) {
  endpoint fields([](wire& w, const seen_request&) {
    w.write("HTTP/1.1 200 OK\r\n");
    while (w.write("x-more: and more\r\n")) {
    }
  });
  endpoint line([](wire& w, const seen_request&) {
    w.write("HTTP/1.1 200 OK\r\nx-long: ");
    while (w.write(std::string(1000, 'x'))) {
    }
  });
  endpoint announcements([](wire& w, const seen_request&) {
    while (w.write("HTTP/1.1 100 Continue\r\n\r\n")) {
    }
  });
  const auto sender = make_webhook_sender(open_to_loopback());
  const auto sent = send(*sender, fields.url());
  EXPECT_EQ(sent.error, "the head of its answer is longer than 32 KiB");
  EXPECT_FALSE(sent.status);
  EXPECT_EQ(send(*sender, line.url()).error, "its answer is not one of HTTP/1.1");
  EXPECT_EQ(send(*sender, announcements.url()).error, "the head of its answer is longer than 32 KiB");
}

TEST(WebhookAnswer, ThatIsNoHttpIsAFailure) {
  for (const auto* text :
       {"hello\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n"}) {
    const auto sent = answered_with(text);
    EXPECT_FALSE(sent.status) << text;
    EXPECT_NE(sent.error, "") << text;
  }
  EXPECT_EQ(answered_with("SSH-2.0-OpenSSH_9.2\r\n").error, "its answer is not one of HTTP/1.1");
}

TEST(WebhookAnswer, ThatDoesNotComeIsWaitedForUntilTheLimit) {
  endpoint to([](wire& w, const seen_request&) { w.closed_within(30'000); });
  auto config = open_to_loopback();
  config.time_limit = std::chrono::milliseconds(250);
  const auto sent = send(*make_webhook_sender(config), to.url());
  EXPECT_EQ(sent.error, "no answer within 250 ms");
  EXPECT_FALSE(sent.status);
  EXPECT_GE(sent.latency, std::chrono::milliseconds(250));
}

TEST(WebhookAnswer, WhoseHeadTricklesIsWaitedForUntilTheLimit) {
  endpoint to([](wire& w, const seen_request&) {
    w.write("HTTP/1.1 200 OK\r\nx-slow: ");
    while (!w.closed_within(20) && w.write("x")) {
    }
  });
  auto config = open_to_loopback();
  config.time_limit = std::chrono::seconds(1);
  EXPECT_EQ(send(*make_webhook_sender(config), to.url()).error, "no answer within 1 s");
}

TEST(WebhookAnswer, WhoseBodyTricklesCountsByItsStatus) {
  const auto trickle = [](const std::string& status) {
    return [status](wire& w, const seen_request&) {
      w.write("HTTP/1.1 " + status + "\r\ncontent-length: 1000000\r\n\r\n");
      while (w.write("x") && !w.closed_within(20)) {
      }
    };
  };
  endpoint good(trickle("200 OK"));
  endpoint bad(trickle("500 Oops"));
  auto config = open_to_loopback();
  config.time_limit = std::chrono::seconds(1);
  const auto sender = make_webhook_sender(config);
  const auto taken = send(*sender, good.url());
  EXPECT_EQ(taken.error, "");
  EXPECT_EQ(taken.status, 200);
  EXPECT_THAT(taken.body, StartsWith("x"));
  EXPECT_EQ(send(*sender, bad.url()).error, "the endpoint answered with 500");
}

TEST(WebhookAnswer, WhoseBodyBreaksOffCountsByItsStatus) {
  const auto sent = answered_with("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nthe beginning");
  EXPECT_EQ(sent.error, "");
  EXPECT_EQ(sent.body, "the beginning");
}

TEST(WebhookConnection, ThatIsClosedOrResetBeforeAnAnswerIsAFailure) {
  const auto sender = make_webhook_sender(open_to_loopback());
  endpoint closes([](wire& w, const seen_request&) { w.close(); });
  endpoint resets([](wire& w, const seen_request&) { w.reset(); });
  endpoint breaks_off([](wire& w, const seen_request&) {
    w.write("HTTP/1.1 200 OK\r\ncontent-le");
    w.close();
  });
  for (const auto* to : {&closes, &resets, &breaks_off}) {
    const auto sent = send(*sender, to->url());
    EXPECT_EQ(sent.error, "the connection was closed before an answer");
    EXPECT_FALSE(sent.status);
  }
}

TEST(WebhookConnection, ThatNobodyTakesIsRefused) {
  std::string url;
  {
    endpoint gone(always(""));
    url = gone.url();
  }
  EXPECT_EQ(send(*make_webhook_sender(open_to_loopback()), url).error, "the connection was refused");
}

TEST(WebhookConnection, NeedsANameThatCanBeResolved) {
  set_name("nowhere.example", {{}});
  EXPECT_EQ(send(*make_webhook_sender({}), "https://nowhere.example/").error, "its name cannot be resolved");
}

TEST(WebhookConnection, ThatIsNotMadeIsGivenUpEarlierThanAnAnswer) {
  endpoint silent([](wire&, const seen_request&) {}); // waits for a request, and TLS waits for it
  auto config = open_to_loopback();
  config.connect_limit = std::chrono::milliseconds(200);
  EXPECT_EQ(send(*make_webhook_sender(config), silent.url_of("https", "127.0.0.1")).error,
            "no connection within 200 ms");
}

TEST(WebhookConnection, IsNotMadeWithoutASecretToSignWith) {
  endpoint to(always(answer("200 OK")));
  auto what = message_to(to.url());
  what.secrets.former = what.secrets.current;
  what.secrets.current = secret();
  const auto how = send(*make_webhook_sender(open_to_loopback()), what);
  EXPECT_FALSE(how.status);
  EXPECT_EQ(how.error, "rdev cannot open its secret: the key that it was sealed with is not in RDEV_SECRETS_KEYS");
  EXPECT_EQ(to.connections(), 0);
}

TEST(WebhookConnection, UsesNoProxyOfTheEnvironment) {
  endpoint proxy(always(answer("200 OK")));
  endpoint to(always(answer("200 OK")));
  for (const auto* name : {"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY", "HTTPS_PROXY"})
    ::setenv(name, proxy.url("").c_str(), 1);
  EXPECT_EQ(send(*make_webhook_sender(open_to_loopback()), to.url()).error, "");
  for (const auto* name : {"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY", "HTTPS_PROXY"})
    ::unsetenv(name);
  EXPECT_EQ(proxy.connections(), 0);
  EXPECT_EQ(to.connections(), 1);
}

TEST(WebhookConnection, SendsNoCookieBack) {
  endpoint to(always(answer("200 OK", "", "set-cookie: a=b; path=/\r\n")));
  const auto sender = make_webhook_sender(open_to_loopback());
  send(*sender, to.url());
  send(*sender, to.url());
  ASSERT_EQ(to.requests().size(), 2U);
  EXPECT_FALSE(to.requests().back().fields.contains("cookie"));
}

} // namespace
} // namespace rdev::test
