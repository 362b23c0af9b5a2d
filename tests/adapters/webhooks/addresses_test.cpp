// Where connections are made to: what a name leads to counts at the very moment of connecting.
#include "endpoint.hpp"
#include "names.hpp"
#include "rig.hpp"

#include <gmock/gmock.h>

namespace rdev::test {
namespace {

using testing::HasSubstr;
using webhook_sending::make_webhook_sender;

struct row {
  std::string address;
  std::string what;
};

void PrintTo(const row& r, std::ostream* out) {
  *out << r.address;
}

class NameThatLeadsTo : public testing::TestWithParam<row> {};

TEST_P(NameThatLeadsTo, AnAddressOutsideOfTheInternetIsNotConnectedTo) {
  set_name("receiver.example", {{GetParam().address}});
  const auto sent = send(*make_webhook_sender({}), "https://receiver.example/hook");
  EXPECT_FALSE(sent.status);
  EXPECT_EQ(sent.error, "the address " + ip_address::parse(GetParam().address)->text() + " is not allowed: it is " +
                            GetParam().what + ", and in none of webhooks.allowed_networks");
  EXPECT_EQ(questions_for("receiver.example"), 1);
}

INSTANTIATE_TEST_SUITE_P(
    Addresses, NameThatLeadsTo,
    testing::Values(row{"0.0.0.0", "\"this network\""}, row{"10.0.0.1", "private"},
                    row{"100.64.0.1", "shared address space"}, row{"127.0.0.1", "loopback"},
                    row{"168.63.129.16", "Azure's platform address"}, row{"169.254.169.254", "link-local"},
                    row{"172.16.0.1", "private"}, row{"192.0.0.192", "reserved for protocols"},
                    row{"192.0.2.1", "for documentation"}, row{"192.88.99.1", "a relay of 6to4"},
                    row{"192.168.0.1", "private"}, row{"198.18.0.1", "for benchmarks"},
                    row{"198.51.100.1", "for documentation"}, row{"203.0.113.1", "for documentation"},
                    row{"224.0.0.1", "multicast"}, row{"240.0.0.1", "reserved"}, row{"255.255.255.255", "reserved"},
                    row{"::", "unspecified"}, row{"::1", "loopback"},
                    row{"::127.0.0.1", "a form of IPv4 addresses that is given up"},
                    row{"::ffff:127.0.0.1", "loopback"}, row{"64:ff9b::127.0.0.1", "loopback"},
                    row{"64:ff9b:1::1", "a local translation to IPv4"}, row{"100::1", "a black hole"},
                    row{"2001::1", "a tunnel (Teredo)"}, row{"2001:10::1", "reserved for protocols"},
                    row{"2001:db8::1", "for documentation"}, row{"2002:7f00:1::", "a tunnel (6to4)"},
                    row{"4000::1", "reserved"}, row{"fd00:ec2::254", "private"}, row{"fe80::1", "link-local"},
                    row{"fec0::1", "site-local"}, row{"ff02::1", "multicast"}));

class LiteralUrl : public testing::TestWithParam<std::string> {};

TEST_P(LiteralUrl, OfAnAddressOutsideOfTheInternetIsNotSentTo) {
  const auto sender = make_webhook_sender({});
  const auto problem = sender->problem_of(GetParam());
  ASSERT_TRUE(problem) << "known before anything is sent";
  const auto sent = send(*sender, GetParam());
  EXPECT_FALSE(sent.status);
  EXPECT_EQ(sent.error, "its URL " + *problem);
}

INSTANTIATE_TEST_SUITE_P(Urls, LiteralUrl,
                         testing::Values("https://127.0.0.1/", "https://[::1]/", "https://[::ffff:127.0.0.1]/",
                                         "https://2130706433/", "https://0177.0.0.1/", "https://0x7f.1/",
                                         "https://127.1/", "https://127.0.0.1./", "https://localhost/",
                                         "https://[64:ff9b::7f00:1]/", "http://127.0.0.1/", "http://example.com/"));

TEST(LocalhostName, IsReachedOnlyWhereLoopbackIsAllowed) {
  endpoint to(always(answer("200 OK")));
  auto config = open_to_loopback();
  EXPECT_EQ(send(*make_webhook_sender(config), to.url_of("http", "localhost")).error, "");
  config.allowed_networks = {*ip_network::parse("10.0.0.0/8")};
  EXPECT_EQ(send(*make_webhook_sender(config), to.url_of("http", "localhost")).error,
            "its URL must not lead to this machine: its addresses are in none of webhooks.allowed_networks");
  EXPECT_EQ(to.connections(), 1);
}

TEST(AllowedNetwork, IsReachedByNameWithAndWithoutTls) {
  endpoint to(always(answer("200 OK")));
  set_name("receiver.example", {{"127.0.0.1"}});
  const auto sender = make_webhook_sender(open_to_loopback());
  EXPECT_EQ(send(*sender, to.url_of("http", "receiver.example")).error, "");
  EXPECT_EQ(to.requests().front().fields["host"], "receiver.example:" + std::to_string(to.port()));
}

TEST(NameWithoutTls, MustLeadIntoAnAllowedNetwork) {
  set_name("receiver.example", {{"8.8.8.8"}});
  EXPECT_EQ(send(*make_webhook_sender(open_to_loopback()), "http://receiver.example/").error,
            "the address 8.8.8.8 is not allowed: it is in none of webhooks.allowed_networks, and everywhere else https "
            "is needed");
}

TEST(NameThatChanges, IsJudgedAgainForEachConnection) {
  endpoint to([](wire& w, const seen_request&) {
    w.write(answer("200 OK"));
    w.close();
  });
  auto config = open_to_loopback();
  config.allowed_networks = {*ip_network::parse("127.0.0.1/32")}; // stands for the internet
  config.name_limit = std::chrono::seconds(0);
  set_name("rebinding.example", {{"127.0.0.1"}, {"127.0.0.2"}, {"127.0.0.1"}});
  const auto sender = make_webhook_sender(config);
  const auto url = to.url_of("http", "rebinding.example");
  EXPECT_EQ(send(*sender, url).error, "");
  EXPECT_THAT(send(*sender, url).error, HasSubstr("the address 127.0.0.2 is not allowed"));
  EXPECT_EQ(send(*sender, url).error, "");
  EXPECT_EQ(to.connections(), 2);
  EXPECT_EQ(questions_for("rebinding.example"), 3);
}

TEST(NameThatChanges, CannotMoveAConnectionThatIsKept) {
  endpoint to(always(answer("200 OK")));
  auto config = open_to_loopback();
  config.allowed_networks = {*ip_network::parse("127.0.0.1/32")};
  config.name_limit = std::chrono::seconds(0);
  set_name("rebinding.example", {{"127.0.0.1"}, {"127.0.0.2"}});
  const auto sender = make_webhook_sender(config);
  const auto url = to.url_of("http", "rebinding.example");
  EXPECT_EQ(send(*sender, url).error, "");
  EXPECT_EQ(send(*sender, url).error, "");
  EXPECT_EQ(to.connections(), 1);
}

TEST(NameOfSeveralAddresses, IsReachedAtTheOneThatIsAllowed) {
  endpoint to(always(answer("200 OK")));
  auto config = open_to_loopback();
  config.allowed_networks = {*ip_network::parse("127.0.0.1/32")};
  const auto sender = make_webhook_sender(config);
  set_name("several.example", {{"127.0.0.2", "127.0.0.1"}});
  EXPECT_EQ(send(*sender, to.url_of("http", "several.example")).error, "");
  set_name("all-bad.example", {{"127.0.0.2", "::1", "10.0.0.1"}});
  EXPECT_THAT(send(*sender, to.url_of("http", "all-bad.example")).error, HasSubstr("is not allowed: it is "));
  EXPECT_EQ(to.connections(), 1);
}

} // namespace
} // namespace rdev::test
