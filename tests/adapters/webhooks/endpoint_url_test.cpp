#include "adapters/webhooks/endpoint_url.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rdev::webhook_sending {
namespace {

using testing::HasSubstr;

const address_guard nothing_allowed({});
const address_guard loopback_allowed({*ip_network::parse("127.0.0.0/8"), *ip_network::parse("::1")});

struct row {
  std::string url;
  std::string problem; // a part of it
};

void PrintTo(const row& r, std::ostream* out) {
  *out << r.url.substr(0, 80);
}

class RefusedUrl : public testing::TestWithParam<row> {};

TEST_P(RefusedUrl, IsRefusedAndToldWhy) {
  const auto problem = problem_of(GetParam().url, nothing_allowed);
  ASSERT_TRUE(problem);
  EXPECT_THAT(*problem, HasSubstr(GetParam().problem));
}

INSTANTIATE_TEST_SUITE_P(OtherSchemes, RefusedUrl,
                         testing::Values(row{"", "https://"}, row{"example.com/hook", "https://"},
                                         row{"//example.com/", "https://"}, row{"ftp://example.com/", "https://"},
                                         row{"file:///etc/passwd", "https://"},
                                         row{"gopher://example.com/_x", "https://"},
                                         row{"https:example.com", "https://"}, row{"https:/example.com/", "https://"},
                                         row{" https://example.com/", "https://"}, row{"unix://x", "https://"},
                                         row{"http://example.com/", "webhooks.allowed_networks"},
                                         row{"HTTP://192.0.2.1/", "webhooks.allowed_networks"}));

INSTANTIATE_TEST_SUITE_P(
    OtherForms, RefusedUrl,
    testing::Values(row{"https://", "a host"}, row{"https:///", "a host"}, row{"https:///example.com/", "a host"},
                    row{"https://:443/", "a host"}, row{"https://?x", "a host"},
                    row{"https://user@example.com/", "a user"}, row{"https://user:pw@example.com/", "a user"},
                    row{"https://@example.com/", "a user"}, row{"https://example.com@127.0.0.1/", "a user"},
                    row{"https://example.com/#part", "fragment"}, row{"https://example.com/#", "fragment"},
                    row{"https://example.com#@127.0.0.1/", "fragment"}, row{"https://example.com:0/", "port from 1"},
                    row{"https://example.com:00/", "port from 1"}, row{"https://example.com:65536/", "URL"},
                    row{"https://example.com:99999999999999999999/", "URL"}, row{"https://example.com:x/", "a port"},
                    row{"https://example.com:/", "a port"}, row{"https://example.com:80:80/", "a port"},
                    row{"https://example.com:-1/", "a port"}, row{"https://a b.com/", "character"},
                    row{"https://example.com/a b", "character"}, row{"https://example.com/\r\nx: y", "character"},
                    row{"https://example.com/\t", "character"}, row{"https://example.com\\@127.0.0.1/", "character"},
                    row{std::string("https://a\0b/", 12), "character"}, row{"https://example.com/\x7f", "character"},
                    row{"https://example.com/\xc3\xa4", "character"},
                    row{"https://example.com/" + std::string(2048, 'x'), "2048"}));

INSTANTIATE_TEST_SUITE_P(OddNames, RefusedUrl,
                         testing::Values(row{"https://example.com./", "a dot"}, row{"https://.example.com/", "labels"},
                                         row{"https://example..com/", "labels"}, row{"https://-a.com/", "labels"},
                                         row{"https://a-.com/", "labels"}, row{"https://a!b.com/", "labels"},
                                         row{"https://a,b/", "labels"}, row{"https://{a,b}.com/", "labels"},
                                         row{"https://a;b/", "labels"}, row{"https://*.com/", "labels"},
                                         row{"https://" + std::string(64, 'a') + ".com/", "labels"},
                                         row{"https://" + std::string(252, 'a') + ".b/", "253"},
                                         row{"https://b\xc3\xbc"
                                             "cher.example/",
                                             "xn--"}));

INSTANTIATE_TEST_SUITE_P(
    Localhost, RefusedUrl,
    testing::Values(row{"https://localhost/", "this machine"}, row{"https://LOCALHOST:8443/", "this machine"},
                    row{"https://a.localhost/", "this machine"}, row{"https://localhost./", "a dot"},
                    row{"https://localhost.localdomain/", "this machine"},
                    row{"https://ip6-localhost/", "this machine"}, row{"https://localhost6/", "this machine"}));

INSTANTIATE_TEST_SUITE_P(
    Addresses, RefusedUrl,
    testing::Values(row{"https://127.0.0.1/", "loopback"}, row{"https://127.0.0.1:443/", "loopback"},
                    row{"https://0.0.0.0/", "this network"}, row{"https://10.0.0.1/", "private"},
                    row{"https://172.16.0.1/", "private"}, row{"https://192.168.1.1/", "private"},
                    row{"https://169.254.169.254/latest/meta-data/", "link-local"},
                    row{"https://100.64.0.1/", "shared"}, row{"https://255.255.255.255/", "reserved"},
                    row{"https://224.0.0.1/", "multicast"}, row{"https://[::1]/", "loopback"},
                    row{"https://[::]/", "unspecified"}, row{"https://[0:0:0:0:0:0:0:1]/", "loopback"},
                    row{"https://[::ffff:127.0.0.1]/", "loopback"}, row{"https://[::ffff:7f00:1]/", "loopback"},
                    row{"https://[::127.0.0.1]/", "given up"}, row{"https://[64:ff9b::127.0.0.1]/", "loopback"},
                    row{"https://[64:ff9b::a00:1]/", "private"}, row{"https://[64:ff9b:1::1]/", "local translation"},
                    row{"https://[2002:7f00:1::]/", "6to4"}, row{"https://[2001:0:7f00:1::]/", "Teredo"},
                    row{"https://[fe80::1]/", "link-local"}, row{"https://[fec0::1]/", "site-local"},
                    row{"https://[fd00:ec2::254]/", "private"}, row{"https://[ff02::1]/", "multicast"},
                    row{"https://[2001:db8::1]/", "documentation"}));

// Each is 127.0.0.1, or another address that must not be reached, for some resolver or library.
INSTANTIATE_TEST_SUITE_P(
    AddressesWrittenOtherwise, RefusedUrl,
    testing::Values(row{"https://2130706433/", "usual way"}, row{"https://0x7f000001/", "usual way"},
                    row{"https://0X7F000001/", "usual way"}, row{"https://017700000001/", "usual way"},
                    row{"https://127.1/", "usual way"}, row{"https://127.0.1/", "usual way"},
                    row{"https://0177.0.0.1/", "usual way"}, row{"https://0x7f.1/", "usual way"},
                    row{"https://0x7f.0.0.0x1/", "usual way"}, row{"https://127.0.0.01/", "usual way"},
                    row{"https://127.0.0.001/", "usual way"}, row{"https://00000127.0.0.1/", "usual way"},
                    row{"https://127.0.0.1.1/", "usual way"}, row{"https://127.0.0.256/", "usual way"},
                    row{"https://127.0.0.4294967297/", "usual way"}, row{"https://0/", "usual way"},
                    row{"https://0x/", "usual way"}, row{"https://example.0x7f/", "usual way"},
                    row{"https://127.0.0.1./", "a dot"}, row{"https://127.1./", "a dot"},
                    row{"https://127.0.0.1../", "a dot"}, row{"https://127.0.0.%31/", "%"},
                    row{"https://%31%32%37.0.0.1/", "%"}, row{"https://127%2e0%2e0%2e1/", "%"},
                    row{"https://loc%61lhost/", "%"}, row{"https://127.0.0.1%00.example.com/", "%"},
                    row{"https://[fe80::1%eth0]/", "%"}, row{"https://[fe80::1%25eth0]/", "%"},
                    row{"https://[::1%25lo]/", "%"},
                    row{"https://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/", "character"}, // full-width 127
                    row{"https://127\xe3\x80\x82"
                        "0\xe3\x80\x82"
                        "0\xe3\x80\x82"
                        "1/",
                        "character"},                                                        // ideographic full stops
                    row{"https://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/", "character"}, // circled digits
                    row{"https://\xe2\x93\x9bocalhost/", "character"}, row{"https://[127.0.0.1]/", "IPv6"},
                    row{"https://[localhost]/", "IPv6"}, row{"https://[::1/", "host"}, row{"https://[::1]x/", "a port"},
                    row{"https://[::1]:/", "a port"}, row{"https://[]/", "a host"}, row{"https://::1/", "a port"},
                    row{"https://[::ffff:0x7f.0.0.1]/", "IPv6"}, row{"https://[v1.a]/", "IPv6"}));

TEST(Url, OfTheInternetIsTakenWithTls) {
  for (const auto* url : {"https://example.com", "https://example.com/hook", "https://example.com:8443/a/b?c=d&e=%20",
                          "HTTPS://Example.COM/", "https://xn--bcher-kva.example/", "https://a_b.example.com/",
                          "https://receiver/", "https://8.8.8.8/", "https://[2606:4700:4700::1111]:8443/x",
                          "https://[2606:4700:4700:0:0:0:0:1111]/", "https://1password.com/", "https://3com.example/",
                          "https://example.com?x=@127.0.0.1", "https://metadata.google.internal/"})
    EXPECT_EQ(problem_of(url, nothing_allowed), std::nullopt) << url;
  EXPECT_EQ(problem_of("https://example.com/" + std::string(2028, 'x'), nothing_allowed), std::nullopt);
}

TEST(Url, WithoutTlsIsTakenForAllowedAddressesAndForNames) {
  for (const auto* url : {"http://127.0.0.1:8080/hook", "http://[::1]:8080/", "http://[::ffff:127.0.0.1]/",
                          "http://localhost:8080/", "http://a.localhost/", "http://receiver.example/"})
    EXPECT_EQ(problem_of(url, loopback_allowed), std::nullopt) << url;
  EXPECT_EQ(
      problem_of("http://8.8.8.8/", loopback_allowed),
      "must not lead to 8.8.8.8: it is in none of webhooks.allowed_networks, and everywhere else https is needed");
  EXPECT_EQ(problem_of("http://10.0.0.1/", loopback_allowed),
            "must not lead to 10.0.0.1: it is private, and in none of webhooks.allowed_networks");
}

TEST(Url, OfAnAllowedAddressMustStillBeWrittenInTheUsualWay) {
  EXPECT_EQ(problem_of("https://127.0.0.1/", loopback_allowed), std::nullopt);
  for (const auto* url : {"http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://127.0.0.1./"})
    EXPECT_TRUE(problem_of(url, loopback_allowed)) << url;
}

TEST(Url, IsReadAsCurlReadsIt) {
  const auto read = read_url("https://Example.com:8443/x");
  EXPECT_EQ(read.problem, "");
  EXPECT_TRUE(read.url.encrypted);
  EXPECT_EQ(read.url.host, "Example.com");
  EXPECT_EQ(read.url.port, 8443);
  EXPECT_EQ(read_url("http://[2606:4700::1]").url.host, "2606:4700::1");
  EXPECT_EQ(read_url("http://a/").url.port, 80);
  EXPECT_EQ(read_url("https://a?x").url.port, 443);
}

} // namespace
} // namespace rdev::webhook_sending
