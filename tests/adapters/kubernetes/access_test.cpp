#include "adapters/kubernetes/access.hpp"
#include "messages/values/ids.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace rdev::kubernetes {
namespace {

using ::testing::HasSubstr;

std::string config(const std::string& cluster, const std::string& user) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: one\n"
         "clusters:\n- {name: c, cluster: {" +
         cluster +
         "}}\n"
         "users:\n- {name: u, user: {" +
         user +
         "}}\n- {name: other, user: {token: another}}\n"
         "contexts:\n- {name: one, context: {cluster: c, user: u, namespace: there}}\n"
         "- {name: two, context: {cluster: c, user: other}}\n- {name: bad, context: {cluster: none, user: u}}\n";
}

const std::string server = "server: 'https://example.org:6443'";

class Access : public ::testing::Test {
protected:
  Access() : folder(std::filesystem::temp_directory_path() / ("rdev-access-" + node_id::make().text())) {
    std::filesystem::create_directories(folder);
  }
  ~Access() override {
    std::filesystem::remove_all(folder);
  }
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(folder + "/" + name) << text;
  }
  [[nodiscard]] result<cluster_access> parse(const std::string& cluster, const std::string& user,
                                             const std::string& context = "") const {
    return parse_kubeconfig(config(cluster, user), folder, context);
  }
  void expect_refused(const std::string& cluster, const std::string& user, const std::string& why) const {
    const auto got = parse(cluster, user);
    ASSERT_FALSE(got) << cluster << " / " << user;
    EXPECT_EQ(got.error().code, fault::invalid);
    EXPECT_THAT(got.error().message, HasSubstr(why));
  }
  std::string folder;
};

TEST_F(Access, ReadsServerTokenAndNamespaceOfTheCurrentContext) {
  const auto got = parse(server + ", certificate-authority-data: Q0E=", "token: abc");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->host, "example.org");
  EXPECT_EQ(got->port, 6443);
  EXPECT_EQ(got->base_path, "");
  EXPECT_EQ(got->authority, "CA");
  EXPECT_EQ(got->token.reveal(), "abc");
  EXPECT_EQ(got->given_namespace, "there");
}

TEST_F(Access, TakesTheContextThatItIsTold) {
  const auto got = parse(server, "token: abc", "two");
  ASSERT_TRUE(got);
  EXPECT_EQ(got->token.reveal(), "another");
  EXPECT_EQ(got->given_namespace, "");
  EXPECT_THAT(parse(server, "token: abc", "three").error().message, HasSubstr("there is no context 'three'"));
  EXPECT_THAT(parse(server, "token: abc", "bad").error().message, HasSubstr("the cluster 'none', which is not there"));
}

TEST_F(Access, ReadsServersOfEveryForm) {
  const auto parts = [&](const std::string& url) {
    const auto got = parse("server: '" + url + "'", "token: a");
    return got ? got->host + "|" + std::to_string(got->port) + "|" + got->base_path : got.error().message;
  };
  EXPECT_EQ(parts("https://a.b"), "a.b|443|");
  EXPECT_EQ(parts("https://10.0.0.1:1/"), "10.0.0.1|1|");
  EXPECT_EQ(parts("https://[::1]:6443/k8s/clusters/x/"), "::1|6443|/k8s/clusters/x");
  EXPECT_EQ(parts("https://[::1]"), "::1|443|");
  EXPECT_THAT(parts("http://a.b"), HasSubstr("https://"));
  EXPECT_THAT(parts("https://a.b:0"), HasSubstr("wrong port"));
  EXPECT_THAT(parts("https://a.b:65536"), HasSubstr("wrong port"));
  EXPECT_THAT(parts("https://:1"), HasSubstr("names no host"));
  EXPECT_THAT(parts("https:///x"), HasSubstr("names no host"));
}

TEST_F(Access, ReadsFilesBesideTheConfig) {
  put("ca.pem", "the CA");
  put("cert.pem", "the certificate");
  put("key.pem", "the key");
  const auto got = parse(server + ", certificate-authority: ca.pem",
                         "client-certificate: cert.pem, client-key: " + folder + "/key.pem");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->authority, "the CA");
  EXPECT_EQ(got->certificate, "the certificate");
  EXPECT_EQ(got->private_key.reveal(), "the key");
  expect_refused(server + ", certificate-authority: none.pem", "token: a", "none.pem");
}

TEST_F(Access, ReadsATokenFileEachTime) {
  put("token", "first\n");
  const auto got = parse(server, "tokenFile: token");
  ASSERT_TRUE(got);
  EXPECT_EQ(token_of(*got)->reveal(), "first");
  put("token", "second\n");
  EXPECT_EQ(token_of(*got)->reveal(), "second");
  std::filesystem::remove(folder + "/token");
  EXPECT_EQ(token_of(*got).error().code, fault::unavailable);
}

TEST_F(Access, RefusesWhatItDoesNotDoAndSaysWhatToDo) {
  expect_refused(server + ", insecure-skip-tls-verify: true", "token: a", "always checks the server's certificate");
  expect_refused(server + ", tls-server-name: x", "token: a", "tls-server-name");
  expect_refused(server + ", proxy-url: x", "token: a", "proxy-url");
  expect_refused(server, "exec: {command: aws}", "give a token or a client certificate");
  expect_refused(server, "auth-provider: {name: gcp}", "auth-provider");
  expect_refused(server, "username: a, password: b", "password");
  expect_refused(server, "client-certificate-data: Q0E=", "only one of client certificate and key");
  expect_refused(server, "client-certificate-data: '%%%%', client-key-data: Q0E=", "no base64");
}

TEST_F(Access, RefusesWhatIsNoConfig) {
  for (const std::string text : {"", "- a", "a: [", "\xff", "current-context: x", "clusters: 1\ncurrent-context: x"}) {
    const auto got = parse_kubeconfig(text, folder, "");
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(got.error().code, fault::invalid);
  }
  EXPECT_FALSE(read_kubeconfig(folder + "/none", ""));
  put("large", std::string(2 * 1024 * 1024, ' '));
  EXPECT_THAT(read_kubeconfig(folder + "/large", "").error().message, HasSubstr("larger than 1 MiB"));
}

TEST_F(Access, InAPodItUsesTheServiceAccount) {
  ::unsetenv("KUBERNETES_SERVICE_HOST");
  EXPECT_THAT(in_cluster(folder).error().message, HasSubstr("set KUBECONFIG"));
  ::setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
  ::setenv("KUBERNETES_SERVICE_PORT", "6443", 1);
  EXPECT_FALSE(in_cluster(folder));
  put("ca.crt", "the CA");
  put("token", "abc");
  put("namespace", "rdev\n");
  const auto got = in_cluster(folder);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->host, "10.96.0.1");
  EXPECT_EQ(got->port, 6443);
  EXPECT_EQ(got->authority, "the CA");
  EXPECT_EQ(token_of(*got)->reveal(), "abc");
  EXPECT_EQ(got->given_namespace, "rdev");
  ::unsetenv("KUBERNETES_SERVICE_HOST");
  ::unsetenv("KUBERNETES_SERVICE_PORT");
}

} // namespace
} // namespace rdev::kubernetes
