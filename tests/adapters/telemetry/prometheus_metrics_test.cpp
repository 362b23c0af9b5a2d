#include "adapters/telemetry/prometheus_metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <thread>
#include <vector>

namespace rdev {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::unique_ptr<metrics> fresh() {
  return make_prometheus_metrics("1.2.3");
}

// The value of the series, as text; empty when there is none.
std::string value_of(metrics& m, const std::string& series) {
  std::istringstream all(m.text());
  for (std::string line; std::getline(all, line);)
    if (line.starts_with(series + " "))
      return line.substr(series.size() + 1);
  return {};
}

TEST(Metrics, HaveTheNamesOfTheContract) {
  const auto m = fresh();
  m->request_started("GET", "/x");
  m->request_finished("GET", "/x", 200, 1ms);
  m->command_ended("p", command_type::shell, command_status::completed, 1s);
  const auto text = m->text();
  for (const auto* name :
       {"http_requests_total", "http_request_duration_seconds", "http_requests_in_flight", "rdev_auth_requests_total",
        "rdev_auth_failures_total", "rdev_auth_lockouts_total", "rdev_commands_total", "rdev_commands_active",
        "rdev_command_duration_seconds", "rdev_queue_depth", "rdev_queue_oldest_seconds", "rdev_sse_connections_total",
        "rdev_sse_connections_active", "rdev_rate_limited_total", "rdev_audit_records_total", "rdev_build_info",
        "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"})
    EXPECT_THAT(text, HasSubstr(std::string("# TYPE ") + name + " ")) << name;
  EXPECT_THAT(text, HasSubstr("rdev_build_info{version=\"1.2.3\"} 1"));
}

TEST(Metrics, OfKeysAndLimitsStandAtZeroFromTheStart) {
  const auto m = fresh();
  for (const auto* series :
       {R"(rdev_auth_requests_total{result="success"})", R"(rdev_auth_requests_total{result="failure"})",
        R"(rdev_auth_failures_total{reason="unauthorized"})", R"(rdev_auth_failures_total{reason="key_revoked"})",
        R"(rdev_auth_failures_total{reason="key_expired"})", R"(rdev_auth_failures_total{reason="ip_not_allowed"})",
        "rdev_auth_lockouts_total", R"(rdev_rate_limited_total{field="key"})",
        R"(rdev_rate_limited_total{field="address"})", R"(rdev_rate_limited_total{field="global"})",
        R"(rdev_rate_limited_total{field="ban"})", R"(rdev_queue_depth{priority="critical"})",
        R"(rdev_queue_depth{priority="low"})", "rdev_commands_active", "rdev_sse_connections_active",
        "rdev_audit_records_total", R"(rdev_redactions_total{where="log"})", R"(rdev_redactions_total{where="audit"})"})
    EXPECT_EQ(value_of(*m, series), "0") << series;
}

TEST(Metrics, CountRefusedKeysByReason) {
  const auto m = fresh();
  m->auth_accepted();
  m->auth_refused(refusal_code::key_revoked);
  m->auth_refused(refusal_code::key_expired);
  m->auth_refused(refusal_code::ip_not_allowed);
  m->auth_refused(refusal_code::unauthorized);
  m->auth_refused(refusal_code::unauthorized);
  EXPECT_EQ(value_of(*m, R"(rdev_auth_requests_total{result="success"})"), "1");
  EXPECT_EQ(value_of(*m, R"(rdev_auth_requests_total{result="failure"})"), "5");
  EXPECT_EQ(value_of(*m, R"(rdev_auth_failures_total{reason="unauthorized"})"), "2");
  for (const auto* reason : {"key_revoked", "key_expired", "ip_not_allowed"})
    EXPECT_EQ(value_of(*m, std::string(R"(rdev_auth_failures_total{reason=")") + reason + "\"}"), "1") << reason;
}

TEST(Metrics, CountRequestsByRouteAndStatus) {
  const auto m = fresh();
  m->request_started("GET", "/projects/{id}");
  EXPECT_EQ(value_of(*m, R"(http_requests_in_flight{method="GET",path="/projects/{id}"})"), "1");
  m->request_finished("GET", "/projects/{id}", 404, 3ms);
  EXPECT_EQ(value_of(*m, R"(http_requests_in_flight{method="GET",path="/projects/{id}"})"), "0");
  EXPECT_EQ(value_of(*m, R"(http_requests_total{method="GET",path="/projects/{id}",status="404"})"), "1");
  EXPECT_EQ(value_of(*m, R"(http_request_duration_seconds_count{method="GET",path="/projects/{id}",status="404"})"),
            "1");
  EXPECT_EQ(
      value_of(*m,
               R"(http_request_duration_seconds_bucket{method="GET",path="/projects/{id}",status="404",le="0.0025"})"),
      "0");
  EXPECT_EQ(
      value_of(*m,
               R"(http_request_duration_seconds_bucket{method="GET",path="/projects/{id}",status="404",le="0.005"})"),
      "1");
}

TEST(Metrics, CountStreamsAndLimits) {
  const auto m = fresh();
  m->stream_opened();
  m->stream_opened();
  m->stream_closed();
  m->rate_limited("key");
  EXPECT_EQ(value_of(*m, "rdev_sse_connections_total"), "2");
  EXPECT_EQ(value_of(*m, "rdev_sse_connections_active"), "1");
  EXPECT_EQ(value_of(*m, R"(rdev_rate_limited_total{field="key"})"), "1");
}

TEST(Metrics, CountWhatWasHiddenWhere) {
  const auto m = fresh();
  m->redacted("log", 2);
  m->redacted("log", 1);
  EXPECT_EQ(value_of(*m, R"(rdev_redactions_total{where="log"})"), "3");
  EXPECT_EQ(value_of(*m, R"(rdev_redactions_total{where="audit"})"), "0");
}

TEST(Metrics, ShowTheQueueAsItWasLastSeen) {
  const auto m = fresh();
  queue_view now;
  now.depth = {1, 2, 3, 4};
  now.oldest_seconds = 1.5;
  m->queue(now);
  EXPECT_EQ(value_of(*m, R"(rdev_queue_depth{priority="critical"})"), "1");
  EXPECT_EQ(value_of(*m, R"(rdev_queue_depth{priority="high"})"), "2");
  EXPECT_EQ(value_of(*m, R"(rdev_queue_depth{priority="normal"})"), "3");
  EXPECT_EQ(value_of(*m, R"(rdev_queue_depth{priority="low"})"), "4");
  EXPECT_EQ(value_of(*m, "rdev_queue_oldest_seconds"), "1.5");
  m->queue(queue_view{});
  EXPECT_EQ(value_of(*m, R"(rdev_queue_depth{priority="low"})"), "0");
}

TEST(Metrics, CountCommandsByProjectTypeAndEnd) {
  const auto m = fresh();
  m->command_ended("demo", command_type::git, command_status::timed_out, 90s);
  EXPECT_EQ(value_of(*m, R"(rdev_commands_total{project="demo",status="timed_out",type="git"})"), "1");
  EXPECT_EQ(value_of(*m, R"(rdev_command_duration_seconds_bucket{le="60"})"), "0");
  EXPECT_EQ(value_of(*m, R"(rdev_command_duration_seconds_bucket{le="300"})"), "1");
}

TEST(Metrics, NameTheFirstTwoHundredProjectsAndThenOther) {
  const auto m = fresh();
  for (int i = 0; i < 250; ++i)
    m->command_ended("p" + std::to_string(i), command_type::shell, command_status::completed, 1s);
  m->command_ended("p199", command_type::shell, command_status::completed, 1s);
  m->command_ended("p200", command_type::shell, command_status::completed, 1s);
  const auto total = [&](const std::string& project) {
    return value_of(*m, R"(rdev_commands_total{project=")" + project + R"(",status="completed",type="shell"})");
  };
  EXPECT_EQ(total("p0"), "1");
  EXPECT_EQ(total("p199"), "2");
  EXPECT_EQ(total("p200"), "");
  EXPECT_EQ(total("other"), "51");
}

TEST(Metrics, LetNoLabelBreakTheText) {
  const auto m = fresh();
  m->dependency("a\"b\\c\nd", true);
  EXPECT_THAT(m->text(), HasSubstr(R"(name="a\"b\\c\nd")"));
}

TEST(Metrics, ShowWhichDependenciesAnswer) {
  const auto m = fresh();
  m->dependency("database", true);
  EXPECT_EQ(value_of(*m, R"(rdev_dependency_up{name="database"})"), "1");
  m->dependency("database", false);
  EXPECT_EQ(value_of(*m, R"(rdev_dependency_up{name="database"})"), "0");
}

TEST(Metrics, ReadTheProcess) {
  const auto m = fresh();
  EXPECT_GT(std::stod(value_of(*m, "process_resident_memory_bytes")), 100'000);
  EXPECT_GT(std::stod(value_of(*m, "process_open_fds")), 2);
  EXPECT_GE(std::stod(value_of(*m, "process_cpu_seconds_total")), 0);
}

TEST(Metrics, NameEachFamilyOnce) {
  const auto m = fresh();
  std::istringstream all(m->text());
  std::vector<std::string> types;
  for (std::string line; std::getline(all, line);)
    if (line.starts_with("# TYPE "))
      types.push_back(line);
  auto once = types;
  std::sort(once.begin(), once.end());
  once.erase(std::unique(once.begin(), once.end()), once.end());
  EXPECT_EQ(once.size(), types.size());
}

TEST(Metrics, CountFromManyThreads) {
  const auto m = fresh();
  {
    std::vector<std::jthread> running;
    for (int t = 0; t < 4; ++t)
      running.emplace_back([&m, t] {
        for (int i = 0; i < 200; ++i) {
          m->request_started("GET", "/a");
          m->request_finished("GET", "/a", 200 + t, 1ms);
          m->command_ended("p" + std::to_string(i), command_type::shell, command_status::completed, 1s);
          if (i % 50 == 0)
            (void)m->text();
        }
      });
  }
  EXPECT_EQ(value_of(*m, R"(http_requests_in_flight{method="GET",path="/a"})"), "0");
  EXPECT_EQ(value_of(*m, R"(http_requests_total{method="GET",path="/a",status="203"})"), "200");
  EXPECT_EQ(value_of(*m, R"(rdev_commands_total{project="p7",status="completed",type="shell"})"), "4");
}

} // namespace
} // namespace rdev
