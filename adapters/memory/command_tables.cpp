// Lane `commands`: submit, claim, complete, cancel.
#include "adapters/memory/tables.hpp"

namespace rdev::memory {

namespace {

constexpr std::array<std::int64_t, 4> handicap_ms{0, 5000, 30000, 120000}; // by priority

std::int64_t ms_of(timestamp t) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(t.time_since_epoch()).count();
}

std::string sha256_of_nothing() {
  return to_hex(sha256(""));
}

class command_tables final : public command_store {
public:
  explicit command_tables(std::shared_ptr<world> in) : world_(std::move(in)), t_(world_->inside()) {
  }

  result<std::vector<submit_receipt>> submit(std::span<const new_command> batch) override {
    return t_.call("commands.submit", batch.size(), [&]() -> result<std::vector<submit_receipt>> {
      // An id that is there already would break the one transaction: nothing of it is written. A replay writes none.
      std::vector<submit_receipt> out;
      const auto records_before = t_.idempotency;
      for (const auto& one : batch) {
        int made_before = 0;
        for (std::size_t i = 0; i < out.size(); ++i)
          made_before += batch[i].what.key == one.what.key && out[i].verdict == submit_verdict::created ? 1 : 0;
        out.push_back(verdict_of(one, made_before));
      }
      for (std::size_t i = 0; i < batch.size(); ++i)
        if (out[i].verdict == submit_verdict::created && t_.commands.contains(batch[i].what.id)) {
          t_.idempotency = records_before;
          return failure{fault::internal, "a command of this id exists"};
        }
      for (std::size_t i = 0; i < batch.size(); ++i)
        if (out[i].verdict == submit_verdict::created)
          write(batch[i]);
      return out;
    });
  }

  result<std::vector<command_id>> existing(std::span<const command_id> ids) override {
    return t_.call("commands.existing", ids.size(), [&]() -> result<std::vector<command_id>> {
      std::vector<command_id> out;
      std::copy_if(ids.begin(), ids.end(), std::back_inserter(out),
                   [&](const auto& id) { return t_.commands.contains(id); });
      return out;
    });
  }

  result<std::vector<lease>> claim(const claim_request& request) override {
    return t_.call("commands.claim", 1, [&]() -> result<std::vector<lease>> {
      std::vector<lease> out;
      const auto node = t_.nodes.find(request.node);
      if (node == t_.nodes.end() || node->second.expires_at <= t_.clock())
        return out;
      for (const auto& id : next_in_line(request)) {
        const auto& project = t_.commands.at(id).what.project;
        t_.queue.erase(id);
        const auto intent = request.places ? request.places->at(project) : request.start_intent;
        t_.leases[id] = {request.node, ++t_.last_token, 1, intent, t_.clock(), std::nullopt, request.scope};
        t_.add_event("command.started", project, id, std::nullopt);
        out.push_back(t_.lease_of(id));
      }
      return out;
    });
  }

  result<std::vector<bool>> complete(std::span<const completion> batch) override {
    return t_.call("commands.complete", batch.size(), [&]() -> result<std::vector<bool>> {
      std::vector<bool> out;
      for (const auto& one : batch)
        out.push_back(end(one));
      return out;
    });
  }

  result<cancel_verdict> cancel(const cancel_order& order) override {
    return t_.call("commands.cancel", 1, [&]() -> result<cancel_verdict> {
      if (order.by && !t_.key_is_good(*order.by, order.revision))
        return cancel_verdict::key_changed;
      if (!t_.queue.contains(order.id) && !t_.leases.contains(order.id))
        return t_.results.contains(order.id) ? cancel_verdict::ended : cancel_verdict::not_found;
      const auto project = t_.commands.at(order.id).what.project;
      auto verdict = cancel_verdict::requested;
      if (t_.queue.contains(order.id)) {
        verdict = cancel_verdict::never_ran;
        end_in_queue(order.id, "it was cancelled before it was started", order.by);
      } else if (auto& wish = t_.leases.at(order.id).cancel; !wish) {
        wish = order.reason;
      }
      t_.add_audit({order.by,
                    order.actor_name,
                    "command.cancel",
                    order.id.uuid(),
                    project,
                    "done",
                    order.reason == cancel_reason::timeout ? "timeout" : "user",
                    order.from,
                    {}});
      return verdict;
    });
  }

  result<std::vector<command_id>> cancel_queued(const queue_order& order, int most) override {
    return t_.call("commands.cancel", 1, [&]() -> result<std::vector<command_id>> {
      std::vector<command_id> out;
      for (const auto& [id, waiting] : t_.queue)
        if (std::ssize(out) < most && t_.commands.at(id).key == order.key)
          out.push_back(id);
      for (const auto& id : out) {
        const auto project = t_.commands.at(id).what.project;
        end_in_queue(id, "its key was revoked before it was started", order.by);
        t_.add_audit(
            {order.by, order.actor_name, "command.cancel", id.uuid(), project, "done", "key_revoked", order.from, {}});
      }
      return out;
    });
  }

  result<bool> vouch(const project_change& change, int revision) override {
    return t_.call("commands.vouch", 1, [&]() -> result<bool> {
      if (!t_.key_is_good(change.by, revision))
        return false;
      t_.add_audit(
          {change.by, change.actor_name, change.event, change.project, change.project, "allowed", {}, change.from, {}});
      return true;
    });
  }

  result<done> record(const project_change& change) override {
    return t_.call("commands.record", 1, [&]() -> result<done> {
      t_.add_audit(
          {change.by, change.actor_name, change.event, change.project, change.project, "done", {}, change.from, {}});
      t_.add_event(change.event, change.project, std::nullopt, change.by);
      if (change.event == "project.deleted")
        t_.unhealthy.erase(change.project);
      const auto key = t_.keys.find(change.by);
      if (change.idempotency && key != t_.keys.end())
        t_.idempotency[scope_of(key->second.family, change.from, *change.idempotency)] = {
            change.idempotency->body_digest, change.project, t_.clock() + t_.idempotency_retention};
      return done{};
    });
  }

  result<bool> observe(const project_health& seen) override {
    return t_.call("commands.observe", 1, [&]() -> result<bool> {
      const bool news = seen.healthy ? t_.unhealthy.erase(seen.project) > 0 : t_.unhealthy.insert(seen.project).second;
      if (news)
        t_.add_event(seen.healthy ? "project.recovered" : "project.unhealthy", seen.project, std::nullopt,
                     std::nullopt);
      return news;
    });
  }

  result<std::optional<idempotency_hit>> find_idempotent(const key_id& family, const request_context& from,
                                                         const rdev::idempotency& key) override {
    return t_.call("commands.find_idempotent", 1, [&]() -> result<std::optional<idempotency_hit>> {
      const auto found = t_.idempotency.find(scope_of(family, from, key));
      if (found == t_.idempotency.end() || found->second.expires_at <= t_.clock())
        return std::optional<idempotency_hit>{};
      return std::optional(idempotency_hit{found->second.body_digest == key.body_digest, found->second.resource});
    });
  }

private:
  // What is queued ends as cancelled.
  void end_in_queue(const command_id& id, const char* reason, const std::optional<key_id>& by) {
    t_.queue.erase(id);
    auto& command = t_.commands.at(id);
    command.what.env.clear();
    command_result result;
    result.status = command_status::cancelled;
    result.reason = reason;
    result.finished_at = t_.clock();
    result.out.sha256 = result.err.sha256 = sha256_of_nothing();
    t_.results[id] = result;
    t_.add_event("command.cancelled", command.what.project, id, by);
  }

  submit_receipt verdict_of(const new_command& one, int before_it) {
    if (!t_.key_is_good(one.what.key, one.key_revision) || (one.holder && !t_.leases.contains(*one.holder)))
      return {submit_verdict::key_changed, one.what.id};
    if (t_.key_is_full(one.what.key, before_it) && !t_.known(one))
      return {submit_verdict::key_is_full, one.what.id};
    if (!one.idempotency)
      return {submit_verdict::created, one.what.id};
    const auto& row = t_.claim_idempotency(one.what.family, one.from, *one.idempotency, one.what.id.uuid());
    const auto first = *command_id::from_uuid(row.resource);
    if (first == one.what.id)
      return {submit_verdict::created, first};
    return {row.body_digest == one.idempotency->body_digest ? submit_verdict::replayed : submit_verdict::conflict,
            first};
  }

  void write(const new_command& one) {
    const auto now = t_.clock();
    auto& row = t_.commands[one.what.id];
    row = one.what;
    row.created_at = now;
    row.what.timeout = row.what.timeout.value_or(std::chrono::seconds(0));
    auto& names = t_.env_names[row.id];
    for (const auto& v : row.what.env)
      names.push_back(v.name);
    t_.queue[row.id] = {now, ms_of(now) + handicap_ms.at(static_cast<std::size_t>(row.what.priority)), one.scope};
    t_.add_audit({row.key,
                  one.actor_name,
                  "command.submit",
                  row.id.uuid(),
                  row.what.project,
                  "allowed",
                  {},
                  one.from,
                  {{"type", std::string(name_of(row.what.type))}}});
    t_.add_event("command.queued", row.what.project, row.id, row.key);
  }

  // Each candidate is ranked by how many commands its project would then be running, and among equals by age and
  // priority.
  std::vector<command_id> next_in_line(const claim_request& request) {
    std::map<std::string, int> busy;
    for (const auto& [id, row] : t_.leases)
      if (row.scope == request.scope)
        ++busy[t_.commands.at(id).what.project];
    std::vector<std::pair<std::int64_t, command_id>> ready;
    for (const auto& [id, row] : t_.queue)
      if (row.scope == request.scope && (!request.places || request.places->contains(t_.commands.at(id).what.project)))
        ready.emplace_back(row.eff_ms, id);
    std::sort(ready.begin(), ready.end());
    std::vector<std::tuple<int, std::int64_t, command_id>> heads;
    for (const auto& [eff, id] : ready) {
      auto& n = busy[t_.commands.at(id).what.project];
      if (n < request.max_running_per_project)
        heads.emplace_back(++n, eff, id);
    }
    std::sort(heads.begin(), heads.end());
    heads.resize(std::min(heads.size(), static_cast<std::size_t>(std::max(request.most, 0))));
    std::vector<command_id> out;
    for (const auto& [rank, eff, id] : heads)
      out.push_back(id);
    return out;
  }

  bool end(const completion& one) {
    const auto held = t_.leases.find(one.id);
    if (const auto written = t_.result_tokens.find(one.id);
        held == t_.leases.end() && written != t_.result_tokens.end())
      return written->second == one.token;
    if (held == t_.leases.end() || held->second.token != one.token)
      return false;
    const auto& project = t_.commands.at(one.id).what.project;
    auto result = one.result;
    result.started_at = held->second.started_at;
    result.finished_at =
        std::max(held->second.started_at, t_.clock() - one.ended_ago.value_or(std::chrono::milliseconds(0)));
    t_.leases.erase(held);
    t_.result_tokens[one.id] = one.token;
    t_.commands.at(one.id).what.env.clear();
    const std::string status(name_of(result.status));
    t_.add_audit({std::nullopt, "system", "command.end", one.id.uuid(), project, "done", status, {}, {}});
    t_.add_event("command." + status, project, one.id, std::nullopt);
    t_.results[one.id] = std::move(result);
    return true;
  }

  std::shared_ptr<world> world_;
  tables& t_;
};

} // namespace

std::shared_ptr<command_store> make_command_store(std::shared_ptr<world> in) {
  return std::make_shared<command_tables>(std::move(in));
}

} // namespace rdev::memory
