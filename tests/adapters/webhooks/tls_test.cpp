// Endpoints with TLS, whose certificates come from an authority that the test makes.
#include "endpoint.hpp"
#include "names.hpp"
#include "rig.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace rdev::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using webhook_sending::make_webhook_sender;

class WebhookTls : public testing::Test {
protected:
  static void SetUpTestSuite() {
    std::string name = (std::filesystem::temp_directory_path() / "rdev-tls-XXXXXX").string();
    folder() = ::mkdtemp(name.data());
    for (const auto* ca : {"ca", "other"})
      run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=" + std::string(ca) +
          " of a test' -keyout " + ca + ".key -out " + ca + ".pem");
    make_certificate("good", "ca", "DNS:receiver.example,IP:127.0.0.1", "2");
    make_certificate("unknown", "other", "DNS:receiver.example,IP:127.0.0.1", "2");
    make_certificate("elsewhere", "ca", "DNS:elsewhere.example", "2");
  }
  static void TearDownTestSuite() {
    std::filesystem::remove_all(folder());
  }

  static void make_certificate(const std::string& name, const std::string& ca, const std::string& names,
                               const std::string& days) {
    std::ofstream(folder() / (name + ".ext")) << "subjectAltName=" << names << "\n";
    run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=" + name + " -keyout " + name +
        ".key -out " + name + ".csr");
    run("openssl x509 -req -in " + name + ".csr -CA " + ca + ".pem -CAkey " + ca + ".key -CAcreateserial -days " +
        days + " -extfile " + name + ".ext -out " + name + ".pem");
  }
  static void run(const std::string& command) {
    const auto line = "cd '" + folder().string() + "' && " + command + " >log 2>&1";
    ASSERT_EQ(std::system(line.c_str()), 0) << command;
  }
  static std::filesystem::path& folder() {
    static std::filesystem::path path;
    return path;
  }
  static certificate_files files(const std::string& name) {
    return {(folder() / (name + ".pem")).string(), (folder() / (name + ".key")).string()};
  }
  static webhook_sending::sender_config trusting() {
    auto out = open_to_loopback();
    out.authority_file = (folder() / "ca.pem").string();
    return out;
  }

  void SetUp() override {
    set_name("receiver.example", {{"127.0.0.1"}});
  }
};

TEST_F(WebhookTls, ReachesTheOneWhoseNameItKnowsAndSaysThatName) {
  endpoint to(always(answer("200 OK")), files("good"));
  const auto sender = make_webhook_sender(trusting());
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(send(*sender, to.url_of("https", "receiver.example") + "/x").error, "");
  EXPECT_EQ(to.connections(), 1);
  EXPECT_THAT(to.asked_names(), testing::ElementsAre("receiver.example"));
  EXPECT_EQ(to.requests().front().fields["host"], "receiver.example:" + std::to_string(to.port()));
}

TEST_F(WebhookTls, ReachesAnAddressThatTheCertificateNames) {
  endpoint to(always(answer("200 OK")), files("good"));
  EXPECT_EQ(send(*make_webhook_sender(trusting()), to.url_of("https", "127.0.0.1")).error, "");
}

TEST_F(WebhookTls, RefusesACertificateForAnotherName) {
  endpoint to(always(answer("200 OK")), files("elsewhere"));
  const auto sent = send(*make_webhook_sender(trusting()), to.url_of("https", "receiver.example"));
  EXPECT_THAT(sent.error, StartsWith("its certificate cannot be verified: "));
  EXPECT_THAT(sent.error, HasSubstr("receiver.example"));
  EXPECT_TRUE(to.requests().empty());
}

TEST_F(WebhookTls, RefusesACertificateOfAnUnknownAuthority) {
  endpoint to(always(answer("200 OK")), files("unknown"));
  const auto url = to.url_of("https", "receiver.example");
  EXPECT_EQ(send(*make_webhook_sender(trusting()), url).error,
            "its certificate cannot be verified: unable to get local issuer certificate");
  EXPECT_THAT(send(*make_webhook_sender(open_to_loopback()), url).error,
              StartsWith("its certificate cannot be verified: "))
      << "nor with the system's authorities";
  EXPECT_TRUE(to.requests().empty());
}

TEST_F(WebhookTls, SaysWhenTheOtherEndSpeaksNoTls) {
  endpoint to(always(""), {}, "220 mail.example ESMTP\r\n");
  EXPECT_EQ(send(*make_webhook_sender(trusting()), to.url_of("https", "receiver.example")).error,
            "no TLS connection could be made: wrong version number");
}

TEST_F(WebhookTls, SaysWhenItsOwnListOfAuthoritiesIsMissing) {
  endpoint to(always(answer("200 OK")), files("good"));
  auto config = trusting();
  config.authority_file = "/nonexistent.pem";
  EXPECT_EQ(send(*make_webhook_sender(config), to.url_of("https", "receiver.example")).error,
            "rdev cannot read its list of certificate authorities");
}

TEST_F(WebhookTls, SendsWhatIsForATlsEndpointToNobodyWithoutIt) {
  endpoint to(always(answer("200 OK")), files("good"));
  const auto sent = send(*make_webhook_sender(trusting()), to.url_of("http", "receiver.example"));
  EXPECT_EQ(sent.error, "the connection was closed before an answer");
}

} // namespace
} // namespace rdev::test
