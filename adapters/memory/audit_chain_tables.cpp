// Lanes `seals` and `audit_reads`: the chain over the audit log.
#include "adapters/audit_chain.hpp"
#include "adapters/json/json.hpp"
#include "adapters/memory/tables.hpp"

#include <limits>

namespace rdev::memory {

namespace {

std::string json_of(const std::map<std::string, std::string>& detail) {
  json::writer out;
  out.begin_object();
  for (const auto& [name, value] : detail)
    out.key(name).string(value);
  out.end_object();
  return out.take();
}

audit_entry entry_of(const audit_row& row) {
  const auto& what = row.what;
  return {row.id,
          row.at,
          what.actor,
          what.actor_name,
          what.action,
          what.target,
          what.project,
          what.outcome,
          what.reason,
          what.from.client_ip,
          what.from.request_id,
          what.from.trace_id,
          json_of(what.detail)};
}

bool fits(const audit_entry& record, const audit_query& what) {
  const bool all_of_a_kind = what.action.ends_with(".*");
  const auto action = std::string_view(what.action).substr(0, what.action.size() - (all_of_a_kind ? 1 : 0));
  const auto& mine = what.projects;
  return (!what.actor || record.actor == what.actor) &&
         (what.action.empty() || (all_of_a_kind ? record.action.starts_with(action) : record.action == action)) &&
         (!what.project || record.project == what.project) &&
         (!mine || (record.project && std::find(mine->begin(), mine->end(), *record.project) != mine->end())) &&
         (!what.from || record.at >= *what.from) && (!what.to || record.at < *what.to);
}

// The first `most` of what `behind` lets through.
template <class Row, class Out, class Wanted, class Make>
std::vector<Out> some_of(const std::vector<Row>& rows, int most, Wanted wanted, Make make) {
  std::vector<Out> out;
  for (const auto& row : rows)
    if (out.size() < static_cast<std::size_t>(most) && wanted(row))
      out.push_back(make(row));
  return out;
}

class audit_chain_tables final : public audit_chain_store {
public:
  explicit audit_chain_tables(std::shared_ptr<world> in) : world_(std::move(in)), t_(world_->inside()) {
  }

  result<sealing> seal(const node_id& node, int most) override {
    return t_.call("seals.seal", static_cast<std::size_t>(most), [&]() -> result<sealing> {
      sealing out;
      out.mine = may_seal(node);
      const auto at = now();
      for (auto row = first_unsealed(); out.mine && row != t_.audit.end() && out.sealed < most; ++row, ++out.sealed) {
        const auto before = t_.seals.empty() ? audit_seal{} : t_.seals.back().seal;
        t_.seals.push_back(
            {{row->transaction, row->id}, at, audit_chain::link(before.seq + 1, before.hash, entry_of(*row))});
      }
      out.more = out.sealed == most;
      if (out.sealed > 0)
        out.checkpoint = sign(at, std::nullopt);
      return out;
    });
  }

  result<sealing> retire(const node_id& node) override {
    return t_.call("seals.retire", 1, [&]() -> result<sealing> {
      sealing out;
      out.mine = may_seal(node);
      if (!out.mine)
        return out;
      const timestamp kept_from = std::chrono::floor<std::chrono::days>(t_.clock() - audit_retention);
      const auto sealed = sealed_through();
      const auto gone =
          std::erase_if(t_.audit, [&](const auto& row) { return row.transaction <= sealed && row.at < kept_from; });
      if (gone == 0)
        return out;
      out.checkpoint = sign(now(), kept_from);
      return out;
    });
  }

  result<std::chrono::milliseconds> oldest_unsealed() override {
    return t_.call("seals.oldest_unsealed", 1, [&]() -> result<std::chrono::milliseconds> {
      const auto first = first_unsealed();
      return std::chrono::ceil<std::chrono::milliseconds>(first == t_.audit.end() ? timestamp::duration::zero()
                                                                                  : t_.clock() - first->at);
    });
  }

private:
  bool may_seal(const node_id& node) {
    if (t_.sealer != node && !t_.node_lives(t_.sealer))
      t_.sealer = node;
    return t_.sealer == node;
  }

  [[nodiscard]] std::uint64_t sealed_through() const {
    return t_.seals.empty() ? 0 : t_.seals.back().at.transaction;
  }
  std::vector<audit_row>::iterator first_unsealed() {
    return std::find_if(t_.audit.begin(), t_.audit.end(),
                        [&](const auto& row) { return row.transaction > sealed_through(); });
  }

  // Never before a link that is there.
  [[nodiscard]] timestamp now() const {
    return t_.seals.empty() ? t_.clock() : std::max(t_.seals.back().sealed_at, t_.clock());
  }

  // On the end of the chain.
  audit_checkpoint sign(timestamp at, std::optional<timestamp> kept_from) {
    if (!t_.audit_key)
      t_.audit_key = make_signing_key();
    const auto& last = t_.seals.back().seal;
    audit_checkpoint out;
    out.seq = last.seq;
    out.hash = last.hash;
    out.at = at;
    out.kept_from = kept_from || t_.checkpoints.empty() ? kept_from : t_.checkpoints.back().kept_from;
    out.key = audit_chain::key_id_of(t_.audit_key->public_key);
    out.signature = rdev::sign(t_.audit_key->private_key, audit_chain::canonical(out));
    t_.checkpoints.push_back(out);
    return out;
  }

  std::shared_ptr<world> world_;
  tables& t_;
};

class audit_reader_tables final : public audit_reader {
public:
  explicit audit_reader_tables(std::shared_ptr<world> in) : world_(std::move(in)), t_(world_->inside()) {
  }

  result<audit_page> list(const audit_query& what) override {
    return t_.call("audit_reads.list", 1, [&]() -> result<audit_page> {
      audit_page out;
      out.looked_through = what.after;
      const bool none_so_late = what.from && t_.seals.end() == first_sealed_at(*what.from);
      for (auto seal = t_.seals.begin(); seal != t_.seals.end() && !none_so_late; ++seal) {
        if (seal->seal.seq <= what.after)
          continue;
        if (const auto record = record_of(seal->seal.id); record && fits(*record, what)) {
          out.more = out.records.size() == static_cast<std::size_t>(what.limit);
          if (out.more)
            break;
          out.records.push_back({seal->seal, *record});
        }
        out.looked_through = seal->seal.seq;
      }
      if (out.more)
        out.looked_through = out.records.back().seal.seq;
      return out;
    });
  }

  result<std::vector<audit_public_key>> keys() override {
    return t_.call("audit_reads.keys", 1, [&]() -> result<std::vector<audit_public_key>> {
      std::vector<audit_public_key> out;
      if (t_.audit_key)
        out.push_back(
            {audit_chain::key_id_of(t_.audit_key->public_key), t_.audit_key->public_key, t_.checkpoints.front().at});
      return out;
    });
  }

  result<std::optional<std::int64_t>> first_sealed(timestamp from) override {
    return t_.call("audit_reads.first_sealed", 1, [&]() -> result<std::optional<std::int64_t>> {
      const auto found = first_sealed_at(from);
      return found == t_.seals.end() ? std::nullopt : std::optional(found->seal.seq);
    });
  }

  result<std::vector<placed_seal>> seals_after(std::int64_t seq, int most) override {
    return t_.call("audit_reads.seals_after", 1, [&]() -> result<std::vector<placed_seal>> {
      return some_of<placed_seal, placed_seal>(
          t_.seals, most, [&](const auto& one) { return one.seal.seq > seq; }, [](const auto& one) { return one; });
    });
  }

  result<std::vector<placed_record>> records_between(const audit_position& behind, const audit_position& to,
                                                     int most) override {
    return t_.call("audit_reads.records_between", 1, [&]() -> result<std::vector<placed_record>> {
      const auto place = [](const auto& row) { return audit_position{row.transaction, row.id}; };
      return some_of<audit_row, placed_record>(
          t_.audit, most, [&](const auto& row) { return place(row) > behind && place(row) <= to; },
          [&](const auto& row) {
            return placed_record{place(row), entry_of(row)};
          });
    });
  }

  result<std::vector<audit_checkpoint>> checkpoints_after(std::int64_t seq, int most) override {
    return t_.call("audit_reads.checkpoints_after", 1, [&]() -> result<std::vector<audit_checkpoint>> {
      return some_of<audit_checkpoint, audit_checkpoint>(
          t_.checkpoints, most, [&](const auto& one) { return one.seq > seq; }, [](const auto& one) { return one; });
    });
  }

  result<std::optional<audit_checkpoint>> last_checkpoint() override {
    return t_.call("audit_reads.last_checkpoint", 1, [&]() -> result<std::optional<audit_checkpoint>> {
      return t_.checkpoints.empty() ? std::nullopt : std::optional(t_.checkpoints.back());
    });
  }

private:
  std::vector<placed_seal>::const_iterator first_sealed_at(timestamp from) const {
    return std::find_if(t_.seals.begin(), t_.seals.end(), [&](const auto& one) { return one.sealed_at >= from; });
  }

  [[nodiscard]] std::optional<audit_entry> record_of(const audit_id& id) const {
    const auto found = std::find_if(t_.audit.begin(), t_.audit.end(), [&](const auto& row) { return row.id == id; });
    return found == t_.audit.end() ? std::nullopt : std::optional(entry_of(*found));
  }

  std::shared_ptr<world> world_;
  tables& t_;
};

} // namespace

std::shared_ptr<audit_chain_store> make_audit_chain(std::shared_ptr<world> in) {
  return std::make_shared<audit_chain_tables>(std::move(in));
}

std::shared_ptr<audit_reader> make_audit_reader(std::shared_ptr<world> in) {
  return std::make_shared<audit_reader_tables>(std::move(in));
}

} // namespace rdev::memory
