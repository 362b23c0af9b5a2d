#include "messages/values/addresses.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace rdev {
namespace {

ip_address address(std::string_view text) {
  const auto parsed = ip_address::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(ip_address{});
}

ip_network network(std::string_view text) {
  const auto parsed = ip_network::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(ip_network{});
}

TEST(IpAddress, IsReadAndWritten) {
  EXPECT_EQ(address("192.0.2.7").text(), "192.0.2.7");
  EXPECT_EQ(address("2001:DB8:0:0::1").text(), "2001:db8::1");
  EXPECT_EQ(address("::").text(), "::");
  EXPECT_TRUE(address("192.0.2.7").v4);
  EXPECT_FALSE(address("::1").v4);
}

TEST(IpAddress, WrittenAsMappedIsTheV4Address) {
  EXPECT_EQ(address("::ffff:192.0.2.7"), address("192.0.2.7"));
  EXPECT_EQ(address("::ffff:c000:207").text(), "192.0.2.7");
  EXPECT_NE(address("::192.0.2.7"), address("192.0.2.7"));
}

TEST(IpAddress, RefusesBadForms) {
  for (const auto& text : std::vector<std::string>{"",
                                                   " ",
                                                   "1.2.3",
                                                   "1.2.3.4.5",
                                                   "256.1.1.1",
                                                   "1.2.3.4 ",
                                                   " 1.2.3.4",
                                                   "01.2.3.4",
                                                   "1.2.3.-4",
                                                   "0x1.2.3.4",
                                                   "1.2.3.4:80",
                                                   "[::1]",
                                                   ":::",
                                                   "1::2::3",
                                                   "12345::",
                                                   "g::",
                                                   "::1%lo",
                                                   "localhost",
                                                   "1.2.3.4/32",
                                                   std::string(300, '1'),
                                                   std::string("1.2.3.4\0", 8),
                                                   std::string("::1\0x", 5)})
    EXPECT_FALSE(ip_address::parse(text)) << "'" << text << "'";
}

TEST(IpNetwork, IsReadAndWritten) {
  EXPECT_EQ(network("10.0.0.0/8").text(), "10.0.0.0/8");
  EXPECT_EQ(network("10.1.2.3").text(), "10.1.2.3/32");
  EXPECT_EQ(network("2001:db8::/32").text(), "2001:db8::/32");
  EXPECT_EQ(network("::1").text(), "::1/128");
  EXPECT_EQ(network("0.0.0.0/0").text(), "0.0.0.0/0");
}

TEST(IpNetwork, WrittenAsMappedIsTheV4Network) {
  EXPECT_EQ(network("::ffff:10.0.0.0/104").text(), "10.0.0.0/8");
  EXPECT_EQ(network("::ffff:10.0.0.1").text(), "10.0.0.1/32");
  EXPECT_TRUE(network("::ffff:0:0/96").contains(address("203.0.113.9")));
  EXPECT_FALSE(ip_network::parse("::ffff:0:0/95")) << "is neither a v4 nor a v6 network";
}

TEST(IpNetwork, RefusesBadForms) {
  for (const auto& text : std::vector<std::string>{
           "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/ 8", "10.0.0.0/8 ",
           "10.0.0.0/08", "10.0.0.0/8/8", "10.0.0.0/255.0.0.0", "10.0.0/8", "::/129", "::/a", "::1/999999999999",
           "10.0.0.0/4294967304", std::string("10.0.0.1\0/8", 11), std::string("10.0.0.1/8\0", 11)})
    EXPECT_FALSE(ip_network::parse(text)) << "'" << text << "'";
}

TEST(IpNetwork, ContainsItsAddressesUpToTheBorders) {
  const auto n = network("10.20.32.0/20");
  EXPECT_TRUE(n.contains(address("10.20.32.0")));
  EXPECT_TRUE(n.contains(address("10.20.47.255")));
  EXPECT_FALSE(n.contains(address("10.20.31.255")));
  EXPECT_FALSE(n.contains(address("10.20.48.0")));
  const auto six = network("2001:db8:8000::/33");
  EXPECT_TRUE(six.contains(address("2001:db8:ffff::1")));
  EXPECT_FALSE(six.contains(address("2001:db8:7fff::1")));
}

TEST(IpNetwork, NeverMixesTheFamilies) {
  EXPECT_FALSE(network("::/0").contains(address("10.0.0.1")));
  EXPECT_FALSE(network("0.0.0.0/0").contains(address("::1")));
  EXPECT_FALSE(network("::/0").contains(network("10.0.0.0/8")));
  EXPECT_TRUE(network("10.0.0.0/8").contains(address("::ffff:10.0.0.1")));
}

TEST(IpNetwork, ContainsNarrowerNetworksOnly) {
  EXPECT_TRUE(network("10.0.0.0/8").contains(network("10.1.0.0/16")));
  EXPECT_TRUE(network("10.0.0.0/8").contains(network("10.0.0.0/8")));
  EXPECT_FALSE(network("10.0.0.0/8").contains(network("10.0.0.0/7")));
  EXPECT_FALSE(network("10.0.0.0/8").contains(network("11.0.0.0/9")));
  EXPECT_TRUE(network("2001:db8::/32").contains(network("2001:db8:1::/48")));
  EXPECT_FALSE(network("2001:db8:1::/48").contains(network("2001:db8::/32")));
}

// The rule bit by bit, to check the byte-wise one against.
bool contains_bit_by_bit(const ip_network& n, const ip_address& a) {
  if (n.address.v4 != a.v4)
    return false;
  const unsigned from = a.v4 ? 96 : 0;
  for (unsigned i = from; i < from + n.bits; ++i) {
    const auto mask = static_cast<std::uint8_t>(0x80U >> (i % 8));
    if ((n.address.bytes[i / 8] & mask) != (a.bytes[i / 8] & mask))
      return false;
  }
  return true;
}

TEST(IpNetwork, ContainsWhatSharesItsLeadingBits) {
  test::seeded random(4);
  for (int i = 0; i < 20'000; ++i) {
    const bool v4 = random.one_in(2);
    ip_network n{v4 ? address("0.0.0.0") : ip_address{}, static_cast<std::uint8_t>(random.below(v4 ? 33 : 129))};
    auto a = n.address;
    for (std::size_t at = v4 ? 12 : 0; at < 16; ++at) {
      n.address.bytes[at] = static_cast<std::uint8_t>(random.below(256));
      a.bytes[at] = n.address.bytes[at];
    }
    const auto flipped = random.below(v4 ? 32 : 128) + (v4 ? 96 : 0);
    a.bytes[flipped / 8] = static_cast<std::uint8_t>(a.bytes[flipped / 8] ^ (0x80U >> (flipped % 8)));
    ASSERT_EQ(n.contains(a), contains_bit_by_bit(n, a)) << n.text() << " " << a.text();
  }
}

// ---- X-Forwarded-For
std::string client(std::string_view peer, std::string_view header, const std::vector<std::string>& trusted) {
  std::vector<ip_network> networks;
  for (const auto& t : trusted)
    networks.push_back(network(t));
  return client_address(address(peer), header, networks).text();
}

TEST(ClientAddress, IsThePeerWhenThePeerIsNotTrusted) {
  EXPECT_EQ(client("203.0.113.9", "198.51.100.1", {}), "203.0.113.9");
  EXPECT_EQ(client("203.0.113.9", "198.51.100.1", {"10.0.0.0/8"}), "203.0.113.9");
}

TEST(ClientAddress, IsThePeerWithoutAHeader) {
  EXPECT_EQ(client("10.0.0.1", "", {"10.0.0.0/8"}), "10.0.0.1");
}

TEST(ClientAddress, IsTheRightMostUntrustedEntry) {
  EXPECT_EQ(client("10.0.0.1", "198.51.100.1", {"10.0.0.0/8"}), "198.51.100.1");
  EXPECT_EQ(client("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.2.2.2", {"10.0.0.0/8"}), "198.51.100.1");
  EXPECT_EQ(client("10.0.0.1", "10.9.9.9, 198.51.100.1", {"10.0.0.0/8"}), "198.51.100.1")
      << "what stands left of it may be made up";
}

TEST(ClientAddress, IsTheLeftMostWhenAllAreTrusted) {
  EXPECT_EQ(client("10.0.0.1", "10.0.0.3,10.0.0.2", {"10.0.0.0/8"}), "10.0.0.3");
}

TEST(ClientAddress, IsTheLastGoodOneRightOfAMalformedEntry) {
  EXPECT_EQ(client("10.0.0.1", "198.51.100.1, nonsense, 10.0.0.2", {"10.0.0.0/8"}), "10.0.0.2");
  EXPECT_EQ(client("10.0.0.1", "198.51.100.1,, 10.0.0.2", {"10.0.0.0/8"}), "10.0.0.2");
  EXPECT_EQ(client("10.0.0.1", "nonsense, 198.51.100.1", {"10.0.0.0/8"}), "198.51.100.1");
}

TEST(ClientAddress, IsThePeerWhenTheRightMostEntryIsMalformed) {
  for (const auto* header :
       {"198.51.100.1, nonsense", "198.51.100.1,", "198.51.100.1, 1.2.3.4:80", "unknown", ",", "  "})
    EXPECT_EQ(client("10.0.0.1", header, {"10.0.0.0/8"}), "10.0.0.1") << header;
}

TEST(ClientAddress, KnowsBothFamiliesAndTheMappedForm) {
  EXPECT_EQ(client("::1", "2001:db8::5", {"::1"}), "2001:db8::5");
  EXPECT_EQ(client("::ffff:10.0.0.1", "::ffff:198.51.100.1", {"10.0.0.0/8"}), "198.51.100.1");
}

TEST(ClientAddress, TrimsBlanksAroundEntries) {
  EXPECT_EQ(client("10.0.0.1", "  198.51.100.1\t,\t 10.0.0.2  ", {"10.0.0.0/8"}), "198.51.100.1");
}

// The rule of the contract, entry by entry from a list instead of from text.
TEST(ClientAddress, FollowsTheRuleForAnyList) {
  test::seeded random(5);
  const std::vector<std::string> pool{"10.0.0.2", "10.0.0.3", "198.51.100.1", "2001:db8::1", "bad", ""};
  const auto inside = network("10.0.0.0/8");
  for (int i = 0; i < 5'000; ++i) {
    std::vector<std::string> entries(1 + random.below(5));
    std::string header;
    for (auto& e : entries) {
      e = random.any_of(pool);
      header += (&e == entries.data() ? "" : ", ") + e;
    }
    std::string expected = "10.0.0.1";
    for (auto e = entries.rbegin(); e != entries.rend(); ++e) {
      const auto parsed = ip_address::parse(*e);
      if (!parsed)
        break;
      expected = *e;
      if (!inside.contains(*parsed))
        break;
    }
    ASSERT_EQ(client("10.0.0.1", header, {"10.0.0.0/8"}), expected) << header;
  }
}

} // namespace
} // namespace rdev
