// Every operation of the API and what it answers. The HTTP adapter makes an operation out of a request and renders
// its outcome; the exchange actor has it carried out. A new route starts here.
#pragma once

#include "messages/values/audit.hpp"
#include "messages/values/commands.hpp"
#include "messages/values/keys.hpp"
#include "messages/values/output.hpp"
#include "messages/values/projects.hpp"
#include "messages/values/refusal.hpp"

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
// Name of the first field that is not empty, as the request has it; empty = there is none.
inline std::string_view first_field(const pod_wish& wish) {
  if (!wish.image.empty())
    return "image";
  if (!wish.cpu.empty() || !wish.memory.empty())
    return "resources";
  if (!wish.storage.empty())
    return "storage";
  if (!wish.repository.empty())
    return "repository";
  if (!wish.env.empty())
    return "env";
  return wish.env_from.empty() ? "" : "env_from";
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
};
struct list_keys {
  page_request at;
};
struct create_key {
  key_request what;
};
struct get_key {
  key_id id;
};
struct revoke_key {
  key_id id;
};
struct rotate_key {
  key_id id;
  std::chrono::seconds overlap{24 * 3600};
};

using operation = std::variant<list_projects, get_project, create_project, delete_project, change_project,
                               submit_command, list_commands, get_command, cancel_command, get_queue, list_output,
                               read_output, open_stream, list_keys, create_key, get_key, revoke_key, rotate_key>;

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
  event_position from;           // what has been seen so far
  bool from_start = true;        // no Last-Event-ID: begin with item 0
  bool already_complete = false; // resumed behind `complete`: nothing will follow
  key_id key;                    // whose stream it is
};
struct minted_key {
  api_key key;
  std::optional<secret> text; // none in a replay
  bool replayed = false;
};

using outcome =
    std::variant<page<project>, project, project_created, submitted, page<command_view>, command_view, cancel_accepted,
                 queue_view, output_list, output_bytes, stream_opened, page<api_key>, api_key, minted_key>;

// The body is parsed only after the asker has been identified, metered and found entitled (contract: order of
// refusals), so a request carries its operation as a recipe.
using operation_recipe = std::function<answer<operation>()>;

struct api_request {
  request_context from;
  secret credential;                  // the presented key, or empty
  scope needed = scope::admin;        // of the route
  std::optional<std::string> project; // `{id}` of a project route: checked against the key's binding
  std::optional<rdev::idempotency> idempotency;
  operation_recipe recipe;
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
