#include "adapters/memory/tables.hpp"

namespace rdev::memory {

namespace {

class key_table final : public key_store {
public:
  explicit key_table(std::shared_ptr<world> in) : world_(std::move(in)), t_(world_->inside()) {
  }

  result<std::optional<api_key>> find_by_prefix(std::string_view prefix) override {
    return t_.call("keys.find_by_prefix", 1, [&]() -> result<std::optional<api_key>> {
      const auto* found = with_prefix(prefix);
      return found == nullptr ? std::nullopt : std::optional(*found);
    });
  }

  result<std::optional<api_key>> find(const key_id& id) override {
    return t_.call("keys.find", 1, [&]() -> result<std::optional<api_key>> {
      const auto found = t_.keys.find(id);
      return found == t_.keys.end() ? std::nullopt : std::optional(found->second);
    });
  }

  result<page<api_key>> list(const page_request& at, const std::optional<std::vector<std::string>>& projects) override {
    return t_.call("keys.list", 1, [&]() -> result<page<api_key>> {
      const auto from = at.cursor ? key_id::parse(*at.cursor) : std::nullopt;
      page<api_key> out;
      for (auto it = t_.keys.rbegin(); it != t_.keys.rend(); ++it) {
        if ((from && it->first >= *from) || !lies_within(it->second, projects))
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
      if (writer.by && !t_.key_is_good(*writer.by))
        return mint_receipt{mint_verdict::writer_revoked, {}};
      if (with_prefix(key.prefix) != nullptr || t_.keys.contains(key.id))
        return failure{fault::internal, "a key of this prefix or id exists"};
      if (writer.idempotency) {
        const auto& row = t_.claim_idempotency(writer.family, writer.from, *writer.idempotency, key.id.uuid());
        if (row.resource != key.id.uuid())
          return row.body_digest == writer.idempotency->body_digest ? replay(row)
                                                                    : mint_receipt{mint_verdict::conflict, {}};
      }
      return mint_receipt{mint_verdict::created, write(key, overlap, writer)};
    });
  }

  result<std::optional<api_key>> revoke(const key_id& id, const key_writer& writer) override {
    return t_.call("keys.revoke", 1, [&]() -> result<std::optional<api_key>> {
      const auto found = t_.keys.find(id);
      if (found == t_.keys.end())
        return std::optional<api_key>{};
      auto& key = found->second;
      if (!key.revoked_at) {
        key.revoked_at = t_.clock();
        key.revoked_by = writer.by;
        t_.add_audit(
            {writer.by, writer.actor_name, "key.revoke", id.uuid(), std::nullopt, "allowed", {}, writer.from, {}});
        t_.add_event("key.revoked", std::nullopt, std::nullopt, id);
      }
      return std::optional(key);
    });
  }

  result<done> note_uses(const std::vector<key_use>& uses) override {
    return t_.call("keys.note_uses", uses.size(), [&]() -> result<done> {
      for (const auto& use : uses)
        if (const auto found = t_.keys.find(use.key); found != t_.keys.end())
          found->second.last_used_at = std::max(found->second.last_used_at.value_or(use.at), use.at);
      return done{};
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
      row.hash = hash;
      row.hash_scheme = 1;
      row.revoked_at.reset();
      row.expires_at.reset();
      return done{};
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

  // A replay shows the key as it was made.
  mint_receipt replay(const idempotency_row& row) {
    auto first = t_.keys.at(*key_id::from_uuid(row.resource));
    first.revoked_at.reset();
    first.revoked_by.reset();
    first.last_used_at.reset();
    return {mint_verdict::replayed, std::move(first)};
  }

  api_key write(const api_key& key, std::chrono::seconds overlap, const key_writer& writer) {
    auto row = key;
    row.created_at = t_.clock();
    row.last_used_at.reset();
    row.revoked_at.reset();
    row.revoked_by.reset();
    t_.keys[row.id] = row;
    if (key.rotated_from)
      if (const auto old = t_.keys.find(*key.rotated_from); old != t_.keys.end()) {
        const auto end = t_.clock() + overlap;
        old->second.expires_at = std::min(old->second.expires_at.value_or(end), end);
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
