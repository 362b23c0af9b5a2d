#include "messages/values/keys.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace rdev {
namespace {

using namespace std::chrono_literals;
using strings = std::vector<std::string>;

constexpr std::array every_scope{scope::projects_read,  scope::projects_write, scope::projects_execute,
                                 scope::keys_read,      scope::keys_write,     scope::webhooks_read,
                                 scope::webhooks_write, scope::audit_read,     scope::admin};

TEST(Scopes, AllowWhatTheyHoldAndNothingElse) {
  for (const auto held : every_scope)
    for (const auto wanted : every_scope) {
      const bool implied =
          held == scope::admin || held == wanted || (held == scope::projects_execute && wanted == scope::projects_read);
      EXPECT_EQ(scopes{held}.allow(wanted), implied) << name_of(held) << " / " << name_of(wanted);
    }
}

TEST(Scopes, AllowNothingWhenEmpty) {
  EXPECT_TRUE(scopes{}.empty());
  for (const auto wanted : every_scope)
    EXPECT_FALSE(scopes{}.allow(wanted)) << name_of(wanted);
}

TEST(Scopes, DominateExactlyWhenEveryRightOfTheOtherIsTheirs) {
  for (unsigned a = 0; a < 512; ++a)
    for (unsigned b = 0; b < 512; ++b) {
      scopes x;
      scopes y;
      bool within = true;
      for (std::size_t i = 0; i < every_scope.size(); ++i) {
        if ((a >> i & 1U) != 0)
          x.add(every_scope[i]);
        if ((b >> i & 1U) != 0)
          y.add(every_scope[i]);
      }
      for (const auto s : every_scope)
        within = within && (!y.allow(s) || x.allow(s));
      ASSERT_EQ(x.dominate(y), within) << a << " over " << b;
    }
}

TEST(Scopes, HaveTheNamesOfTheContractInTheirOrder) {
  scopes all;
  for (const auto s : every_scope)
    all.add(s);
  EXPECT_THAT(all.names(),
              testing::ElementsAre("projects:read", "projects:write", "projects:execute", "keys:read", "keys:write",
                                   "webhooks:read", "webhooks:write", "audit:read", "admin"));
  for (const auto s : every_scope)
    EXPECT_EQ(scope_from(name_of(s)), s);
  for (const auto* wrong : {"", "projects", "Projects:read", "projects:read ", "projects:*", "ADMIN", "root"})
    EXPECT_FALSE(scope_from(wrong)) << wrong;
}

api_key unrestricted() {
  api_key out;
  out.granted = {scope::projects_execute, scope::keys_write};
  return out;
}

api_key with_projects(strings list) {
  auto out = unrestricted();
  out.project_ids = std::move(list);
  return out;
}

api_key with_addresses(strings list) {
  auto out = unrestricted();
  out.allowed_ips = std::move(list);
  return out;
}

api_key with_end(timestamp t) {
  auto out = unrestricted();
  out.expires_at = t;
  return out;
}

api_key with_rate(int rps) {
  auto out = unrestricted();
  out.rate_limit = rps;
  return out;
}

TEST(Domination, HoldsOverOneself) {
  auto x = unrestricted();
  EXPECT_TRUE(dominates(x, x));
  x.project_ids = strings{"a", "b"};
  x.allowed_ips = strings{"10.0.0.0/8", "::1"};
  x.expires_at = timestamp(100s);
  x.rate_limit = 5;
  EXPECT_TRUE(dominates(x, x));
}

TEST(Domination, NeedsTheScopes) {
  auto reader = unrestricted();
  reader.granted = {scope::projects_read};
  auto admin = unrestricted();
  admin.granted = {scope::admin};
  EXPECT_TRUE(dominates(unrestricted(), reader)) << "execute implies read";
  EXPECT_FALSE(dominates(reader, unrestricted()));
  EXPECT_TRUE(dominates(admin, unrestricted()));
  EXPECT_FALSE(dominates(unrestricted(), admin));
}

TEST(Domination, NeedsTheProjects) {
  EXPECT_TRUE(dominates(unrestricted(), with_projects({"a"})));
  EXPECT_FALSE(dominates(with_projects({"a"}), unrestricted())) << "no list is every project";
  EXPECT_TRUE(dominates(with_projects({"a", "b"}), with_projects({"b"})));
  EXPECT_FALSE(dominates(with_projects({"a"}), with_projects({"a", "b"})));
  EXPECT_FALSE(dominates(with_projects({"ab"}), with_projects({"a"})));
}

TEST(Domination, NeedsTheAddresses) {
  EXPECT_TRUE(dominates(unrestricted(), with_addresses({"10.0.0.1"})));
  EXPECT_FALSE(dominates(with_addresses({"0.0.0.0/0", "::/0"}), unrestricted())) << "no list is from anywhere";
  EXPECT_TRUE(dominates(with_addresses({"10.0.0.0/8", "::1"}), with_addresses({"10.2.0.0/16", "::1/128"})));
  EXPECT_FALSE(dominates(with_addresses({"10.0.0.0/8"}), with_addresses({"10.2.0.0/16", "11.0.0.1"})));
  EXPECT_FALSE(dominates(with_addresses({"10.0.0.0/8"}), with_addresses({"10.0.0.0/7"})));
  EXPECT_FALSE(dominates(with_addresses({"10.0.0.0/8"}), with_addresses({"nonsense"})));
  EXPECT_FALSE(dominates(with_addresses({"nonsense"}), with_addresses({"10.0.0.1"})));
}

TEST(Domination, NeedsTheTime) {
  EXPECT_TRUE(dominates(unrestricted(), with_end(timestamp(100s))));
  EXPECT_FALSE(dominates(with_end(timestamp(100s)), unrestricted())) << "no end is for ever";
  EXPECT_TRUE(dominates(with_end(timestamp(100s)), with_end(timestamp(100s))));
  EXPECT_FALSE(dominates(with_end(timestamp(100s)), with_end(timestamp(100s) + 1us)));
}

TEST(Domination, NeedsTheRate) {
  EXPECT_TRUE(dominates(with_rate(10), with_rate(10)));
  EXPECT_TRUE(dominates(with_rate(10), with_rate(9)));
  EXPECT_FALSE(dominates(with_rate(10), with_rate(11)));
  EXPECT_FALSE(dominates(with_rate(10), unrestricted())) << "the default may be higher";
}

// One part that is lacking is enough.
TEST(Domination, NeedsAllPartsAtOnce) {
  auto x = unrestricted();
  x.project_ids = strings{"a"};
  x.allowed_ips = strings{"10.0.0.0/8"};
  x.expires_at = timestamp(100s);
  x.rate_limit = 10;
  const auto refused = [&](auto change) {
    auto y = x;
    change(y);
    return !dominates(x, y);
  };
  EXPECT_TRUE(refused([](api_key& y) { y.granted.add(scope::audit_read); }));
  EXPECT_TRUE(refused([](api_key& y) { y.project_ids->push_back("b"); }));
  EXPECT_TRUE(refused([](api_key& y) { y.allowed_ips->push_back("::1"); }));
  EXPECT_TRUE(refused([](api_key& y) { y.expires_at = timestamp(101s); }));
  EXPECT_TRUE(refused([](api_key& y) { y.rate_limit = 11; }));
}

TEST(Principal, SeesItsProjectsOnly) {
  principal p;
  EXPECT_TRUE(p.sees_project("anything"));
  p.project_ids = strings{"a", "b"};
  EXPECT_TRUE(p.sees_project("b"));
  EXPECT_FALSE(p.sees_project("c"));
  EXPECT_FALSE(p.sees_project(""));
  EXPECT_FALSE(p.sees_project("A"));
  p.project_ids = strings{};
  EXPECT_FALSE(p.sees_project("a"));
}

TEST(ApiKey, IsActiveUntilItsEndOrItsRevocation) {
  auto key = with_end(timestamp(100s));
  EXPECT_TRUE(key.active(timestamp(100s) - 1us));
  EXPECT_FALSE(key.active(timestamp(100s)));
  key.expires_at.reset();
  EXPECT_TRUE(key.active(timestamp::max()));
  key.revoked_at = timestamp(1s);
  EXPECT_FALSE(key.active(timestamp(0s)));
}

} // namespace
} // namespace rdev
