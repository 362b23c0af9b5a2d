// Lane `leases`: membership, take-over, upkeep.
#include "adapters/memory/tables.hpp"

namespace rdev::memory {

namespace {

class lease_tables final : public lease_store {
public:
  explicit lease_tables(std::shared_ptr<world> in) : world_(std::move(in)), t_(world_->inside()) {
  }

  result<bool> beat(const node_info& self, std::chrono::milliseconds lease) override {
    return t_.call("leases.beat", 1, [&]() -> result<bool> {
      const auto now = t_.clock();
      const auto before = t_.nodes.find(self.id);
      const bool known = before != t_.nodes.end();
      const bool in_time = known && before->second.expires_at > now;
      const bool as_before = in_time && before->second.info.runner_scope == self.runner_scope;
      const auto since = as_before ? before->second.alive_since : now;
      t_.nodes[self.id] = {self, now + lease, since};
      return !known || in_time;
    });
  }

  result<std::vector<lease>> reclaim(const node_info& self, std::span<const command_id> only) override {
    return t_.call("leases.reclaim", 1, [&]() -> result<std::vector<lease>> {
      std::vector<lease> out;
      for (auto& [id, row] : t_.leases)
        if (is_own(row, self) && (only.empty() || std::find(only.begin(), only.end(), id) != only.end()))
          out.push_back(taken_over(id, row, self.id));
      return out;
    });
  }

  result<std::vector<lease>> adopt(const node_info& self, int most, std::chrono::milliseconds foreign_after) override {
    return t_.call("leases.adopt", 1, [&]() -> result<std::vector<lease>> {
      std::vector<lease> out;
      const auto me = t_.nodes.find(self.id);
      if (gone_for(self.id, {}))
        return out;
      const auto long_ago = t_.clock() - foreign_after;
      for (auto& [id, row] : t_.leases) {
        if (static_cast<int>(out.size()) >= most)
          break;
        const auto owner = t_.nodes.find(row.node);
        const bool elsewhere = owner != t_.nodes.end() && owner->second.info.runner_scope != row.scope;
        const bool orphan =
            row.scope == self.runner_scope
                ? row.node != self.id && (elsewhere || gone_for(row.node, {}))
                : me->second.alive_since <= long_ago &&
                      (gone_for(row.node, foreign_after) || (elsewhere && owner->second.alive_since <= long_ago));
        if (orphan)
          out.push_back(taken_over(id, row, self.id));
      }
      return out;
    });
  }

  result<std::vector<held_lease>> held(const node_info& self) override {
    return t_.call("leases.held", 1, [&]() -> result<std::vector<held_lease>> {
      std::vector<held_lease> out;
      for (const auto& [id, row] : t_.leases)
        if (is_own(row, self))
          out.push_back({id, row.cancel});
      return out;
    });
  }

  result<bool> holds(const command_id& id, std::int64_t token) override {
    return t_.call("leases.holds", 1, [&]() -> result<bool> {
      const auto row = t_.leases.find(id);
      return row != t_.leases.end() && row->second.token == token;
    });
  }

  result<std::vector<command_id>> over(std::span<const command_id> ids) override {
    return t_.call("leases.over", ids.size(), [&]() -> result<std::vector<command_id>> {
      std::vector<command_id> out;
      std::copy_if(ids.begin(), ids.end(), std::back_inserter(out),
                   [&](const auto& id) { return !t_.leases.contains(id) && t_.results.contains(id); });
      return out;
    });
  }

  result<done> leave(const node_id& self) override {
    return t_.call("leases.leave", 1, [&]() -> result<done> {
      if (const auto row = t_.nodes.find(self); row != t_.nodes.end())
        row->second.expires_at = t_.clock();
      return done{};
    });
  }

  result<done> upkeep() override {
    return t_.call("leases.upkeep", 1, [&]() -> result<done> {
      const auto now = t_.clock();
      std::erase_if(t_.idempotency, [&](const auto& e) { return e.second.expires_at < now; });
      std::erase_if(t_.nodes, [&](const auto& e) {
        return e.second.expires_at < now - std::chrono::days(1) && !owns_any(e.first);
      });
      drop_deliveries(now - t_.webhook_retention);
      return done{};
    });
  }

private:
  // Those of before, and what is left of webhooks that are gone.
  void drop_deliveries(timestamp before) {
    const auto gone = [&](const auto& e) { return !t_.webhooks.contains(e.first); };
    std::erase_if(t_.deliveries, gone);
    std::erase_if(t_.due, gone);
    std::erase_if(t_.webhook_leases, gone);
    for (auto& [webhook, rows] : t_.deliveries)
      for (auto it = rows.begin(); it != rows.end();) {
        const bool old = it->second.what.created_at < before;
        if (old)
          t_.due[webhook].erase(it->first);
        it = old ? rows.erase(it) : std::next(it);
      }
  }

  static bool is_own(const lease_row& row, const node_info& self) {
    return row.node == self.id && row.scope == self.runner_scope;
  }

  bool gone_for(const node_id& node, std::chrono::milliseconds time) {
    const auto row = t_.nodes.find(node);
    return row == t_.nodes.end() || row->second.expires_at <= t_.clock() - time;
  }

  bool owns_any(const node_id& node) {
    return std::any_of(t_.leases.begin(), t_.leases.end(), [&](const auto& e) { return e.second.node == node; });
  }

  // A new token, and all that a new owner needs to go on.
  lease taken_over(const command_id& id, lease_row& row, const node_id& owner) {
    row.node = owner;
    row.token = ++t_.last_token;
    ++row.attempt;
    auto out = t_.lease_of(id);
    if (const auto found = t_.chunks.find(id); found != t_.chunks.end() && !found->second.empty()) {
      out.next_seq = found->second.rbegin()->first + 1;
      out.capped = std::any_of(found->second.begin(), found->second.end(),
                               [](const auto& c) { return c.second.truncation_marker; });
    }
    out.out_bytes = t_.stored_bytes(id, stream::out);
    out.err_bytes = t_.stored_bytes(id, stream::err);
    return out;
  }

  std::shared_ptr<world> world_;
  tables& t_;
};

} // namespace

std::shared_ptr<lease_store> make_lease_store(std::shared_ptr<world> in) {
  return std::make_shared<lease_tables>(std::move(in));
}

} // namespace rdev::memory
