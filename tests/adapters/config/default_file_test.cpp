// The default file is documentation, defaults and test input in one: these tests hold it and the program together.
#include "config/settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace rdev::config {
namespace {

struct documented_key {
  std::string name;
  std::string comment; // the lines directly above
};

std::vector<documented_key> documented_keys() {
  std::vector<documented_key> out;
  std::istringstream all{std::string(default_file)};
  std::string section;
  std::string comment;
  for (std::string line; std::getline(all, line);) {
    if (line.starts_with('#')) {
      comment += line;
      continue;
    }
    const auto equals = line.find(" = ");
    if (line.starts_with('['))
      section = line.substr(1, line.find(']') - 1);
    else if (equals != std::string::npos)
      out.push_back({section + "." + line.substr(0, equals), comment});
    comment.clear();
  }
  return out;
}

TEST(DefaultFile, IsTheOneInTheSources) {
  std::ifstream file(RDEV_DEFAULT_FILE);
  std::ostringstream all;
  all << file.rdbuf();
  EXPECT_EQ(default_file, all.str());
}

TEST(DefaultFile, HoldsExactlyTheKeysThatAreKnown) {
  std::vector<std::string> names;
  for (const auto& key : documented_keys())
    names.push_back(key.name);
  EXPECT_THAT(names, testing::UnorderedElementsAreArray(known_keys()));
}

TEST(DefaultFile, SaysAboveEachKeyWhatItIsFor) {
  ASSERT_FALSE(documented_keys().empty());
  for (const auto& key : documented_keys()) {
    EXPECT_GE(key.comment.size(), 15U) << key.name;
    EXPECT_EQ(key.comment.back(), '.') << key.name << " needs a sentence";
  }
}

TEST(DefaultFile, LoadsAndHoldsTheDefaultsOfTheContract) {
  using namespace std::chrono_literals;
  inputs in;
  in.environment["HOME"] = "/home/someone";
  const auto loaded = load(in);
  ASSERT_TRUE(std::holds_alternative<settings>(loaded));
  const auto& s = std::get<settings>(loaded);
  EXPECT_EQ(s.server.listen, "127.0.0.1:8080");
  EXPECT_EQ(s.server.drain_timeout, 30s);
  EXPECT_FALSE(s.server.node.empty());
  EXPECT_TRUE(s.http.trusted_proxies.empty());
  EXPECT_EQ(s.http.max_body_bytes, 1024U * 1024);
  EXPECT_EQ(s.http.max_header_bytes, 16U * 1024);
  EXPECT_EQ(s.limits.rps, 1000);
  EXPECT_EQ(s.sse.heartbeat, 15s);
  EXPECT_EQ(s.commands.default_timeout, 30min);
  EXPECT_EQ(s.commands.max_timeout, 24h);
  EXPECT_EQ(s.commands.kill_grace, 5s);
  EXPECT_EQ(s.commands.max_running, 64);
  EXPECT_EQ(s.commands.max_running_per_project, 64);
  EXPECT_EQ(s.output.max_bytes, 2'147'483'648U);
  EXPECT_EQ(s.output.retention, 7 * 24h);
  EXPECT_EQ(s.leases.renew, 500ms);
  EXPECT_EQ(s.leases.lease, 2s);
  EXPECT_EQ(s.leases.scan, 500ms);
  EXPECT_EQ(s.auth.cache_lease, 2s);
  EXPECT_EQ(s.idempotency.retention, 24h);
  EXPECT_EQ(s.runner.kind, "local");
  EXPECT_EQ(s.runner.min_free_bytes, 1'073'741'824U);
  EXPECT_EQ(s.runner.local.user, "rdev-run");
  EXPECT_FALSE(s.runner.local.allow_network);
  EXPECT_THAT(s.claude.argv, testing::ElementsAre("claude", "-p", "--output-format", "stream-json", "--verbose"));
  EXPECT_TRUE(s.database.url.empty());
  EXPECT_TRUE(s.admin_key.empty());
}

} // namespace
} // namespace rdev::config
