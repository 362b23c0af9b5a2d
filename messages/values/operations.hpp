// Every operation of the API and what it answers. The HTTP adapter makes an operation out of a request and renders
// its outcome; the exchange actor has it carried out. A new route starts here.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/values/audit_chain.hpp"
#include "messages/values/bans.hpp"
#include "messages/values/commands.hpp"
#include "messages/values/keys.hpp"
#include "messages/values/output.hpp"
#include "messages/values/projects.hpp"
#include "messages/values/refusal.hpp"
#include "messages/values/webhooks.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace rdev {

struct page_request {
  std::optional<std::string> cursor; // opaque; `next_cursor` of the page before
  int limit = 50;                    // 1 to 200
};

template <class T>
struct page {
  std::vector<T> items;
  std::optional<std::string> next_cursor;
};

// Idempotency-Key of a request that creates: scope is key family + method + path.
struct idempotency {
  std::string key; // 1 to 255 visible ASCII characters
  std::array<std::uint8_t, 32> body_digest{};
};

// ---- projects
struct list_projects {
  page_request at;
};
struct get_project {
  std::string id;
};
// What the pod of a project is to be; empty = as the settings say. Means nothing where projects are folders.
struct pod_wish {
  std::string image;
  std::string cpu;                        // a limit, in the cluster's notation: 2, 500m
  std::string memory;                     // a limit: 2Gi
  std::string storage;                    // of the workspace: 10Gi
  std::string repository;                 // URL of a git repository that an empty workspace is filled from
  std::map<std::string, std::string> env; // stands in the cluster in clear
  std::vector<std::string> env_from;      // names of Secrets
};
// Names of the fields that are not empty, as the request has them.
inline std::vector<std::string> given_fields(const pod_wish& wish) {
  std::vector<std::string> out;
  const auto add = [&](const char* field, bool given) {
    if (given)
      out.emplace_back(field);
  };
  add("image", !wish.image.empty());
  add("resources", !wish.cpu.empty() || !wish.memory.empty());
  add("storage", !wish.storage.empty());
  add("repository", !wish.repository.empty());
  add("env", !wish.env.empty());
  add("env_from", !wish.env_from.empty());
  return out;
}
struct create_project {
  std::string id;
  std::map<std::string, std::string> labels;
  pod_wish pod{};
};
struct delete_project {
  std::string id;
  bool force = false; // also while commands run
};
enum class project_verb : std::uint8_t { start, stop, restart };
struct change_project {
  std::string id;
  project_verb verb = project_verb::start;
};

// ---- commands
struct submit_command {
  submission what;
};
struct list_commands {
  std::optional<std::string> project;
  std::optional<command_status> status;
  page_request at;
};
struct get_command {
  command_id id;
};
struct cancel_command {
  command_id id;
};
struct get_queue {};
// Chunks of one or both streams behind `after` (JSON list), or bytes of one stream from `offset` (raw).
struct list_output {
  command_id id;
  std::optional<rdev::stream> only;
  std::optional<std::uint32_t> after_seq;
  int limit = 50;
};
struct read_output {
  command_id id;
  rdev::stream which = rdev::stream::out;
  std::uint64_t offset = 0;
};
struct open_stream {
  std::string project;
  std::optional<command_id> command;   // none = the project's own events
  std::optional<event_position> after; // Last-Event-ID
};

// ---- keys
struct key_request {
  std::string name;
  scopes granted;
  std::optional<std::vector<std::string>> project_ids;
  std::optional<std::vector<std::string>> allowed_ips;
  std::optional<std::chrono::seconds> expires_in; // 0 = never
  std::optional<timestamp> expires_at;
  std::optional<int> rate_limit;
  std::optional<int> concurrency_limit;
};
struct list_keys {
  page_request at;
  std::optional<std::chrono::seconds> unused_for; // only keys that are good and have not been used for so long
};
struct create_key {
  key_request what;
};
struct get_key {
  key_id id;
};
struct revoke_key {
  key_id id;
  bool cancel_queued = false; // of its commands, those that have not been started
};
// What is to be different about a key; an outer none leaves the field alone, an inner one lifts the restriction.
struct key_change {
  std::optional<std::string> name;
  std::optional<scopes> granted;
  std::optional<std::optional<std::vector<std::string>>> project_ids;
  std::optional<std::optional<std::vector<std::string>>> allowed_ips;
  std::optional<std::optional<timestamp>> expires_at;
  std::optional<std::optional<int>> rate_limit;
  std::optional<std::optional<int>> concurrency_limit;
};
struct change_key {
  key_id id;
  key_change what;
};
struct rotate_key {
  key_id id;
  std::chrono::seconds overlap{24 * 3600};
};

// ---- bans
struct list_bans {
  page_request at;
};
struct lift_ban {
  ban_id id;
};

// ---- webhooks
struct webhook_request {
  std::string url;
  std::vector<std::string> events;
  std::optional<std::vector<std::string>> projects; // none: all that the asker's key is bound to
  std::string description;
  bool ordered = false;
};
struct list_webhooks {
  page_request at;
};
struct create_webhook {
  webhook_request what;
};
struct get_webhook {
  webhook_id id;
};
// An outer none leaves the field alone, an inner one lifts the restriction.
struct webhook_change {
  std::optional<std::string> url;
  std::optional<std::vector<std::string>> events;
  std::optional<std::optional<std::vector<std::string>>> projects;
  std::optional<std::string> description;
  std::optional<bool> enabled;
  std::optional<bool> ordered;
};
struct change_webhook {
  webhook_id id;
  webhook_change what;
};
struct delete_webhook {
  webhook_id id;
};
struct test_webhook {
  webhook_id id;
};
struct rotate_webhook_secret {
  webhook_id id;
  std::chrono::seconds overlap{24 * 3600}; // for which the old one signs too
};
// Which deliveries of a webhook; what is empty does not restrict.
struct delivery_filter {
  std::optional<delivery_status> status;
  std::vector<std::string> events; // filters
  std::optional<timestamp> from;   // made then or later
  std::optional<timestamp> to;     // made before
};
struct list_deliveries {
  webhook_id webhook;
  delivery_filter which;
  page_request at;
};
struct get_delivery {
  webhook_id webhook;
  delivery_id id;
};
struct redeliver {
  webhook_id webhook;
  delivery_id id;
};
struct replay_deliveries {
  webhook_id webhook;
  delivery_filter which;
};

// ---- the audit log
struct list_audit {
  audit_query what;
  bool goes_on = false; // from where an earlier page has ended
};
struct verify_audit {
  std::optional<timestamp> from; // sealed then or later
  std::optional<timestamp> to;   // sealed before
};
struct list_audit_keys {};

using operation = std::variant<list_projects, get_project, create_project, delete_project, change_project,
                               submit_command, list_commands, get_command, cancel_command, get_queue, list_output,
                               read_output, open_stream, list_keys, create_key, get_key, change_key, revoke_key,
                               rotate_key, list_bans, lift_ban, list_webhooks, create_webhook, get_webhook,
                               change_webhook, delete_webhook, test_webhook, rotate_webhook_secret, list_deliveries,
                               get_delivery, redeliver, replay_deliveries, list_audit, verify_audit, list_audit_keys>;

// ---- outcomes
struct submitted {
  command_id id;
  std::string project;
  bool replayed = false;
};
struct project_created {
  project what;
  bool replayed = false;
};
struct cancel_accepted {
  command_id id;
  command_status status = command_status::cancelled; // `cancelled` when it never ran, else `running`
};
struct queue_view {
  struct of_project {
    std::string project;
    std::int64_t depth = 0;
    std::int64_t running = 0;
  };
  std::array<std::int64_t, 4> depth{}; // by priority
  std::vector<of_project> by_project;
  double oldest_seconds = 0;
  std::int64_t running = 0;
  std::int64_t completed_per_minute = 0;
};
// A piece of one stream. `end` = where the stream ends now; `finished` = it will not grow.
struct output_bytes {
  std::vector<chunk> chunks; // the first one to be read from byte `skip`
  std::uint64_t skip = 0;
  std::uint64_t end = 0;
  bool finished = false;
};
struct output_list {
  std::vector<chunk> chunks;
  std::optional<std::uint32_t> next_after; // none = nothing more at the moment
};
struct stream_opened {
  std::string project;
  std::optional<command_id> command;
  event_position from;                // what has been seen so far
  bool from_start = true;             // no Last-Event-ID: begin with item 0
  bool already_complete = false;      // resumed behind `complete`: nothing will follow
  key_id key;                         // whose stream it is; that of a command has an id of its own
  std::optional<command_id> holder{}; // the running command whose credential opened it
  std::optional<timestamp> ends_at{}; // with the key
};
struct minted_key {
  api_key key;
  std::optional<secret> text; // none in a replay
  bool replayed = false;
};

struct minted_webhook {
  webhook what;
  std::optional<secret> text; // `whsec_<base64>`; none in a replay
  bool replayed = false;
};
struct delivery_queued {
  delivery what;
};
struct deliveries_queued {
  std::int64_t deliveries = 0;
};
struct audit_keys {
  std::vector<audit_public_key> keys; // the oldest first
};

using outcome =
    std::variant<page<project>, project, project_created, submitted, page<command_view>, command_view, cancel_accepted,
                 queue_view, output_list, output_bytes, stream_opened, page<api_key>, api_key, minted_key, page<ban>,
                 ban, page<webhook>, webhook, minted_webhook, page<delivery>, delivery, delivery_queued,
                 deliveries_queued, audit_page, audit_verification, audit_keys>;

// The body is parsed only after the asker has been identified, metered and found entitled (contract: order of
// refusals), so a request carries its operation as a recipe.
using operation_recipe = std::function<answer<operation>()>;

struct api_request {
  request_context from;
  answer<secret> credential{secret()}; // the presented key, or empty; or what is wrong with how it was sent
  scope needed = scope::admin;         // of the route
  std::optional<std::string> project;  // `{id}` of a project route: checked against the key's binding
  std::optional<rdev::idempotency> idempotency;
  operation_recipe recipe;

  [[nodiscard]] bool writes() const {
    return from.method != "GET" && from.method != "HEAD";
  }
};

// How busy the asker's key is; the source of the RateLimit headers.
struct rate_state {
  int quota = 0; // requests per window; 0 = unlimited
  int remaining = 0;
  std::chrono::seconds window{1};
  std::chrono::milliseconds resets_in{0};
};

struct api_reply {
  answer<outcome> what;
  std::optional<principal> who;   // once identified
  std::optional<rate_state> rate; // once metered
};

// What a reader of a stream gets next.
struct stream_news {
  std::optional<event_page> events;      // none: nothing new within the time
  std::optional<project> project_status; // of a stream of a project's own events
  bool draining = false;                 // the server goes away: tell the client to resume elsewhere
};

} // namespace rdev
