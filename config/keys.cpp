#include "config/keys.hpp"

#include "config/units.hpp"

#include <algorithm>
#include <charconv>

namespace rdev::config {

namespace {

template <class Field>
setter text(Field field) {
  return [field](settings& s, std::string_view v) {
    field(s) = std::string(v);
    return std::string{};
  };
}

template <class Field>
list_setter list(Field field) {
  return [field](settings& s, const std::vector<std::string>& v) {
    field(s) = v;
    return std::string{};
  };
}

template <class Field>
setter choice(Field field, const std::vector<std::string>& allowed) {
  return [field, allowed](settings& s, std::string_view v) -> std::string {
    if (std::find(allowed.begin(), allowed.end(), v) == allowed.end()) {
      std::string out = "must be one of";
      for (const auto& a : allowed)
        out += " " + a;
      return out;
    }
    field(s) = std::string(v);
    return {};
  };
}

template <class Field>
list_setter choices(Field field, const std::vector<std::string>& allowed) {
  return [field, allowed](settings& s, const std::vector<std::string>& v) -> std::string {
    for (const auto& one : v)
      if (std::find(allowed.begin(), allowed.end(), one) == allowed.end()) {
        std::string out = "may only name";
        for (const auto& a : allowed)
          out += " " + a;
        return out;
      }
    field(s) = v;
    return {};
  };
}

template <class Field>
setter flag(Field field) {
  return [field](settings& s, std::string_view v) -> std::string {
    if (v != "true" && v != "false")
      return "must be true or false";
    field(s) = v == "true";
    return {};
  };
}

template <class Field>
setter number(Field field, int least, int most) {
  return [=](settings& s, std::string_view v) -> std::string {
    int n = 0;
    const auto [end, error] = std::from_chars(v.data(), v.data() + v.size(), n);
    if (error != std::errc{} || end != v.data() + v.size() || n < least || n > most)
      return "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most);
    field(s) = n;
    return {};
  };
}

template <class Field>
setter duration(Field field, const std::string& least, const std::string& most) {
  return [=](settings& s, std::string_view v) -> std::string {
    const auto d = parse_duration(v);
    if (!d || *d < *parse_duration(least) || *d > *parse_duration(most))
      return "must be a duration from " + least + " to " + most + ", such as 200ms, 5s, 30m, 10h or 7d";
    field(s) = *d;
    return {};
  };
}

// 0s: none.
template <class Field>
setter duration_if_any(Field field, const std::string& least, const std::string& most) {
  return [=](settings& s, std::string_view v) -> std::string {
    if (parse_duration(v) == std::chrono::milliseconds(0)) {
      field(s) = {};
      return {};
    }
    const auto problem = duration(field, least, most)(s, v);
    return problem.empty() ? problem : problem + "; or 0s for none";
  };
}

template <class Field>
setter size(Field field, const std::string& least, const std::string& most) {
  return [=](settings& s, std::string_view v) -> std::string {
    const auto n = parse_size(v);
    if (!n || *n < *parse_size(least) || *n > *parse_size(most))
      return "must be a size from " + least + " to " + most + ", such as 4096, 16KiB, 1MiB or 2GiB";
    field(s) = *n;
    return {};
  };
}

template <class Field>
list_setter networks(Field field) {
  return [field](settings& s, const std::vector<std::string>& v) -> std::string {
    auto& out = field(s);
    out.clear();
    for (const auto& entry : v) {
      const auto network = ip_network::parse(entry);
      if (!network)
        return "'" + entry + "' is not a network such as 10.0.0.0/8";
      out.push_back(*network);
    }
    return {};
  };
}

template <class Field>
list_setter durations(Field field, const std::string& least, const std::string& most, std::size_t most_of_them) {
  return [=](settings& s, const std::vector<std::string>& v) -> std::string {
    auto& out = field(s);
    out.clear();
    for (const auto& entry : v) {
      const auto d = parse_duration(entry);
      if (!d || *d < *parse_duration(least) || *d > *parse_duration(most) || out.size() == most_of_them)
        return "must be at most " + std::to_string(most_of_them) + " durations from " + least + " to " + most;
      out.push_back(*d);
    }
    return {};
  };
}

std::string set_listen(settings& s, std::string_view v) {
  const auto colon = v.rfind(':');
  int port = -1;
  bool whole = false;
  if (colon != std::string_view::npos) {
    const auto [end, error] = std::from_chars(v.data() + colon + 1, v.data() + v.size(), port);
    whole = error == std::errc{} && end == v.data() + v.size();
  }
  if (!whole || colon == 0 || port < 0 || port > 65535)
    return "must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:0";
  s.server.listen = std::string(v);
  return {};
}

#define RDEV_FIELD(member)                                                                                             \
  [](settings & s) -> auto& {                                                                                          \
    return s.member;                                                                                                   \
  }

} // namespace

const std::vector<known_key>& all_keys() {
  static const std::vector<known_key> all{
      {"server.listen", set_listen},
      {"server.data_dir", text(RDEV_FIELD(server.data_dir))},
      {"server.drain_timeout", duration(RDEV_FIELD(server.drain_timeout), "1s", "10m")},
      {"server.node", text(RDEV_FIELD(server.node))},
      {"http.trusted_proxies", networks(RDEV_FIELD(http.trusted_proxies))},
      {"http.max_body_bytes", size(RDEV_FIELD(http.max_body_bytes), "1KiB", "64MiB")},
      {"http.max_header_bytes", size(RDEV_FIELD(http.max_header_bytes), "1KiB", "64KiB")},
      {"http.threads", number(RDEV_FIELD(http.threads), 1, 64)},
      {"http.max_connections", number(RDEV_FIELD(http.max_connections), 16, 1000000)},
      {"http.request_timeout", duration(RDEV_FIELD(http.request_timeout), "1s", "10m")},
      {"http.write_timeout", duration(RDEV_FIELD(http.write_timeout), "1s", "10m")},
      {"http.request_deadline", duration(RDEV_FIELD(http.request_deadline), "1s", "2m")},
      {"http.keep_alive", duration(RDEV_FIELD(http.keep_alive), "1s", "1h")},
      {"limits.rps", number(RDEV_FIELD(limits.rps), 0, 1'000'000)},
      {"limits.unauthenticated_rps", number(RDEV_FIELD(limits.unauthenticated_rps), 0, 1'000'000)},
      {"limits.global_rps", number(RDEV_FIELD(limits.global_rps), 0, 1'000'000)},
      {"limits.shadow", choices(RDEV_FIELD(limits.shadow), {"key", "address", "global"})},
      {"lockout.failures", number(RDEV_FIELD(lockout.failures), 0, 1000)},
      {"lockout.within", duration(RDEV_FIELD(lockout.within), "1s", "1h")},
      {"lockout.first_ban", duration(RDEV_FIELD(lockout.first_ban), "1s", "1h")},
      {"lockout.longest_ban", duration(RDEV_FIELD(lockout.longest_ban), "1s", "7d")},
      {"lockout.memory", duration(RDEV_FIELD(lockout.memory), "1m", "30d")},
      {"lockout.strict", flag(RDEV_FIELD(lockout.strict))},
      {"lockout.shadow", flag(RDEV_FIELD(lockout.shadow))},
      {"keys.max_lifetime", duration_if_any(RDEV_FIELD(keys.max_lifetime), "1s", "3650d")},
      {"commands.token", flag(RDEV_FIELD(commands.token))},
      {"sse.heartbeat", duration(RDEV_FIELD(sse.heartbeat), "1s", "5m")},
      {"commands.default_timeout", duration(RDEV_FIELD(commands.default_timeout), "1s", "7d")},
      {"commands.max_timeout", duration(RDEV_FIELD(commands.max_timeout), "1s", "7d")},
      {"commands.kill_grace", duration(RDEV_FIELD(commands.kill_grace), "0s", "5m")},
      {"commands.max_running", number(RDEV_FIELD(commands.max_running), 1, 10'000)},
      {"commands.max_running_per_project", number(RDEV_FIELD(commands.max_running_per_project), 1, 10'000)},
      {"output.max_bytes", size(RDEV_FIELD(output.max_bytes), "1KiB", "64GiB")},
      {"output.retention", duration(RDEV_FIELD(output.retention), "1d", "3650d")},
      {"leases.renew", duration(RDEV_FIELD(leases.renew), "50ms", "1m")},
      {"leases.lease", duration(RDEV_FIELD(leases.lease), "200ms", "10m")},
      {"leases.scan", duration(RDEV_FIELD(leases.scan), "50ms", "1m")},
      {"leases.foreign_after", duration(RDEV_FIELD(leases.foreign_after), "1s", "7d")},
      {"auth.cache_lease", duration(RDEV_FIELD(auth.cache_lease), "0s", "1m")},
      {"idempotency.retention", duration(RDEV_FIELD(idempotency.retention), "1m", "30d")},
      {"webhooks.allowed_networks", networks(RDEV_FIELD(webhooks.allowed_networks))},
      {"webhooks.retries", durations(RDEV_FIELD(webhooks.retries), "10ms", "7d", 20)},
      {"webhooks.timeout", duration(RDEV_FIELD(webhooks.timeout), "100ms", "2m")},
      {"webhooks.concurrency", number(RDEV_FIELD(webhooks.concurrency), 1, 100)},
      {"webhooks.retention", duration(RDEV_FIELD(webhooks.retention), "1d", "90d")},
      {"webhooks.disable_after", duration(RDEV_FIELD(webhooks.disable_after), "1s", "365d")},
      {"runner.kind", choice(RDEV_FIELD(runner.kind), {"local", "kubernetes"})},
      {"runner.min_free_bytes", size(RDEV_FIELD(runner.min_free_bytes), "0", "1024GiB")},
      {"runner.local.dir", text(RDEV_FIELD(runner.local.dir))},
      {"runner.local.user", text(RDEV_FIELD(runner.local.user))},
      {"runner.local.allow_network", flag(RDEV_FIELD(runner.local.allow_network))},
      {"runner.local.pass_env", list(RDEV_FIELD(runner.local.pass_env))},
      {"kubernetes.namespace", text(RDEV_FIELD(kubernetes.name_space))},
      {"kubernetes.kubeconfig", text(RDEV_FIELD(kubernetes.kubeconfig))},
      {"kubernetes.context", text(RDEV_FIELD(kubernetes.context))},
      {"kubernetes.cluster", text(RDEV_FIELD(kubernetes.cluster))},
      {"kubernetes.adopt", flag(RDEV_FIELD(kubernetes.adopt))},
      {"kubernetes.run_dir", text(RDEV_FIELD(kubernetes.run_dir))},
      {"kubernetes.image", text(RDEV_FIELD(kubernetes.image))},
      {"kubernetes.images", list(RDEV_FIELD(kubernetes.images))},
      {"kubernetes.secret_patterns", list(RDEV_FIELD(kubernetes.secret_patterns))},
      {"kubernetes.storage_class", text(RDEV_FIELD(kubernetes.storage_class))},
      {"kubernetes.storage", text(RDEV_FIELD(kubernetes.storage))},
      {"kubernetes.cpu_limit", text(RDEV_FIELD(kubernetes.cpu_limit))},
      {"kubernetes.memory_limit", text(RDEV_FIELD(kubernetes.memory_limit))},
      {"kubernetes.user", number(RDEV_FIELD(kubernetes.user), 1, 2'000'000'000)},
      {"claude.argv", list(RDEV_FIELD(claude.argv))},
      {"claude.missing_hint", text(RDEV_FIELD(claude.missing_hint))},
      {"database.embedded_user", text(RDEV_FIELD(database.embedded_user))},
      {"database.start_timeout", duration(RDEV_FIELD(database.start_timeout), "1s", "1h")},
      {"audit.retention", duration(RDEV_FIELD(audit.retention), "1d", "3650d")},
      {"audit.checkpoint_log", duration(RDEV_FIELD(audit.checkpoint_log), "1s", "1d")},
      {"audit.checkpoint_file", text(RDEV_FIELD(audit.checkpoint_file))},
      {"audit.refusals_per_minute", number(RDEV_FIELD(audit.refusals_per_minute), 1, 1'000'000)},
      {"audit.strangers_per_second", number(RDEV_FIELD(audit.strangers_per_second), 1, 1'000'000)},
      {"redaction.patterns", list(RDEV_FIELD(redaction.patterns))},
      {"log.level", choice(RDEV_FIELD(log.level), {"debug", "info", "warn", "error"})},
      {"actors.threads", number(RDEV_FIELD(actors.threads), 0, 256)},
  };
  return all;
}

#undef RDEV_FIELD

} // namespace rdev::config
