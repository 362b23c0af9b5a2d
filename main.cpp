// rdev-api: settings -> adapters -> actors -> serve -> drain. The one place that knows everybody; it decides nothing.
#include "actors/api_gate.hpp"
#include "actors/circuit_board.hpp"
#include "actors/supervisor.hpp"
#include "adapters/audit/checkpoint_file.hpp"
#include "adapters/audit/dump.hpp"
#include "adapters/audit/evidence_files.hpp"
#include "adapters/audit_verification.hpp"
#include "adapters/censor.hpp"
#include "adapters/crypto.hpp"
#include "adapters/failpoint.hpp"
#include "adapters/failpoints/decorators.hpp"
#include "adapters/http/server.hpp"
#include "adapters/kubernetes/discovery.hpp"
#include "adapters/kubernetes/kubernetes_projects.hpp"
#include "adapters/kubernetes/kubernetes_runner.hpp"
#include "adapters/local/data_dir.hpp"
#include "adapters/local/local_projects.hpp"
#include "adapters/local/local_runner.hpp"
#include "adapters/postgres/embedded_server.hpp"
#include "adapters/postgres/migrations.hpp"
#include "adapters/postgres/psql.hpp"
#include "adapters/postgres/stores.hpp"
#include "adapters/telemetry/json_log.hpp"
#include "adapters/telemetry/prometheus_metrics.hpp"
#include "adapters/webhooks/curl_sender.hpp"
#include "config/command_line.hpp"

#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <span>
#include <thread>

namespace rdev {

namespace {

using config::settings;
using std::chrono::duration_cast;
using std::chrono::seconds;

constexpr const char* version = RDEV_VERSION;
constexpr int exit_good = 0;
constexpr int exit_fault = 1;
constexpr int exit_wrong_settings = 2;
constexpr int exit_busy_data_dir = 3;
constexpr int exit_tampered = 4;
constexpr int arenas = 4;
constexpr int records_sealed_at_once = 1000;
constexpr std::size_t kept_descriptors = 512; // for everything that is not a connection of a client

int complain(const failure& why) {
  std::cerr << "rdev-api: " << why.message << std::endl;
  return why.code == fault::invalid ? exit_wrong_settings : exit_fault;
}

// The store is needed by everything, and its own restart takes a second.
std::map<std::string, circuit_limits, std::less<>> special_circuits() {
  circuit_limits database;
  database.window = std::chrono::milliseconds(5'000);
  database.first_rest = std::chrono::milliseconds(200);
  database.longest_rest = std::chrono::milliseconds(1'000);
  return {{"database", database}};
}

// Everything that a running server is made of, in the order in which it is built; it falls in the reverse order.
struct house {
  house(const settings& s, redactor hides)
      : metrics(make_prometheus_metrics(version)), hidden_by(std::move(hides)),
        log(make_json_log(s.log.level == "debug"   ? log_level::debug
                          : s.log.level == "warn"  ? log_level::warn
                          : s.log.level == "error" ? log_level::error
                                                   : log_level::info,
                          censor(hidden_by, *metrics, "log"))),
        audited(std::make_shared<const censor>(hidden_by, *metrics, "audit")),
        breakers(std::make_shared<circuit_board>(boot_clock_now, *log, *metrics, special_circuits())) {
  }

  std::unique_ptr<rdev::metrics> metrics;
  redactor hidden_by;
  std::unique_ptr<rdev::log> log;
  std::shared_ptr<const censor> audited;
  std::vector<redactor::registration> own_secrets; // hidden as long as this process lives
  std::shared_ptr<circuit_board> breakers;
  std::unique_ptr<rdev::data_dir> data_dir;
  std::unique_ptr<postgres::embedded_server> database;
  postgres::store_config stores;
  std::shared_ptr<const credentials> checks;
  std::shared_ptr<project_host> projects;
  std::shared_ptr<process_runner> processes;
  std::unique_ptr<kubernetes::discovery> discovery;
  std::shared_ptr<webhook_sender> sender;
  node_info self;
};

// Each is also known without its key id, and as the bytes that it stands for.
void hide_keyring(house& h, const secret& ring) {
  const auto text = ring.reveal();
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find(',', begin), text.size());
    const auto one = text.substr(begin, end - begin);
    const auto base64 = one.substr(one.find(':') + 1); // all of it where there is none
    h.own_secrets.push_back(h.hidden_by.hide(secret(std::string(base64))));
    if (auto bytes = from_base64(base64))
      h.own_secrets.push_back(h.hidden_by.hide(secret(std::move(*bytes))));
    begin = end + 1;
  }
}

void hide_own_secrets(house& h, const settings& s) {
  for (const auto& one : {s.admin_key, s.database.url})
    h.own_secrets.push_back(h.hidden_by.hide(one));
  for (const auto& one : postgres::passwords_in(std::string(s.database.url.reveal())))
    h.own_secrets.push_back(h.hidden_by.hide(one));
  hide_keyring(h, s.key_pepper);
}

int complain(const house& h, failure why) {
  if (auto clean = h.hidden_by.redact(why.message))
    why.message = std::move(clean->text);
  return complain(why);
}

// Repeats `step` while the database is away, for `database.start_timeout`; what ends a server ends this wait, too.
template <class Step>
auto patiently(const house& h, const settings& s, const sigset_t& ending, Step step) {
  const auto until = std::chrono::steady_clock::now() + s.database.start_timeout;
  for (;;) {
    auto outcome = step();
    if (outcome || outcome.error().code != fault::unavailable || std::chrono::steady_clock::now() >= until)
      return outcome;
    h.log->warn("the database is away: trying again", {{"error", outcome.error().message}});
    const timespec pause{0, 500'000'000};
    if (::sigtimedwait(&ending, nullptr, &pause) > 0)
      return outcome;
  }
}

result<done> open_database(house& h, const settings& s, const sigset_t& ending) {
  h.stores.conninfo = std::string(s.database.url.reveal());
  h.stores.breakers = h.breakers;
  h.stores.audited = h.audited;
  if (s.database.url.empty()) {
    auto started = postgres::start_embedded({s.server.data_dir, s.database.embedded_user, h.hidden_by}, *h.log);
    if (!started)
      return std::move(started.error());
    h.database = std::move(*started);
    h.stores.conninfo = postgres::embedded_conninfo(s.server.data_dir);
  }
  auto keyring = s.secrets_keys.empty() ? h.data_dir->secrets_keyring() : result<secret>(s.secrets_keys);
  if (!keyring)
    return std::move(keyring.error());
  hide_keyring(h, *keyring);
  auto sealer = make_sealer(keyring->reveal());
  if (!sealer)
    return std::move(sealer.error());
  h.stores.sealer = std::move(*sealer);
  auto checks = credentials::make(s.key_pepper.reveal(), h.stores.sealer);
  if (!checks)
    return std::move(checks.error());
  h.checks = std::move(*checks);
  h.stores.idempotency_retention = duration_cast<seconds>(s.idempotency.retention);
  h.stores.output_retention = duration_cast<seconds>(s.output.retention);
  h.stores.audit_retention = duration_cast<seconds>(s.audit.retention);
  h.stores.webhook_retention = duration_cast<seconds>(s.webhooks.retention);
  h.stores.ban_memory = duration_cast<seconds>(s.lockout.memory);
  auto schema = patiently(h, s, ending, [&] { return postgres::migrate(h.stores.conninfo); });
  if (!schema)
    return std::move(schema.error());
  h.log->info("the database is ready",
              {{"schema_version", std::int64_t{*schema}}, {"embedded", h.database != nullptr}});
  return done{};
}

// The administrator's row: set to RDEV_ADMIN_KEY, or made with a fresh key at the first start.
result<done> settle_admin(const house& h, const settings& s) {
  const auto keys = postgres::make_key_store(h.stores);
  auto fits = keys->settle_pepper(h.checks->pepper_check());
  if (!fits)
    return std::move(fits.error());
  if (!*fits)
    return failure{fault::invalid,
                   "RDEV_KEY_PEPPER is missing or another one than keys of this database were made with"};
  if (!s.admin_key.empty())
    return keys->set_admin(sha256(s.admin_key.reveal()));
  auto there = keys->find_by_prefix(std::array<std::string, 1>{"admin"});
  if (!there)
    return std::move(there.error());
  if (!there->empty())
    return done{};
  const auto fresh = make_key_text();
  // Kept before it counts: a death in between leaves a key that does not work yet, and the next start makes another.
  if (auto kept = h.data_dir->keep_admin_key(fresh.text); !kept)
    return kept;
  if (auto set = keys->set_admin(sha256(fresh.text.reveal())); !set)
    return set;
  if (::isatty(STDERR_FILENO) == 1)
    std::cerr << "rdev-api: the administrator's key is " << fresh.text.reveal() << std::endl;
  else
    std::cerr << "rdev-api: the administrator's key is in " << h.data_dir->in("admin.key") << std::endl;
  return done{};
}

// Starts and ends of a node are on record like what is done on it; without its record a node does not serve.
new_audit_record record_of_node(const house& h, const settings& s, const char* action) {
  new_audit_record out{audit_id::make(), {}};
  auto& row = out.what;
  row.actor_name = "system";
  row.action = action;
  row.target = h.self.id.uuid();
  row.outcome = "done";
  row.detail = {{"name", h.self.name}, {"version", version}, {"configuration_sha256", to_hex(sha256(s.effective))}};
  return out;
}

// May be repeated: it is there once.
result<done> put_on_record(const house& h, const new_audit_record& what) {
  auto written = postgres::make_audit_log(h.stores)->append(std::span(&what, 1));
  if (!written && written.error().code == fault::unknown_outcome)
    return failure{fault::unavailable, std::move(written.error().message)};
  return written;
}

std::string own_folder() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
}

result<done> open_pods(house& h, const settings& s) {
  const auto& k = s.kubernetes;
  auto access = k.kubeconfig.empty() ? kubernetes::in_cluster() : kubernetes::read_kubeconfig(k.kubeconfig, k.context);
  if (!access)
    return std::move(access.error());
  auto execs = kubernetes::make_websocket_transport(*access);
  if (!execs)
    return std::move(execs.error());
  auto seen = std::make_shared<kubernetes::pods>();
  auto wanted = std::make_shared<kubernetes::wanted_projects>();
  kubernetes::runner_config config{k.name_space, "kubernetes/" + k.cluster + "/" + k.name_space, k.run_dir};
  h.processes =
      failpoint::around(kubernetes::make_kubernetes_runner(config, std::move(*execs), seen, h.breakers, *h.log));
  h.projects = kubernetes::make_kubernetes_projects(*access,
                                                    {k.name_space,
                                                     {k.image, k.run_dir, k.storage_class, k.storage, k.cpu_limit,
                                                      k.memory_limit, k.user, k.images, k.secret_patterns}},
                                                    seen, wanted, h.breakers);
  h.discovery = kubernetes::start_discovery(*access, {k.name_space, k.adopt}, seen, wanted, h.breakers, *h.log);
  return done{};
}

result<done> open_runner(house& h, const settings& s) {
  if (s.runner.kind == "kubernetes")
    return open_pods(h, s);
  const auto dir = s.runner.local.dir.empty() ? h.data_dir->in("") : s.runner.local.dir + "/";
  const auto projects_dir = dir + "projects";
  const bool first_start = !std::filesystem::exists(projects_dir);
  auto projects = make_local_projects({projects_dir, dir + "project-records", s.runner.local.user});
  if (!projects)
    return std::move(projects.error());
  h.projects = std::move(*projects);
  if (first_start)
    if (auto demo = h.projects->create({"demo", {}}); !demo)
      return std::move(demo.error());
  local_runner_config config;
  config.dir = dir;
  config.shim = own_folder() + "/rdev-shim";
  config.user = s.runner.local.user;
  config.pass_env = s.runner.local.pass_env;
  config.min_free_bytes = s.runner.min_free_bytes;
  if (const char* pretended = std::getenv("RDEV_FAILPOINT_MACHINE"); failpoint::built_in && pretended != nullptr)
    config.machine = pretended; // a machine that a test says was restarted
  auto processes = make_local_runner(config);
  if (!processes)
    return std::move(processes.error());
  h.processes = failpoint::around(std::move(*processes));
  if (::geteuid() != 0)
    h.log->warn("rdev-api is not root: commands run as its own user and can read what it can read");
  return done{};
}

// In the order of their needs; the first that fails says what to mend.
result<done> open_house(house& h, const settings& s, const sigset_t& ending) {
  const auto step = [](result<done> outcome, auto next) { return outcome ? next() : std::move(outcome); };
  return step(open_database(h, s, ending), [&] {
    return step(patiently(h, s, ending, [&] { return settle_admin(h, s); }), [&] {
      return step(open_runner(h, s), [&]() -> result<done> {
        auto node = h.data_dir->node();
        if (!node)
          return std::move(node.error());
        h.self = {*node, s.server.node, "", h.processes->scope()};
        return done{};
      });
    });
  });
}

supervisor::parts parts_of(const house& h, const settings& s) {
  supervisor::parts out;
  out.ingress.deadline = s.http.request_deadline;
  out.auth.checks = out.api_keys.checks = h.checks;
  out.auth.cache_lease = out.api_keys.cache_lease = s.auth.cache_lease;
  out.auth.bans.failures = s.lockout.failures;
  out.auth.bans.within = s.lockout.within;
  out.auth.bans.first_ban = s.lockout.first_ban;
  out.auth.bans.longest_ban = s.lockout.longest_ban;
  out.auth.bans.memory = out.lockout.memory = s.lockout.memory;
  out.auth.strict = s.lockout.strict;
  out.auth.ban_shadow = s.lockout.shadow;
  out.auth.trusted_proxies = s.http.trusted_proxies;
  out.api_keys.node = h.self.id;
  out.api_keys.policy.max_lifetime = duration_cast<seconds>(s.keys.max_lifetime);
  const auto in_shadow = [&](const char* which) {
    return std::find(s.limits.shadow.begin(), s.limits.shadow.end(), which) != s.limits.shadow.end();
  };
  out.rate_limit.key = {s.limits.rps, in_shadow("key")};
  out.rate_limit.address = {s.limits.unauthenticated_rps, in_shadow("address")};
  out.rate_limit.all = {s.limits.global_rps, in_shadow("global")};
  out.command_queue.node = h.self.id;
  out.command_queue.scope = h.processes->scope();
  out.command_queue.start_intent = h.processes->boot_tag();
  out.command_queue.places = [processes = h.processes] { return processes->places(); };
  out.queries.why_waits = [processes = h.processes](const std::string& project) {
    return processes->why_waits(project);
  };
  out.command_queue.max_running = s.commands.max_running;
  out.command_queue.max_running_per_project = s.commands.max_running_per_project;
  out.command_queue.default_timeout = duration_cast<seconds>(s.commands.default_timeout);
  out.execution.max_output_bytes = s.output.max_bytes;
  out.execution.kill_grace = s.commands.kill_grace;
  // An order to start is void long before another runner gives the command up.
  out.execution.start_within = std::min(out.execution.start_within, s.leases.foreign_after / 2);
  out.execution.agent_argv = s.claude.argv;
  out.execution.agent_hint = s.claude.missing_hint;
  out.execution.checks = s.commands.token ? h.checks : nullptr;
  out.leases.self = h.self;
  out.leases.renew = s.leases.renew;
  out.leases.lease = s.leases.lease;
  out.leases.scan = s.leases.scan;
  out.leases.foreign_after = s.leases.foreign_after;
  out.leases.kill_grace = s.commands.kill_grace;
  out.webhooks.node = h.self.id;
  out.webhooks.look = s.leases.scan;
  out.webhooks.disable_after = s.webhooks.disable_after;
  out.webhooks.courier.concurrency = s.webhooks.concurrency;
  out.webhooks.courier.retries = retry_schedule(s.webhooks.retries);
  out.webhooks.courier.limits.slow = s.webhooks.timeout;
  const auto stores = h.stores;
  out.make_key_store = [stores] { return failpoint::around(postgres::make_key_store(stores)); };
  out.make_command_store = [stores] { return failpoint::around(postgres::make_command_store(stores)); };
  out.make_output_store = [stores] { return failpoint::around(postgres::make_output_store(stores)); };
  out.make_queries = [stores] { return postgres::make_command_queries(stores); };
  out.make_lease_store = [stores] { return failpoint::around(postgres::make_lease_store(stores)); };
  out.make_ban_store = [stores] { return failpoint::around(postgres::make_ban_store(stores)); };
  out.make_webhook_registry = [stores] { return postgres::make_webhook_registry(stores); };
  out.make_webhook_outbox = [stores] { return failpoint::around(postgres::make_webhook_outbox(stores)); };
  out.sender = h.sender;
  out.refusals.per_window = s.audit.refusals_per_minute;
  out.refusals.strangers_per_second = s.audit.strangers_per_second;
  out.audit_sealer.node = h.self.id;
  out.audit_sealer.tell = s.audit.checkpoint_log;
  if (!s.audit.checkpoint_file.empty())
    out.audit_sealer.outside = audit_chain::keep_in_file(s.audit.checkpoint_file);
  out.make_audit_reader = [stores] { return postgres::make_audit_reader(stores); };
  out.make_audit_chain = [stores] { return failpoint::around(postgres::make_audit_chain(stores)); };
  out.make_audit_log = [stores] { return failpoint::around(postgres::make_audit_log(stores)); };
  out.processes = h.processes;
  out.projects = h.projects;
  return out;
}

struct actor_config : caf::actor_system_config {
  explicit actor_config(const settings& s) {
    set("scheduler.policy", caf::atom("sharing")); // idle threads sleep instead of polling
    const auto cores = std::max(2U, std::thread::hardware_concurrency());
    set("scheduler.max-threads",
        s.actors.threads > 0 ? static_cast<std::size_t>(s.actors.threads) : std::size_t{cores});
  }
};

void wait_for_ready(caf::scoped_actor& self, const supervisor::actor& boss) {
  self->request(boss, caf::infinite, supervisor::ready{}).receive([](supervisor::started) {}, [](caf::error&) {});
}

// Who was locked out before a restart is so from the first request on, if the store can say it.
void wait_for_bans(caf::scoped_actor& self, const directory& peers) {
  self->request(peers.get<lockout::actor>(), std::chrono::seconds(10), lockout::tell{})
      .receive([](lockout::told) {}, [](caf::error&) {});
}

// What commands of ours that run on have of secrets is known before anybody can send it, if the store can say it.
void wait_for_own_commands(caf::scoped_actor& self, const directory& peers) {
  self->request(peers.get<leases::actor>(), std::chrono::seconds(10), leases::settle{})
      .receive([](leases::settled) {}, [](caf::error&) {});
}

// What the settings forbid, told with everything else that is wrong with a request.
std::shared_ptr<const http::server_rules> rules_of(const house& h, const settings& s) {
  http::server_rules out;
  out.max_timeout = duration_cast<seconds>(s.commands.max_timeout);
  out.max_lifetime = duration_cast<seconds>(s.keys.max_lifetime);
  out.of_webhook_url = [sender = h.sender](std::string_view url) { return sender->problem_of(url); };
  out.of_project = [projects = h.projects](const create_project& what) { return projects->objections(what); };
  return std::make_shared<const http::server_rules>(std::move(out));
}

// Running commands are left to go on: the next owner of their leases attaches to them.
void drain(http::server& front, caf::scoped_actor& self, const directory& peers, const settings& s) {
  const auto until = std::chrono::steady_clock::now() + s.server.drain_timeout;
  front.drain();
  self->send(peers.get<command_queue::actor>(), command_queue::rest{});
  self->send(peers.get<streams::actor>(), streams::drain{});
  self->send(peers.get<runner::actor>(), runner::abandon{});
  self->request(peers.get<webhooks::actor>(), s.server.drain_timeout / 4, webhooks::rest{})
      .receive([](webhooks::rested) {}, [](caf::error&) {}); // what is under way then is sent again by others
  self->request(peers.get<leases::actor>(), s.server.drain_timeout / 2, leases::leave{})
      .receive([](leases::left) {}, [](caf::error&) {});
  while (front.connections() > 0 && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

// Connections must never take the descriptors that running commands and the store need.
std::size_t descriptors_for_connections() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return std::size_t{256};
  return limit.rlim_cur > 2 * kept_descriptors ? limit.rlim_cur - kept_descriptors : limit.rlim_cur / 2;
}

http::server_config front_of(const settings& s) {
  http::server_config out;
  out.listen = s.server.listen;
  out.threads = s.http.threads;
  out.max_connections = std::min(static_cast<std::size_t>(s.http.max_connections), descriptors_for_connections());
  out.loop.limits.head_bytes = s.http.max_header_bytes;
  out.loop.limits.body_bytes = s.http.max_body_bytes;
  out.loop.request_timeout = s.http.request_timeout;
  out.loop.keep_alive = s.http.keep_alive;
  out.loop.write_timeout = s.http.write_timeout;
  return out;
}

// Signals that end the server come to the main thread alone, by sigwait().
sigset_t block_signals() {
  sigset_t ending;
  ::sigemptyset(&ending);
  ::sigaddset(&ending, SIGTERM);
  ::sigaddset(&ending, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return ending;
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

int run_house(house& h, const settings& s, const sigset_t& ending) {
  directory peers;
  health_board health;
  const surroundings around{&peers, h.log.get(), h.metrics.get(), &health, h.breakers.get(), h.audited.get()};
  health.set("database", true, "ok");
  actor_config config(s);
  caf::actor_system system(config);
  caf::scoped_actor self(system);
  h.processes->watch([&peers](const command_id& id) {
    if (auto runner = peers.get<runner::actor>())
      caf::anon_send(runner, runner::changed{id});
  });
  h.projects->watch([&peers](const project& now) {
    if (auto control = peers.get<pod_control::actor>())
      caf::anon_send(control, pod_control::seen{now});
  });
  const auto keys = postgres::follow_keys(
      h.stores,
      [&peers](const key_news& news) {
        if (auto owner = peers.get<api_keys::actor>())
          caf::anon_send(owner, api_keys::changed{news.key, news.epoch, news.revoked});
      },
      *h.log);
  webhook_sending::sender_config sending;
  sending.allowed_networks = s.webhooks.allowed_networks;
  sending.time_limit = s.webhooks.timeout;
  h.sender = webhook_sending::make_webhook_sender(std::move(sending));
  const auto boss = system.spawn(supervisor::behavior, around, parts_of(h, s));
  wait_for_ready(self, boss);
  wait_for_bans(self, peers);
  wait_for_own_commands(self, peers);
  int code = exit_good;
  {
    api_gate gate(system, around, s.http.request_deadline);
    http::request_handler handler(gate, *h.log, *h.metrics,
                                  {s.http.trusted_proxies, s.sse.heartbeat, rules_of(h, s), h.hidden_by});
    auto front = http::server::start(handler, front_of(s));
    auto published = front ? h.data_dir->publish_address((*front)->address()) : result<done>(front.error());
    if (published) {
      h.log->info("listening",
                  {{"address", (*front)->address()}, {"node", h.self.id.text()}, {"version", std::string(version)}});
      int signal = 0;
      ::sigwait(&ending, &signal);
      h.log->info("draining", {{"signal", std::int64_t{signal}}});
      drain(**front, self, peers, s);
      gate.close(); // while those are still there whom its answers are for
    } else {
      code = complain(h, published.error());
    }
  }
  h.processes->watch({});
  h.projects->watch({});
  h.sender->stop();
  self->send(boss, supervisor::stop{});
  return code;
}

// What is on record to the end is sealed, and where the chain ends then is told: no other node may live to do it.
void seal_the_end(const house& h, const settings& s) {
  const auto chain = postgres::make_audit_chain(h.stores);
  std::optional<audit_checkpoint> end;
  const auto until = std::chrono::steady_clock::now() + seconds(2);
  for (bool over = false; !over && std::chrono::steady_clock::now() < until;) {
    auto sealed = chain->seal(h.self.id, records_sealed_at_once);
    if (!sealed)
      return h.log->error("the end of the audit log is not sealed", {{"error", sealed.error().message}});
    if (sealed->checkpoint)
      end = std::move(sealed->checkpoint);
    const auto waits = chain->oldest_unsealed();
    over = !waits || *waits == seconds(0);
    if (!over && sealed->sealed == 0) // for a transaction that is open, or another node that seals
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  if (!end)
    return;
  audit_sealer::log_checkpoint(*end, *h.log);
  if (s.audit.checkpoint_file.empty())
    return;
  if (const auto kept = audit_chain::keep_in_file(s.audit.checkpoint_file)->keep(*end); !kept)
    h.log->error("the last checkpoint is not in its file", {{"error", kept.error().message}});
}

int serve(const settings& s, redactor hides) {
  const auto ending = block_signals();
  raise_descriptor_limit();
  ::mallopt(M_ARENA_MAX, arenas); // an arena for each of many threads would keep many large pages for ever
  house h(s, std::move(hides));
  hide_own_secrets(h, s);
  auto folder = data_dir::open(s.server.data_dir);
  if (!folder) {
    complain(h, folder.error());
    return folder.error().code == fault::unavailable ? exit_busy_data_dir : exit_wrong_settings;
  }
  h.data_dir = std::move(*folder);
  if (auto opened = open_house(h, s, ending); !opened)
    return complain(h, opened.error());
  const auto start = record_of_node(h, s, "node.start");
  if (auto recorded = patiently(h, s, ending, [&] { return put_on_record(h, start); }); !recorded)
    return complain(h, recorded.error());
  const int code = run_house(h, s, ending);
  if (auto recorded = put_on_record(h, record_of_node(h, s, "node.stop")); !recorded)
    h.log->error("the end of this node is not on record", {{"error", recorded.error().message}});
  seal_the_end(h, s);
  h.log->info("stopped");
  return code;
}

int migrate(const settings& s) {
  if (s.database.url.empty()) {
    std::cerr << "rdev-api: migrate is for DATABASE_URL; serve brings the embedded database up to date by itself"
              << std::endl;
    return exit_wrong_settings;
  }
  auto schema = postgres::migrate(std::string(s.database.url.reveal()));
  if (!schema)
    return complain(schema.error());
  std::cout << "the schema has version " << *schema << std::endl;
  return exit_good;
}

// Everything, from the first record that is kept to the last that is sealed.
result<audit_verification> verify_audit(const settings& s, audit_chain::outside_evidence evidence) {
  postgres::store_config stores;
  stores.conninfo =
      s.database.url.empty() ? postgres::embedded_conninfo(s.server.data_dir) : std::string(s.database.url.reveal());
  const auto reader = postgres::make_audit_reader(stores);
  audit_chain::verification all(*reader, std::move(evidence), audit_chain::reading::ahead);
  for (;;) {
    auto over = all.go_on({});
    if (!over)
      return std::move(over.error());
    if (*over)
      return all.outcome();
  }
}

result<audit_chain::outside_evidence> evidence_of(const config::invocation& with) {
  audit_chain::outside_evidence evidence;
  if (!with.public_key_file.empty()) {
    auto keys = audit_chain::read_public_keys(with.public_key_file);
    if (!keys)
      return std::move(keys.error());
    evidence.keys = std::move(*keys);
  }
  if (!with.checkpoint_file.empty()) {
    auto checkpoints = audit_chain::read_checkpoints(with.checkpoint_file);
    if (!checkpoints)
      return std::move(checkpoints.error());
    evidence.checkpoints = std::move(*checkpoints);
  }
  return evidence;
}

int tell(const audit_verification& seen) {
  std::cout << "records checked: " << seen.checked << "\nsealed through: " << seen.sealed_through << std::endl;
  if (!seen.first_bad)
    return exit_good;
  std::cout << "NOT GOOD: " << name_of(seen.first_bad->problem) << " at " << seen.first_bad->seq;
  if (!seen.first_bad->id.empty())
    std::cout << ", record " << seen.first_bad->id.text();
  std::cout << std::endl;
  return exit_tampered;
}

int verify_audit(const settings& s, const config::invocation& with) {
  auto evidence = evidence_of(with);
  if (!evidence)
    return complain(evidence.error());
  auto seen = verify_audit(s, std::move(*evidence));
  return seen ? tell(*seen) : complain(seen.error());
}

int verify_dump(const config::invocation& with) {
  if (with.checkpoint_file.empty() != with.public_key_file.empty())
    return complain({fault::invalid, "--dump takes --checkpoint and --public-key together: there is no database to "
                                     "take the keys from"});
  auto evidence = evidence_of(with);
  if (!evidence)
    return complain(evidence.error());
  const auto found = audit_chain::verify_dump(with.dump_file, std::move(*evidence));
  if (!found)
    return complain(found.error());
  const int code = tell(found->seen);
  if (found->bad_line != 0)
    std::cout << with.dump_file << ", line " << found->bad_line << (found->why.empty() ? "" : ": " + found->why)
              << std::endl;
  if (found->first > 1)
    std::cout << "what comes before " << found->first << " is not in the dump" << std::endl;
  return code;
}

int psql(const settings& s, const std::vector<std::string>& arguments) {
  const auto conninfo =
      s.database.url.empty() ? postgres::embedded_conninfo(s.server.data_dir) : std::string(s.database.url.reveal());
  const auto trouble = postgres::become_psql(conninfo, arguments); // returns only when there is some
  std::cerr << "rdev-api: " << trouble << std::endl;
  return exit_fault;
}

std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto equals = text.find('=');
    if (equals != std::string_view::npos)
      out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

// What config cannot see.
std::vector<std::string> further_problems_of(const settings& s) {
  std::vector<std::string> out;
  if (const auto hides = redactor::make(s.redaction.patterns); !hides)
    out.push_back("redaction.patterns: " + hides.error().message + "; mend it or leave it out");
  if (!s.secrets_keys.empty())
    if (const auto ring = make_sealer(s.secrets_keys.reveal()); !ring)
      out.push_back(ring.error().message);
  if (const auto checks = credentials::make(s.key_pepper.reveal(), nullptr); !checks)
    out.push_back(checks.error().message);
  return out;
}

int run(int argc, char** argv) {
  auto parsed = config::parse_command_line(argc, argv);
  if (const auto* end = std::get_if<config::early_end>(&parsed)) {
    (end->exit_code == 0 ? std::cout : std::cerr) << end->text;
    return end->exit_code;
  }
  auto& invocation = std::get<config::invocation>(parsed);
  if (invocation.what == config::verb::version) {
    std::cout << "rdev-api " << version << (failpoint::built_in ? "\nfailpoints" : "") << std::endl;
    return exit_good;
  }
  if (!invocation.dump_file.empty())
    return verify_dump(invocation);
  invocation.in.environment = environment();
  invocation.in.judge = further_problems_of;
  auto loaded = config::load(invocation.in);
  if (const auto* problems = std::get_if<std::vector<std::string>>(&loaded)) {
    for (const auto& problem : *problems)
      std::cerr << "rdev-api: " << problem << '\n';
    return exit_wrong_settings;
  }
  const auto& s = std::get<settings>(loaded);
  auto hides = redactor::make(s.redaction.patterns);
  if (!hides)
    return complain(hides.error());
  switch (invocation.what) {
  case config::verb::serve:
    return serve(s, std::move(*hides));
  case config::verb::migrate:
    return migrate(s);
  case config::verb::audit_verify:
    return verify_audit(s, invocation);
  case config::verb::psql:
    return psql(s, invocation.rest);
  case config::verb::check_config:
  case config::verb::version:
    break;
  }
  std::cout << "the settings are good" << std::endl;
  return exit_good;
}

} // namespace

} // namespace rdev

int main(int argc, char** argv) {
  try {
    return rdev::run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "rdev-api: " << e.what() << std::endl;
    return 1;
  }
}
