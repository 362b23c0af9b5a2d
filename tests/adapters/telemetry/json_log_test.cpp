#include "adapters/telemetry/json_log.hpp"

#include "adapters/json/json.hpp"
#include "messages/values/output.hpp"
#include "messages/values/time.hpp"
#include "tests/support/watched.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <sstream>
#include <thread>
#include <vector>

namespace rdev {
namespace {

std::vector<std::string> lines_of(const std::function<void(log&)>& use, log_level threshold = log_level::info,
                                  std::optional<censor> hides = std::nullopt) {
  testing::internal::CaptureStdout();
  {
    const auto out = make_json_log(threshold, std::move(hides));
    use(*out);
  }
  std::istringstream all(testing::internal::GetCapturedStdout());
  std::vector<std::string> lines;
  for (std::string line; std::getline(all, line);)
    lines.push_back(line);
  return lines;
}

std::string line_of(const std::function<void(log&)>& use) {
  const auto lines = lines_of(use);
  EXPECT_EQ(lines.size(), 1U);
  return lines.empty() ? "" : lines.front();
}

json::value parsed(const std::string& line) {
  auto out = json::parse(line);
  EXPECT_TRUE(std::holds_alternative<json::value>(out)) << line;
  return std::holds_alternative<json::value>(out) ? std::get<json::value>(out) : json::value();
}

TEST(JsonLog, WritesOneObjectALineInTheOrderItWasTold) {
  const auto line = line_of([](log& l) {
    l.info("request", {{"status", std::int64_t{200}}, {"path", "/health"}, {"took", 1.5}, {"replayed", false}});
  });
  const auto v = parsed(line);
  EXPECT_THAT(v.members(), testing::ElementsAre("time", "level", "msg", "status", "path", "took", "replayed"));
  EXPECT_TRUE(
      line.ends_with(R"("level":"info","msg":"request","status":200,"path":"/health","took":1.5,"replayed":false})"))
      << line;
}

TEST(JsonLog, HasNoBlankBehindAColonOrComma) {
  const auto line = line_of([](log& l) { l.warn("m", {{"code", "UNAUTHORIZED"}}); });
  EXPECT_NE(line.find(R"("code":"UNAUTHORIZED")"), std::string::npos) << line;
  EXPECT_EQ(line.find(' '), std::string::npos) << line;
}

TEST(JsonLog, SaysTheTimeInUtc) {
  const auto v = parsed(line_of([](log& l) { l.info("m"); }));
  const auto at = from_rfc3339(v["time"].as_string());
  ASSERT_TRUE(at) << v["time"].as_string();
  EXPECT_LT(std::chrono::abs(now_utc() - *at), std::chrono::seconds(30));
}

TEST(JsonLog, NamesTheLevels) {
  const auto lines = lines_of(
      [](log& l) {
        l.debug("a");
        l.info("b");
        l.warn("c");
        l.error("d");
      },
      log_level::debug);
  std::vector<std::string> levels;
  for (const auto& line : lines)
    levels.emplace_back(parsed(line)["level"].as_string());
  EXPECT_THAT(levels, testing::ElementsAre("debug", "info", "warn", "error"));
}

TEST(JsonLog, IsSilentBelowItsThreshold) {
  const auto everything = [](log& l) {
    l.debug("a");
    l.info("b");
    l.warn("c");
    l.error("d");
    EXPECT_EQ(l.enabled(log_level::debug), false);
    EXPECT_EQ(l.enabled(log_level::error), true);
  };
  EXPECT_EQ(lines_of(everything, log_level::info).size(), 3U);
  EXPECT_EQ(lines_of(everything, log_level::warn).size(), 2U);
  EXPECT_EQ(lines_of(everything, log_level::error).size(), 1U);
}

TEST(JsonLog, LetsNoTextBreakItsLine) {
  const std::string nasty("a\nb\r\t\"\\ {} %s %v \x1b[31m\0\x7f \xe2\x80\xa8", 28);
  const auto line = line_of([&](log& l) { l.info(nasty, {{"path", nasty}}); });
  const auto v = parsed(line);
  EXPECT_EQ(v["msg"].as_string(), nasty);
  EXPECT_EQ(v["path"].as_string(), nasty);
  for (const char c : line)
    EXPECT_GE(static_cast<unsigned char>(c), 0x20) << "a control character reaches the terminal";
}

TEST(JsonLog, MendsWhatIsNoUtf8) {
  const auto line = line_of([](log& l) { l.info("\xff", {{"path", "/\xc3(\xfe"}}); });
  EXPECT_TRUE(valid_utf8(line));
  EXPECT_EQ(parsed(line)["msg"].as_string(), "\xef\xbf\xbd");
}

// A log with one registered secret, and what it wrote.
class RedactedLog : public testing::Test {
protected:
  json::value line(const std::function<void(log&)>& use) {
    const auto lines = lines_of(use, log_level::info, censor(by, counts, "log"));
    EXPECT_EQ(lines.size(), 1U);
    return parsed(lines.empty() ? "{}" : lines.front());
  }

  redactor by = *redactor::make({"ticket=([0-9]+)"});
  test::watched_metrics counts;
};

TEST_F(RedactedLog, HasNoSecretInAnyTextInAnyForm) {
  const std::string value = "p\"a\\s/s wörd\n";
  const auto hidden = by.hide(secret(value));
  const auto v = line([&](log& l) {
    l.warn("failed with " + value, {{"raw", "at '" + value + "'"},
                                    {"base64", "x cCJhXHMvcyB3w7ZyZA== y"},
                                    {"url", "/projects/p%22a%5Cs%2Fs%20w%C3%B6rd/shell"},
                                    {"pattern", "ticket=4711 of 12"},
                                    {"number", std::int64_t{4711}}});
  });
  EXPECT_EQ(v["msg"].as_string(), "failed with [redacted]\n");
  EXPECT_EQ(v["raw"].as_string(), "at '[redacted]\n'");
  EXPECT_EQ(v["base64"].as_string(), "x [redacted]== y");
  EXPECT_EQ(v["url"].as_string(), "/projects/[redacted]/shell");
  EXPECT_EQ(v["pattern"].as_string(), "ticket=[redacted] of 12");
  EXPECT_EQ(v["number"].as_integer(), 4711);
  EXPECT_EQ(counts.count("redacted log"), 5);
}

TEST_F(RedactedLog, IsNotMadeSilentByWhoDeclaresItsWordsASecret) {
  std::vector<redactor::registration> hidden;
  for (const auto* text : {"request completed", "203.0.113.7", "rdev_abcdefgh", "UNAUTHORIZED", "client_ip"})
    hidden.push_back(by.hide(secret(text)));
  const auto v = line([](log& l) {
    l.info("request completed",
           {{"client_ip", "203.0.113.7"}, {"key_prefix", "rdev_abcdefgh"}, {"code", "UNAUTHORIZED"}});
  });
  EXPECT_EQ(v["msg"].as_string(), "request completed");
  EXPECT_EQ(v["client_ip"].as_string(), "203.0.113.7");
  EXPECT_EQ(v["key_prefix"].as_string(), "rdev_abcdefgh");
  EXPECT_EQ(v["code"].as_string(), "UNAUTHORIZED");
  EXPECT_EQ(counts.count("redacted log"), 0);
}

TEST(JsonLog, WritesNumbersAsTheyAre) {
  const auto v = parsed(line_of([](log& l) {
    l.info("m", {{"most", std::numeric_limits<std::int64_t>::max()},
                 {"least", std::numeric_limits<std::int64_t>::min()},
                 {"none", std::numeric_limits<double>::quiet_NaN()}});
  }));
  EXPECT_EQ(v["most"].as_integer(), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(v["least"].as_integer(), std::numeric_limits<std::int64_t>::min());
  EXPECT_TRUE(v["none"].is_null());
}

TEST(JsonLog, KeepsTheLinesOfManyThreadsApart) {
  const auto lines = lines_of([](log& l) {
    std::vector<std::jthread> running;
    for (int t = 0; t < 4; ++t)
      running.emplace_back([&l, t] {
        for (int i = 0; i < 100; ++i)
          l.info(std::string(300, static_cast<char>('a' + t)), {{"i", std::int64_t{i}}});
      });
  });
  ASSERT_EQ(lines.size(), 400U);
  for (const auto& line : lines) {
    const auto msg = std::string(parsed(line)["msg"].as_string());
    ASSERT_EQ(msg, std::string(300, msg.at(0)));
  }
}

} // namespace
} // namespace rdev
