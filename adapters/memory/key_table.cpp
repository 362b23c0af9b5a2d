#include "adapters/memory/tables.hpp"

namespace rdev::memory {

namespace {

class key_table final : public key_store {
public:
  explicit key_table(std::shared_ptr<world> in) : world_(std::move(in)), t_(world_->inside()) {
  }

  result<std::vector<api_key>> find_by_prefix(std::span<const std::string> prefixes) override {
    return t_.call("keys.find_by_prefix", prefixes.size(), [&]() -> result<std::vector<api_key>> {
      std::vector<api_key> out;
      for (const auto& prefix : prefixes)
        if (const auto* found = with_prefix(prefix); found != nullptr)
          out.push_back(*found);
      return out;
    });
  }

  result<std::optional<api_key>> find(const key_id& id) override {
    return t_.call("keys.find", 1, [&]() -> result<std::optional<api_key>> {
      const auto found = t_.keys.find(id);
      return found == t_.keys.end() ? std::nullopt : std::optional(found->second);
    });
  }

  result<std::vector<running_command>> find_running(std::span<const command_id> commands) override {
    return t_.call("keys.find_running", commands.size(), [&]() -> result<std::vector<running_command>> {
      std::vector<running_command> out;
      for (const auto& id : commands)
        if (t_.leases.contains(id))
          out.push_back({id, t_.commands.at(id).what.project, t_.keys.at(t_.commands.at(id).key)});
      return out;
    });
  }

  result<page<api_key>> list(const page_request& at, const std::optional<std::vector<std::string>>& projects,
                             std::optional<std::chrono::seconds> unused_for) override {
    return t_.call("keys.list", 1, [&]() -> result<page<api_key>> {
      const auto from = at.cursor ? key_id::parse(*at.cursor) : std::nullopt;
      page<api_key> out;
      for (auto it = t_.keys.rbegin(); it != t_.keys.rend(); ++it) {
        if ((from && it->first >= *from) || !lies_within(it->second, projects))
          continue;
        if (unused_for && (!it->second.active(t_.clock()) ||
                           it->second.last_used_at.value_or(it->second.created_at) >= t_.clock() - *unused_for))
          continue;
        if (out.items.size() == static_cast<std::size_t>(at.limit)) {
          out.next_cursor = out.items.back().id.text();
          break;
        }
        out.items.push_back(it->second);
      }
      return out;
    });
  }

  result<mint_receipt> create(const api_key& key, std::chrono::seconds overlap, const key_writer& writer) override {
    return t_.call("keys.create", 1, [&]() -> result<mint_receipt> {
      if (writer.by && !t_.key_is_good(*writer.by, writer.revision))
        return mint_receipt{mint_verdict::writer_changed, {}, 0};
      if (key.rotated_from && !t_.key_is_good(*key.rotated_from, key.revision))
        return mint_receipt{mint_verdict::stale, {}, 0};
      if (with_prefix(key.prefix) != nullptr || t_.keys.contains(key.id))
        return failure{fault::internal, "a key of this prefix or id exists"};
      if (writer.idempotency) {
        const auto& row = t_.claim_idempotency(writer.family, writer.from, *writer.idempotency, key.id.uuid());
        if (row.resource != key.id.uuid())
          return row.body_digest == writer.idempotency->body_digest ? replay(row)
                                                                    : mint_receipt{mint_verdict::conflict, {}, 0};
      }
      auto made = write(key, overlap, writer);
      return mint_receipt{mint_verdict::created, std::move(made), key.rotated_from ? ++t_.epoch : 0};
    });
  }

  result<change_receipt> change(const api_key& key, const key_writer& writer) override {
    return t_.call("keys.change", 1, [&]() -> result<change_receipt> {
      if (writer.by && !t_.key_is_good(*writer.by, writer.revision))
        return change_receipt{change_verdict::writer_changed, {}, 0};
      const auto found = t_.keys.find(key.id);
      if (found == t_.keys.end())
        return change_receipt{change_verdict::not_found, {}, 0};
      auto& row = found->second;
      if (row.revoked_at || row.revision != key.revision)
        return change_receipt{change_verdict::stale, {}, 0};
      ++row.revision;
      if (row.expires_at != key.expires_at)
        t_.expiry_told.erase(key.id);
      row.name = key.name;
      row.granted = key.granted;
      row.project_ids = key.project_ids;
      row.allowed_ips = key.allowed_ips;
      row.rate_limit = key.rate_limit;
      row.concurrency_limit = key.concurrency_limit;
      row.expires_at = key.expires_at;
      audit("key.change", key.id, writer);
      return change_receipt{change_verdict::changed, row, ++t_.epoch};
    });
  }

  result<change_receipt> revoke(const key_id& id, const key_writer& writer) override {
    return t_.call("keys.revoke", 1, [&]() -> result<change_receipt> {
      if (writer.by && !t_.key_is_good(*writer.by, writer.revision))
        return change_receipt{change_verdict::writer_changed, {}, 0};
      const auto found = t_.keys.find(id);
      if (found == t_.keys.end())
        return change_receipt{change_verdict::not_found, {}, 0};
      auto& key = found->second;
      if (!key.revoked_at) {
        key.revoked_at = t_.clock();
        key.revoked_by = writer.by;
        t_.revoked_at_epoch[id] = ++t_.epoch;
        audit("key.revoke", id, writer);
        t_.add_event("key.revoked", std::nullopt, std::nullopt, id);
      }
      return change_receipt{change_verdict::changed, key, t_.epoch};
    });
  }

  result<std::vector<anomaly>> note_uses(const std::vector<key_use>& uses) override {
    return t_.call("keys.note_uses", uses.size(), [&]() -> result<std::vector<anomaly>> {
      const auto known = t_.key_networks;
      std::vector<anomaly> odd;
      for (const auto& use : uses) {
        const auto found = t_.keys.find(use.key);
        if (found == t_.keys.end())
          continue;
        auto& key = found->second;
        if (!key.last_used_at || *key.last_used_at < use.at) {
          key.last_used_at = use.at;
          key.last_used_ip = use.client_ip;
        }
        const bool used_before =
            std::any_of(known.begin(), known.end(), [&](const auto& e) { return e.first == use.key; });
        if (!use.network.empty() && t_.key_networks.emplace(use.key, use.network).second && used_before)
          odd.push_back({anomaly_kind::new_network, use.key, key.prefix, use.client_ip, use.network});
      }
      for (const auto& one : odd)
        write(one);
      return odd;
    });
  }

  result<done> note_anomalies(const std::vector<anomaly>& seen) override {
    return t_.call("keys.note_anomalies", seen.size(), [&]() -> result<done> {
      for (const auto& one : seen)
        write(one);
      return done{};
    });
  }

  result<int> announce_expiries() override {
    return t_.call("keys.announce_expiries", 1, [&]() -> result<int> {
      constexpr auto day = std::chrono::hours(24);
      int told = 0;
      for (const auto& [id, key] : t_.keys) {
        if (!key.active(t_.clock()) || !key.expires_at)
          continue;
        for (const int days : {1, 7, 14}) {
          const bool due = *key.expires_at <= t_.clock() + days * day && *key.expires_at - key.created_at > days * day;
          if (!due)
            continue;
          const auto before = t_.expiry_told.find(id);
          if (before == t_.expiry_told.end() || before->second > days) {
            t_.expiry_told[id] = days;
            t_.add_event("key.expiring", std::nullopt, std::nullopt, id);
            ++told;
          }
          break;
        }
      }
      return told;
    });
  }

  result<epoch_news> news_since(std::int64_t since) override {
    return t_.call("keys.news_since", 1, [&]() -> result<epoch_news> {
      epoch_news out{t_.epoch, {}};
      for (const auto& [id, epoch] : t_.revoked_at_epoch)
        if (epoch > since)
          out.revoked.push_back(id);
      return out;
    });
  }

  result<done> saw(const node_id& node, std::int64_t epoch) override {
    return t_.call("keys.saw", 1, [&]() -> result<done> {
      if (const auto found = t_.nodes.find(node); found != t_.nodes.end())
        found->second.seen_epoch = epoch;
      return done{};
    });
  }

  result<std::optional<std::int64_t>> least_seen(const node_id& except, std::chrono::milliseconds grace) override {
    return t_.call("keys.least_seen", 1, [&]() -> result<std::optional<std::int64_t>> {
      std::optional<std::int64_t> least;
      for (const auto& [id, node] : t_.nodes)
        if (id != except && node.expires_at > t_.clock() - grace)
          least = std::min(least.value_or(node.seen_epoch), node.seen_epoch);
      return least;
    });
  }

  result<done> set_admin(const key_digest& hash) override {
    return t_.call("keys.set_admin", 1, [&]() -> result<done> {
      const auto* there = with_prefix("admin");
      if (there == nullptr) {
        api_key fresh;
        fresh.id = fresh.family = key_id::make();
        fresh.name = fresh.prefix = "admin";
        fresh.granted = {scope::admin};
        fresh.created_at = t_.clock();
        there = &(t_.keys[fresh.id] = fresh);
      }
      auto& row = t_.keys.at(there->id);
      if (row.hash == hash && !row.revoked_at && !row.expires_at)
        return done{};
      row.revision += row.hash == key_digest{} ? 0 : 1;
      ++t_.epoch;
      row.hash = hash;
      row.hash_scheme = 1;
      row.revoked_at.reset();
      row.expires_at.reset();
      return done{};
    });
  }

  result<bool> settle_pepper(const std::optional<key_digest>& check) override {
    return t_.call("keys.settle_pepper", 1, [&]() -> result<bool> {
      t_.pepper_check = t_.pepper_check ? t_.pepper_check : check;
      return t_.pepper_check == check;
    });
  }

private:
  const api_key* with_prefix(std::string_view prefix) {
    for (const auto& [id, key] : t_.keys)
      if (key.prefix == prefix)
        return &key;
    return nullptr;
  }

  static bool lies_within(const api_key& key, const std::optional<std::vector<std::string>>& projects) {
    if (!projects)
      return true;
    return key.project_ids && std::all_of(key.project_ids->begin(), key.project_ids->end(), [&](const auto& p) {
             return std::find(projects->begin(), projects->end(), p) != projects->end();
           });
  }

  void audit(const char* action, const key_id& id, const key_writer& writer) {
    t_.add_audit({writer.by, writer.actor_name, action, id.uuid(), std::nullopt, "allowed", {}, writer.from, {}});
  }

  void write(const anomaly& one) {
    request_context from;
    from.client_ip = one.client_ip;
    t_.add_audit({one.key,
                  one.prefix,
                  "auth.anomaly",
                  one.key.uuid(),
                  std::nullopt,
                  "noticed",
                  std::string(name_of(one.kind)),
                  from,
                  {{"detail", one.detail}}});
    t_.add_event("auth.anomaly", std::nullopt, std::nullopt, one.key);
  }

  // A replay shows the key as it was made.
  mint_receipt replay(const idempotency_row& row) {
    auto first = t_.keys.at(*key_id::from_uuid(row.resource));
    first.revoked_at.reset();
    first.revoked_by.reset();
    first.last_used_at.reset();
    return {mint_verdict::replayed, std::move(first), 0};
  }

  api_key write(const api_key& key, std::chrono::seconds overlap, const key_writer& writer) {
    auto row = key;
    row.created_at = t_.clock();
    row.revision = 0;
    row.last_used_at.reset();
    row.revoked_at.reset();
    row.revoked_by.reset();
    t_.keys[row.id] = row;
    if (key.rotated_from)
      if (const auto old = t_.keys.find(*key.rotated_from); old != t_.keys.end()) {
        const auto end = t_.clock() + overlap;
        old->second.expires_at = std::min(old->second.expires_at.value_or(end), end);
        t_.expiry_told[old->first] = 0;
        ++old->second.revision;
      }
    t_.add_audit({writer.by,
                  writer.actor_name,
                  key.rotated_from ? "key.rotate" : "key.create",
                  row.id.uuid(),
                  std::nullopt,
                  "allowed",
                  {},
                  writer.from,
                  {{"name", row.name}, {"prefix", row.prefix}}});
    t_.add_event(key.rotated_from ? "key.rotated" : "key.created", std::nullopt, std::nullopt, row.id);
    return row;
  }

  std::shared_ptr<world> world_;
  tables& t_;
};

} // namespace

std::shared_ptr<key_store> make_key_store(std::shared_ptr<world> in) {
  return std::make_shared<key_table>(std::move(in));
}

} // namespace rdev::memory
