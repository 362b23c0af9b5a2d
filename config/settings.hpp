// All settings. config/rdev.default.toml documents each and holds the defaults; nothing here has a default of its own.
#pragma once

#include "messages/values/addresses.hpp"
#include "messages/values/secret.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rdev::config {

using std::chrono::milliseconds;

struct settings {
  struct {
    std::string listen;
    std::string data_dir;
    milliseconds drain_timeout{};
    std::string node;
  } server;
  struct {
    std::vector<ip_network> trusted_proxies;
    std::uint64_t max_body_bytes = 0;
    std::uint64_t max_header_bytes = 0;
    int threads = 0;
    int max_connections = 0;
    milliseconds request_timeout{};
    milliseconds write_timeout{};
    milliseconds request_deadline{};
    milliseconds keep_alive{};
  } http;
  struct {
    int rps = 0;
    int unauthenticated_rps = 0;
    int global_rps = 0;
    std::vector<std::string> shadow;
  } limits;
  struct {
    int failures = 0;
    milliseconds within{};
    milliseconds first_ban{};
    milliseconds longest_ban{};
    milliseconds memory{};
    bool strict = false;
    bool shadow = false;
  } lockout;
  struct {
    milliseconds heartbeat{};
  } sse;
  struct {
    milliseconds default_timeout{};
    milliseconds max_timeout{};
    milliseconds kill_grace{};
    bool token = false;
    int max_running = 0;
    int max_running_per_project = 0;
  } commands;
  struct {
    std::uint64_t max_bytes = 0;
    milliseconds retention{};
  } output;
  struct {
    milliseconds renew{};
    milliseconds lease{};
    milliseconds scan{};
    milliseconds foreign_after{};
  } leases;
  struct {
    milliseconds cache_lease{};
  } auth;
  struct {
    milliseconds max_lifetime{};
  } keys;
  struct {
    milliseconds retention{};
  } idempotency;
  struct {
    std::vector<ip_network> allowed_networks;
    std::vector<milliseconds> retries;
    milliseconds timeout{};
    int concurrency = 0;
    milliseconds retention{};
    milliseconds disable_after{};
  } webhooks;
  struct {
    std::string kind;
    std::uint64_t min_free_bytes = 0;
    struct {
      std::string dir;
      std::string user;
      bool allow_network = false;
      std::vector<std::string> pass_env;
    } local;
  } runner;
  struct {
    std::string name_space;
    std::string kubeconfig; // or KUBECONFIG; empty = as a pod of the cluster
    std::string context;
    std::string cluster;
    bool adopt = false;
    std::string run_dir;
    std::string image;
    std::vector<std::string> images;
    std::vector<std::string> secret_patterns;
    std::string storage_class;
    std::string storage;
    std::string cpu_limit;
    std::string memory_limit;
    int user = 0;
  } kubernetes;
  struct {
    std::vector<std::string> argv;
    std::string missing_hint;
  } claude;
  struct {
    secret url; // DATABASE_URL, or made of DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME; empty = embedded
    std::string embedded_user;
    milliseconds start_timeout{};
  } database;
  struct {
    milliseconds retention{};
    milliseconds checkpoint_log{};
    std::string checkpoint_file;
    int refusals_per_minute{};
    int strangers_per_second{};
  } audit;
  struct {
    std::vector<std::string> patterns;
  } redaction;
  struct {
    std::string level;
  } log;
  struct {
    int threads = 0;
  } actors;
  secret admin_key;      // RDEV_ADMIN_KEY
  secret secrets_keys;   // RDEV_SECRETS_KEYS
  secret key_pepper;     // RDEV_KEY_PEPPER
  std::string effective; // every setting as it was given, `section.key = value` a line, in the order of keys; no secret
};

struct inputs {
  std::optional<std::string> file;                // path of a TOML file
  std::map<std::string, std::string> environment; // all of it; only known names are looked at
  std::map<std::string, std::string> flags;       // `server.listen` -> text
  // What else is wrong with what was understood; or none.
  std::function<std::vector<std::string>(const settings&)> judge;
};

// The settings, or every problem at once, each naming its key and the remedy.
std::variant<settings, std::vector<std::string>> load(const inputs& in);

// Names of all keys, as `section.key`.
std::vector<std::string> known_keys();

extern const std::string_view default_file; // text of rdev.default.toml

} // namespace rdev::config
