#include "adapters/webhooks/address_guard.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>

namespace rdev::webhook_sending {
namespace {

ip_address address(std::string_view text) {
  return *ip_address::parse(text);
}

const std::vector<std::string_view> refused{
    "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.100.100.200", "100.127.255.255",
    "127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.0.0", "169.254.169.254", "169.254.255.255", "172.16.0.0",
    "172.31.255.255", "192.0.0.0", "192.0.0.192", "192.0.0.255", "192.0.2.1", "192.88.99.1", "192.168.0.0",
    "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255",
    "240.0.0.0", "255.255.255.255",
    // IPv6
    "::", "::1", "::2", "::7f00:1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::169.254.169.254",
    "64:ff9b::0.0.0.0", "64:ff9b:1::8.8.8.8", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b::1:8.8.8.8", "100::1",
    "100:0:0:1::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1", "2001:20::1",
    "2001:30::1", "2001:1ff:ffff::", "2001:db8::1", "2002::1", "2002:7f00:1::", "2002:808:808::", "3fff::1",
    "3fff:fff:ffff::", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "febf::1",
    "fec0::1", "feff::1", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};

const std::vector<std::string_view> open_to_all{"1.1.1.1",
                                                "8.8.8.8",
                                                "9.255.255.255",
                                                "11.0.0.0",
                                                "100.63.255.255",
                                                "100.128.0.0",
                                                "126.255.255.255",
                                                "128.0.0.0",
                                                "168.63.129.15",
                                                "169.253.255.255",
                                                "169.255.0.0",
                                                "172.15.255.255",
                                                "172.32.0.0",
                                                "191.255.255.255",
                                                "192.0.1.0",
                                                "192.0.3.0",
                                                "192.167.255.255",
                                                "192.169.0.0",
                                                "198.17.255.255",
                                                "198.20.0.0",
                                                "223.255.255.255",
                                                "::ffff:8.8.8.8",
                                                "64:ff9b::8.8.8.8",
                                                "2000::1",
                                                "2001:200::1",
                                                "2001:4860:4860::8888",
                                                "2001:db7::1",
                                                "2003::1",
                                                "2606:4700:4700::1111",
                                                "3ffe:ffff::1"};

TEST(AddressGuard, RefusesEveryAddressThatIsNotOfTheInternet) {
  const address_guard guard({});
  for (const auto text : refused) {
    const auto problem = guard.problem_of(address(text), true);
    ASSERT_TRUE(problem) << text;
    EXPECT_TRUE(problem->starts_with("it is ")) << *problem;
    EXPECT_NE(problem->find("webhooks.allowed_networks"), std::string::npos) << *problem;
    EXPECT_TRUE(guard.problem_of(address(text), false)) << text;
  }
}

TEST(AddressGuard, LetsTheInternetThroughWithTlsOnly) {
  const address_guard guard({*ip_network::parse("10.0.0.0/8")});
  for (const auto text : open_to_all) {
    EXPECT_FALSE(guard.problem_of(address(text), true)) << text;
    EXPECT_EQ(guard.problem_of(address(text), false),
              "it is in none of webhooks.allowed_networks, and everywhere else https is needed")
        << text;
  }
}

TEST(AddressGuard, LetsAllowedNetworksThroughAndNothingBesideThem) {
  const address_guard guard({*ip_network::parse("10.1.0.0/16"), *ip_network::parse("fd00:1::/32")});
  for (const auto* text : {"10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00:1::7"}) {
    EXPECT_FALSE(guard.problem_of(address(text), true)) << text;
    EXPECT_FALSE(guard.problem_of(address(text), false)) << text;
  }
  for (const auto* text :
       {"10.0.255.255", "10.2.0.0", "::10.1.2.3", "2002:a01:203::", "64:ff9b:1::10.1.2.3", "fd00:2::7"})
    EXPECT_TRUE(guard.problem_of(address(text), true)) << text;
}

TEST(AddressGuard, TakesNoNetworkOfOneFamilyForOneOfTheOther) {
  const address_guard v4({*ip_network::parse("0.0.0.0/0")});
  EXPECT_FALSE(v4.problem_of(address("127.0.0.1"), false));
  EXPECT_TRUE(v4.problem_of(address("::1"), true));
  const address_guard v6({*ip_network::parse("::/0")});
  EXPECT_FALSE(v6.problem_of(address("::1"), false));
  EXPECT_TRUE(v6.problem_of(address("127.0.0.1"), true));
}

TEST(AddressGuard, SaysWhatAnAddressIs) {
  EXPECT_EQ(special_purpose(address("169.254.169.254")), "link-local");
  EXPECT_EQ(special_purpose(address("64:ff9b::127.0.0.1")), "loopback");
  EXPECT_EQ(special_purpose(address("2001::1")), "a tunnel (Teredo)");
  EXPECT_EQ(special_purpose(address("8.8.8.8")), "");
}

TEST(SocketAddresses, AreReadInBothFamiliesAndNoOther) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(0x7f000001);
  EXPECT_EQ(address_in(reinterpret_cast<const sockaddr&>(v4)), address("127.0.0.1"));
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_addr = in6addr_loopback;
  EXPECT_EQ(address_in(reinterpret_cast<const sockaddr&>(v6)), address("::1"));
  const auto mapped = address("::ffff:10.0.0.1").bytes;
  std::copy(mapped.begin(), mapped.end(), v6.sin6_addr.s6_addr);
  EXPECT_EQ(address_in(reinterpret_cast<const sockaddr&>(v6)), address("10.0.0.1"));
  v4.sin_family = AF_UNIX;
  EXPECT_FALSE(address_in(reinterpret_cast<const sockaddr&>(v4)));
}

} // namespace
} // namespace rdev::webhook_sending
