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
      auto& row = t_.nodes[self.id];
      if (row.fenced) {
        row.fenced = false;
        return false;
      }
      row = {self, t_.clock() + lease, false};
      return true;
    });
  }

  result<std::vector<lease>> reclaim(const node_id& self) override {
    return t_.call("leases.reclaim", 1, [&]() -> result<std::vector<lease>> {
      std::vector<lease> out;
      for (auto& [id, row] : t_.leases)
        if (row.node == self)
          out.push_back(taken_over(id, row, self));
      return out;
    });
  }

  result<std::vector<lease>> adopt(const node_id& self, int most) override {
    return t_.call("leases.adopt", 1, [&]() -> result<std::vector<lease>> {
      std::vector<lease> out;
      for (auto& [id, row] : t_.leases) {
        if (static_cast<int>(out.size()) >= most)
          break;
        if (row.node != self && dead(row.node))
          out.push_back(taken_over(id, row, self));
      }
      return out;
    });
  }

  result<std::vector<std::pair<command_id, cancel_reason>>> cancels(const node_id& self) override {
    return t_.call("leases.cancels", 1, [&]() -> result<std::vector<std::pair<command_id, cancel_reason>>> {
      std::vector<std::pair<command_id, cancel_reason>> out;
      for (const auto& [id, row] : t_.leases)
        if (row.node == self && row.cancel)
          out.emplace_back(id, *row.cancel);
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
      return done{};
    });
  }

private:
  bool dead(const node_id& node) {
    const auto row = t_.nodes.find(node);
    return row == t_.nodes.end() || row->second.expires_at < t_.clock();
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
    if (const auto found = t_.chunks.find(id); found != t_.chunks.end() && !found->second.empty())
      out.next_seq = found->second.rbegin()->first + 1;
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
