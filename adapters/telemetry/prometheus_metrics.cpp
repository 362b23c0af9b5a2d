#include "adapters/telemetry/prometheus_metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <vector>

namespace rdev {

namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;

constexpr std::size_t most_projects = 200; // beyond that a project is counted as `other`

const Histogram::BucketBoundaries& request_buckets() {
  static const Histogram::BucketBoundaries b{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                             0.1,    0.25,  0.5,    1,     2.5,  5,     10};
  return b;
}
const Histogram::BucketBoundaries& command_buckets() {
  static const Histogram::BucketBoundaries b{0.1, 0.5, 1, 5, 15, 60, 300, 900, 1800, 3600, 14400, 86400};
  return b;
}

std::string_view failure_reason(refusal_code why) {
  if (why == refusal_code::key_revoked)
    return "key_revoked";
  if (why == refusal_code::key_expired)
    return "key_expired";
  if (why == refusal_code::ip_not_allowed)
    return "ip_not_allowed";
  return "unauthorized";
}

class prometheus_metrics final : public metrics {
public:
  explicit prometheus_metrics(std::string_view version) {
    for (const auto* reason : {"unauthorized", "key_revoked", "key_expired", "ip_not_allowed"})
      auth_failures_.Add({{"reason", reason}});
    for (const auto* field : {"key", "address", "global", "ban"}) {
      limited_.Add({{"field", field}});
      would_limit_.Add({{"field", field}});
    }
    for (const auto kind : all_anomaly_kinds)
      anomalies_.Add({{"kind", std::string(name_of(kind))}});
    for (const auto* outcome : {"delivered", "retry", "failed", "disabled"})
      deliveries_.Add({{"outcome", outcome}});
    for (const auto* where : {"log", "audit"})
      redactions_.Add({{"where", where}});
    for (const auto p : {priority::critical, priority::high, priority::normal, priority::low})
      depth_.at(static_cast<std::size_t>(p)) = &queue_depth_.Add({{"priority", std::string(name_of(p))}});
    gauge("rdev_build_info", "Version of this program; always 1.").Add({{"version", std::string(version)}}).Set(1);
  }

  void request_started(std::string_view method, std::string_view route) override {
    requests_of(method, route).in_flight->Increment();
  }

  void request_finished(std::string_view method, std::string_view route, int status,
                        std::chrono::nanoseconds took) override {
    auto& where = requests_of(method, route);
    const auto finished = ended_with(where, status);
    where.in_flight->Decrement();
    finished.count->Increment();
    finished.duration->Observe(std::chrono::duration<double>(took).count());
  }

  void stream_opened() override {
    streams_total_.Increment();
    streams_active_.Increment();
  }
  void stream_closed() override {
    streams_active_.Decrement();
  }

  void auth_accepted() override {
    auth_good_.Increment();
  }
  void auth_refused(refusal_code why) override {
    auth_bad_.Increment();
    auth_failures_.Add({{"reason", std::string(failure_reason(why))}}).Increment();
  }
  void rate_limited(std::string_view field) override {
    limited_.Add({{"field", std::string(field)}}).Increment();
  }
  void would_limit(std::string_view field) override {
    would_limit_.Add({{"field", std::string(field)}}).Increment();
  }
  void locked_out(bool in_shadow) override {
    (in_shadow ? lockouts_in_shadow_ : lockouts_).Increment();
  }
  void anomaly_seen(anomaly_kind kind) override {
    anomalies_.Add({{"kind", std::string(name_of(kind))}}).Increment();
  }

  void command_ended(std::string_view project, command_type type, command_status status,
                     std::chrono::milliseconds took) override {
    commands_
        .Add({{"project", project_label(project)},
              {"type", std::string(name_of(type))},
              {"status", std::string(name_of(status))}})
        .Increment();
    command_duration_.Observe(std::chrono::duration<double>(took).count());
  }
  void commands_active(std::int64_t n) override {
    active_.Set(static_cast<double>(n));
  }
  void queue(const queue_view& now) override {
    for (std::size_t i = 0; i < depth_.size(); ++i)
      depth_.at(i)->Set(static_cast<double>(now.depth.at(i)));
    oldest_.Set(now.oldest_seconds);
  }
  void audit_records(std::int64_t n) override {
    audit_.Increment(static_cast<double>(n));
  }
  void output_stored(std::uint64_t bytes) override {
    output_.Increment(static_cast<double>(bytes));
  }

  void webhook_attempted(std::string_view outcome) override {
    deliveries_.Add({{"outcome", std::string(outcome)}}).Increment();
  }
  void webhooks_pending(std::int64_t deliveries) override {
    waiting_deliveries_.Set(static_cast<double>(deliveries));
  }

  void dependency(std::string_view name, bool up) override {
    dependencies_.Add({{"name", std::string(name)}}).Set(up ? 1 : 0);
  }
  void circuit(std::string_view name, std::optional<int> state) override {
    std::lock_guard guard(circuits_mutex_);
    const auto known = circuit_of_.find(name);
    if (state && known != circuit_of_.end())
      known->second->Set(*state);
    else if (state && circuit_of_.size() < most_projects) {
      auto& one = circuits_.Add({{"name", std::string(name)}});
      one.Set(*state);
      circuit_of_.emplace(name, &one);
    } else if (!state && known != circuit_of_.end()) {
      circuits_.Remove(known->second);
      circuit_of_.erase(known);
    }
  }
  void fault_seen(std::string_view where) override {
    faults_.Add({{"where", std::string(where)}}).Increment();
  }
  void actor_restarted(std::string_view name) override {
    restarts_.Add({{"actor", std::string(name)}}).Increment();
  }
  void redacted(std::string_view where, std::size_t hits) override {
    redactions_.Add({{"where", std::string(where)}}).Increment(static_cast<double>(hits));
  }

  std::string text() override {
    read_process();
    return prometheus::TextSerializer().Serialize(registry_.Collect());
  }

private:
  struct ending {
    int status = 0;
    Counter* count = nullptr;
    Histogram* duration = nullptr;
  };
  // Of one method and route. Kept for ever: there are few.
  struct series {
    prometheus::Labels labels;
    Gauge* in_flight = nullptr;
    std::vector<ending> endings;
  };
  using routes = std::map<std::string, series, std::less<>>;

  Family<Counter>& counter(const std::string& name, const std::string& help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry_);
  }
  Family<Gauge>& gauge(const std::string& name, const std::string& help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry_);
  }
  Family<Histogram>& histogram(const std::string& name, const std::string& help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry_);
  }

  series& requests_of(std::string_view method, std::string_view route) {
    std::lock_guard guard(mutex_);
    auto methods = requests_.find(method);
    if (methods == requests_.end())
      methods = requests_.emplace(std::string(method), routes{}).first;
    const auto known = methods->second.find(route);
    if (known != methods->second.end())
      return known->second;
    auto& fresh = methods->second[std::string(route)];
    fresh.labels = {{"method", std::string(method)}, {"path", std::string(route)}};
    fresh.in_flight = &in_flight_.Add(fresh.labels);
    return fresh;
  }

  ending ended_with(series& where, int status) {
    std::lock_guard guard(mutex_);
    for (const auto& one : where.endings)
      if (one.status == status)
        return one;
    auto labels = where.labels;
    labels["status"] = std::to_string(status);
    return where.endings.emplace_back(
        ending{status, &requests_total_.Add(labels), &request_duration_.Add(labels, request_buckets())});
  }

  std::string project_label(std::string_view project) {
    std::lock_guard guard(mutex_);
    const auto known = projects_.find(project);
    if (known != projects_.end())
      return *known;
    if (projects_.size() >= most_projects)
      return "other";
    return *projects_.emplace(project).first;
  }

  void read_process() {
    std::ifstream stat("/proc/self/stat");
    std::string line;
    std::getline(stat, line);
    std::istringstream rest(line.substr(line.rfind(')') + 1));
    std::string field;
    double ticks = 0;
    double pages = 0;
    for (int i = 3; rest >> field; ++i) {
      if (i == 14 || i == 15)
        ticks += std::stod(field);
      if (i == 24)
        pages = std::stod(field);
    }
    cpu_.Increment(ticks / static_cast<double>(::sysconf(_SC_CLK_TCK)) - cpu_.Value());
    memory_.Set(pages * static_cast<double>(::sysconf(_SC_PAGESIZE)));
    std::error_code ignored;
    double fds = 0;
    for (std::filesystem::directory_iterator it("/proc/self/fd", ignored), end; it != end; it.increment(ignored))
      ++fds;
    fds_.Set(fds);
  }

  prometheus::Registry registry_;
  std::mutex mutex_;
  std::map<std::string, routes, std::less<>> requests_; // by method
  std::set<std::string, std::less<>> projects_;

  Family<Counter>& requests_total_ = counter("http_requests_total", "Finished HTTP requests.");
  Family<Histogram>& request_duration_ = histogram("http_request_duration_seconds", "Time to answer an HTTP request.");
  Family<Gauge>& in_flight_ = gauge("http_requests_in_flight", "HTTP requests being answered.");
  Family<Counter>& auth_ = counter("rdev_auth_requests_total", "Requests with a key, by result.");
  Counter& auth_good_ = auth_.Add({{"result", "success"}});
  Counter& auth_bad_ = auth_.Add({{"result", "failure"}});
  Family<Counter>& auth_failures_ = counter("rdev_auth_failures_total", "Refused keys, by reason.");
  Counter& lockouts_ = counter("rdev_auth_lockouts_total", "Addresses locked out.").Add({});
  Counter& lockouts_in_shadow_ =
      counter("rdev_auth_lockouts_shadow_total", "Addresses that would be locked out (lockout.shadow).").Add({});
  Family<Counter>& anomalies_ = counter("rdev_auth_anomalies_total", "Odd uses of keys, by kind; nothing is refused.");
  Family<Counter>& would_limit_ =
      counter("rdev_rate_limit_shadow_total", "Requests that a limit in shadow mode would have refused.");
  Family<Counter>& limited_ = counter("rdev_rate_limited_total", "Requests over a limit, by what was limited.");
  Family<Counter>& commands_ = counter("rdev_commands_total", "Ended commands.");
  Family<Counter>& deliveries_ =
      counter("rdev_webhook_deliveries_total", "Attempts of webhook deliveries, by outcome.");
  Gauge& waiting_deliveries_ =
      gauge("rdev_webhook_pending", "Webhook deliveries that wait, in the whole cluster.").Add({});
  Gauge& active_ = gauge("rdev_commands_active", "Commands running here.").Add({});
  Histogram& command_duration_ =
      histogram("rdev_command_duration_seconds", "From start to end of a command.").Add({}, command_buckets());
  Family<Gauge>& queue_depth_ = gauge("rdev_queue_depth", "Commands waiting.");
  std::array<Gauge*, 4> depth_{};
  Gauge& oldest_ = gauge("rdev_queue_oldest_seconds", "Age of the oldest waiting command.").Add({});
  Counter& streams_total_ = counter("rdev_sse_connections_total", "Event streams opened.").Add({});
  Gauge& streams_active_ = gauge("rdev_sse_connections_active", "Event streams open now.").Add({});
  Counter& audit_ = counter("rdev_audit_records_total", "Audit rows written.").Add({});
  Counter& output_ = counter("rdev_output_bytes_total", "Output stored.").Add({});
  Family<Gauge>& dependencies_ = gauge("rdev_dependency_up", "1 if the dependency answered last time.");
  Family<Counter>& faults_ = counter("rdev_faults_total", "Faults of a dependency or a part, by where they were seen.");
  Family<Gauge>& circuits_ =
      gauge("rdev_circuit_state", "Of a dependency: 0 closed, 1 half-open, 2 open (left alone).");
  std::mutex circuits_mutex_;
  std::map<std::string, Gauge*, std::less<>> circuit_of_; // at most so many as projects
  Family<Counter>& restarts_ = counter("rdev_actor_restarts_total", "Actors that died and were started anew.");
  Family<Counter>& redactions_ = counter("rdev_redactions_total", "Secrets that were hidden, by where they stood.");
  Counter& cpu_ = counter("process_cpu_seconds_total", "User and system CPU time.").Add({});
  Gauge& memory_ = gauge("process_resident_memory_bytes", "Resident memory.").Add({});
  Gauge& fds_ = gauge("process_open_fds", "Open file descriptors.").Add({});
};

} // namespace

std::unique_ptr<metrics> make_prometheus_metrics(std::string_view version) {
  return std::make_unique<prometheus_metrics>(version);
}

} // namespace rdev
