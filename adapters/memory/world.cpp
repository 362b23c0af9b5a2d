#include "adapters/memory/tables.hpp"

namespace rdev::memory {

void tables::interrupt(std::string_view name) {
  std::function<void()> what;
  {
    std::lock_guard guard(mutex);
    const auto planned = interruptions.find(name);
    if (planned == interruptions.end())
      return;
    what = std::move(planned->second);
    interruptions.erase(planned);
  }
  what();
}

std::optional<failure> tables::strikes(std::string_view name, moment when) {
  if (unreachable && when == moment::before)
    return failure{fault::unavailable, "the pretended database is unreachable"};
  for (auto it = faults.begin(); it != faults.end(); ++it) {
    if (it->when != when || (!it->call.empty() && it->call != name))
      continue;
    failure out{it->what, "a fault planned by the test"};
    if (--it->times == 0)
      faults.erase(it);
    return out;
  }
  return std::nullopt;
}

bool tables::key_is_good(const key_id& id, int revision) const {
  const auto found = keys.find(id);
  return found != keys.end() && found->second.active(clock()) && found->second.revision == revision;
}

bool tables::key_is_full(const key_id& id, int more) const {
  const auto found = keys.find(id);
  if (found == keys.end() || !found->second.concurrency_limit)
    return false;
  const auto open = std::count_if(commands.begin(), commands.end(),
                                  [&](const auto& e) { return e.second.key == id && !results.contains(e.first); });
  return open + more >= *found->second.concurrency_limit;
}

bool tables::known(const new_command& one) const {
  if (!one.idempotency)
    return false;
  const auto found = idempotency.find(scope_of(one.what.family, one.from, *one.idempotency));
  return found != idempotency.end() && found->second.expires_at >= clock();
}

std::uint64_t tables::stored_bytes(const command_id& id, stream which) const {
  const auto found = chunks.find(id);
  if (found == chunks.end())
    return 0;
  for (auto it = found->second.rbegin(); it != found->second.rend(); ++it)
    if (it->second.stream == which && !it->second.truncation_marker)
      return it->second.offset + it->second.bytes->size();
  return 0;
}

lease tables::lease_of(const command_id& id) const {
  const auto& row = leases.at(id);
  lease out;
  out.what = commands.at(id);
  out.token = row.token;
  out.attempt = row.attempt;
  out.start_intent = row.start_intent;
  out.scope = row.scope;
  out.started_at = row.started_at;
  out.age = std::chrono::duration_cast<std::chrono::milliseconds>(clock() - row.started_at);
  out.taken_at = boot_clock_now();
  out.cancel = row.cancel;
  return out;
}

// The pretended time may be long ago, of which the maker of ids knows nothing.
static audit_id id_of(timestamp at) {
  auto bytes = audit_id::make().bytes();
  auto ms = std::chrono::floor<std::chrono::milliseconds>(at).time_since_epoch().count();
  for (std::size_t i = 6; i-- > 0; ms >>= 8)
    bytes.at(i) = static_cast<std::uint8_t>(ms & 0xff);
  return audit_id(bytes);
}

void tables::add_audit(audit_record row, const audit_id& id) {
  const auto at = clock();
  const auto off = timestamp(std::chrono::milliseconds(id.unix_ms())) - at;
  const bool usable = std::chrono::abs(off) < std::chrono::days(1);
  if (usable && std::any_of(audit.begin(), audit.end(), [&](const auto& one) { return one.id == id; }))
    return;
  audit.push_back({at, std::move(row), usable ? id : id_of(at), ++last_transaction});
}

void tables::add_event(std::string event, std::optional<std::string> project, std::optional<command_id> command,
                       std::optional<key_id> key, std::string data) {
  events.push_back({clock(), std::move(event), std::move(project), command, key, message_id::make(), std::move(data)});
}

bool tables::node_lives(const node_id& id) const {
  const auto found = nodes.find(id);
  return found != nodes.end() && found->second.expires_at > clock();
}

delivery_id tables::add_delivery(webhook_row& to, std::size_t event) {
  delivery one;
  one.id = delivery_id::make();
  one.webhook = to.what.id;
  one.event = events[event].event;
  one.message = events[event].id;
  one.sequence = ++to.sequence;
  one.created_at = clock();
  deliveries[to.what.id][one.id] = {one, event};
  due[to.what.id][one.id] = {one.created_at};
  return one.id;
}

idempotency_scope scope_of(const key_id& family, const request_context& from, const rdev::idempotency& key) {
  return {family, from.method + '\n' + from.path + '\n' + key.key};
}

const idempotency_row& tables::claim_idempotency(const key_id& family, const request_context& from,
                                                 const rdev::idempotency& key, const std::string& resource) {
  const auto now = clock();
  auto& row = idempotency.try_emplace(scope_of(family, from, key)).first->second;
  if (row.resource.empty() || row.expires_at < now)
    row = {key.body_digest, resource, now + idempotency_retention};
  return row;
}

world::world() : tables_(std::make_unique<tables>()) {
}

world::~world() = default;

void world::set_clock(std::function<timestamp()> clock) {
  std::lock_guard guard(tables_->mutex);
  tables_->clock = std::move(clock);
}

void world::set_idempotency_retention(std::chrono::seconds retention) {
  std::lock_guard guard(tables_->mutex);
  tables_->idempotency_retention = retention;
}

void world::set_webhook_retention(std::chrono::seconds retention) {
  std::lock_guard guard(tables_->mutex);
  tables_->webhook_retention = retention;
}

void world::fail_next(fault what, int times) {
  fail_next_of({}, what, times);
}

void world::fail_next_of(std::string_view call, fault what, int times, moment when) {
  std::lock_guard guard(tables_->mutex);
  if (times > 0)
    tables_->faults.push_back({std::string(call), what, times, when});
}

void world::unreachable(bool yes) {
  std::lock_guard guard(tables_->mutex);
  tables_->unreachable = yes;
}

void world::expire(const node_id& node) {
  std::lock_guard guard(tables_->mutex);
  tables_->nodes[node].expires_at = tables_->clock() - std::chrono::seconds(1);
}

void world::meanwhile(std::string_view call, std::function<void()> what) {
  std::lock_guard guard(tables_->mutex);
  tables_->interruptions[std::string(call)] = std::move(what);
}

std::vector<command_id> world::commands() const {
  std::lock_guard guard(tables_->mutex);
  std::vector<command_id> out;
  for (const auto& [id, what] : tables_->commands)
    out.push_back(id);
  return out;
}

std::vector<command_id> world::queued() const {
  std::lock_guard guard(tables_->mutex);
  std::vector<command_id> out;
  for (const auto& [id, row] : tables_->queue)
    out.push_back(id);
  std::sort(out.begin(), out.end(), [&](const auto& a, const auto& b) {
    return std::tuple(tables_->queue.at(a).eff_ms, a) < std::tuple(tables_->queue.at(b).eff_ms, b);
  });
  return out;
}

std::vector<lease_seen> world::leases() const {
  std::lock_guard guard(tables_->mutex);
  std::vector<lease_seen> out;
  for (const auto& [id, row] : tables_->leases)
    out.push_back(
        {id, tables_->commands.at(id).what.project, row.node, row.token, row.attempt, row.start_intent, row.cancel});
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.token < b.token; });
  return out;
}

std::optional<command_result> world::result_of(const command_id& id) const {
  std::lock_guard guard(tables_->mutex);
  const auto found = tables_->results.find(id);
  return found == tables_->results.end() ? std::nullopt : std::optional(found->second);
}

std::vector<chunk> world::chunks_of(const command_id& id) const {
  std::lock_guard guard(tables_->mutex);
  std::vector<chunk> out;
  if (const auto found = tables_->chunks.find(id); found != tables_->chunks.end())
    for (const auto& [seq, one] : found->second)
      out.push_back(one);
  return out;
}

std::string world::output_of(const command_id& id, stream which) const {
  std::string out;
  for (const auto& one : chunks_of(id))
    if (one.stream == which)
      out += *one.bytes;
  return out;
}

std::vector<audit_row> world::audit_rows() const {
  std::lock_guard guard(tables_->mutex);
  return tables_->audit;
}

std::vector<event_row> world::event_rows() const {
  std::lock_guard guard(tables_->mutex);
  return tables_->events;
}

std::size_t world::idempotency_records() const {
  std::lock_guard guard(tables_->mutex);
  return tables_->idempotency.size();
}

bool world::keeps_env_of(const command_id& id) const {
  std::lock_guard guard(tables_->mutex);
  const auto found = tables_->commands.find(id);
  return found != tables_->commands.end() && !found->second.what.env.empty();
}

std::vector<std::size_t> world::calls(std::string_view call) const {
  std::lock_guard guard(tables_->mutex);
  const auto found = tables_->calls.find(call);
  return found == tables_->calls.end() ? std::vector<std::size_t>{} : found->second;
}

void world::put_key(const api_key& key) {
  std::lock_guard guard(tables_->mutex);
  auto& row = tables_->keys[key.id];
  row = key;
  if (row.family.empty())
    row.family = key.id;
}

std::optional<api_key> world::key(const key_id& id) const {
  std::lock_guard guard(tables_->mutex);
  const auto found = tables_->keys.find(id);
  return found == tables_->keys.end() ? std::nullopt : std::optional(found->second);
}

void world::rewrite_audit(std::size_t place, const std::function<void(audit_record&)>& change) {
  std::lock_guard guard(tables_->mutex);
  change(tables_->audit.at(place).what);
}

void world::put_event(const std::string& event, const std::optional<std::string>& project, const std::string& data) {
  std::lock_guard guard(tables_->mutex);
  tables_->add_event(event, project, std::nullopt, std::nullopt, data);
}

void world::put_node(const node_id& id) {
  std::lock_guard guard(tables_->mutex);
  tables_->nodes[id] = {{id, "", "", ""}, tables_->clock() + std::chrono::days(1), tables_->clock()};
}

void world::drop(const command_id& id) {
  std::lock_guard guard(tables_->mutex);
  tables_->commands.erase(id);
  tables_->env_names.erase(id);
  tables_->queue.erase(id);
  tables_->leases.erase(id);
  tables_->results.erase(id);
  tables_->chunks.erase(id);
}

std::shared_ptr<world> make_world() {
  return std::make_shared<world>();
}

} // namespace rdev::memory
