#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/command_rows.hpp"
#include "adapters/postgres/key_statements.hpp"
#include "adapters/postgres/stores.hpp"

#include <tuple>

namespace rdev::postgres {

namespace {

std::optional<std::vector<std::string>> maybe_list(const pqxx::field& f) {
  return f.is_null() ? std::nullopt : std::optional(elements_of(f.c_str()));
}

std::optional<key_id> maybe_key(const pqxx::field& f) {
  return f.is_null() ? std::nullopt : key_id::from_uuid(f.c_str());
}

std::optional<std::string> uuid_of(const std::optional<key_id>& id) {
  return id ? std::optional(id->uuid()) : std::nullopt;
}

std::optional<std::string> text_of_number(const std::optional<int>& n) {
  return n ? std::optional(std::to_string(*n)) : std::nullopt;
}

api_key key_from(const pqxx::row& row) {
  api_key k;
  k.id = *key_id::from_uuid(row[0].c_str());
  k.name = row[1].c_str();
  k.prefix = row[2].c_str();
  const auto hash = bytes_of_hex(row[3].c_str());
  std::copy_n(hash.begin(), std::min(hash.size(), k.hash.size()), k.hash.begin());
  k.hash_scheme = row[4].as<std::int16_t>();
  for (const auto& name : elements_of(row[5].c_str()))
    if (const auto s = scope_from(name))
      k.granted.add(*s);
  k.project_ids = maybe_list(row[6]);
  k.allowed_ips = maybe_list(row[7]);
  if (!row[8].is_null())
    k.rate_limit = row[8].as<int>();
  k.created_at = time_of(row[9]);
  k.created_by = maybe_key(row[10]);
  k.expires_at = maybe_time_of(row[11]);
  k.last_used_at = maybe_time_of(row[12]);
  k.revoked_at = maybe_time_of(row[13]);
  k.revoked_by = maybe_key(row[14]);
  k.rotated_from = maybe_key(row[15]);
  k.family = *key_id::from_uuid(row[16].c_str());
  if (!row[17].is_null())
    k.concurrency_limit = row[17].as<int>();
  k.last_used_ip = row[18].c_str();
  k.revision = row[19].as<int>();
  return k;
}

class key_table final : public key_store {
public:
  explicit key_table(const store_config& config)
      : config_(config), session_(config.conninfo, key_statements(), config.breakers) {
  }

  result<std::vector<api_key>> find_by_prefix(std::span<const std::string> prefixes) override {
    array_literal wanted;
    for (const auto& one : prefixes)
      wanted.add(std::string_view(one));
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<api_key> out;
      for (const auto& row : tx.exec_prepared("by_prefix", wanted.text()))
        out.push_back(key_from(row));
      return out;
    });
  }

  result<std::optional<api_key>> find(const key_id& id) override {
    return one("by_id", id.uuid());
  }

  result<std::vector<running_command>> find_running(std::span<const command_id> commands) override {
    array_literal wanted;
    for (const auto& one : commands)
      wanted.add(std::string_view(one.uuid()));
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<running_command> out;
      for (const auto& row : tx.exec_prepared("running", wanted.text()))
        out.push_back(
            {*command_id::from_uuid(row[key_column_count].c_str()), row[key_column_count + 1].c_str(), key_from(row)});
      return out;
    });
  }

  result<page<api_key>> list(const page_request& at, const std::optional<std::vector<std::string>>& projects,
                             std::optional<std::chrono::seconds> unused_for) override {
    const auto from = at.cursor ? key_id::parse(*at.cursor) : std::nullopt;
    const auto filter = projects ? std::optional(array_of(*projects)) : std::nullopt;
    const auto unused = unused_for ? std::optional(interval_of(*unused_for)) : std::nullopt;
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      page<api_key> out;
      for (const auto& row : tx.exec_prepared("list", from ? from->uuid() : "ffffffff-ffff-ffff-ffff-ffffffffffff",
                                              or_null(filter), at.limit + 1, or_null(unused)))
        out.items.push_back(key_from(row));
      if (out.items.size() > static_cast<std::size_t>(at.limit)) {
        out.items.pop_back();
        out.next_cursor = out.items.back().id.text();
      }
      return out;
    });
  }

  result<mint_receipt> create(const api_key& key, std::chrono::seconds overlap, const key_writer& writer) override {
    std::optional<std::string> scope;
    std::optional<std::string> digest;
    if (writer.idempotency) {
      scope = bytea_hex(as_bytes(scope_of(writer.from, *writer.idempotency)));
      digest = bytea_hex(as_bytes(config_.sealer->mac(as_bytes(writer.idempotency->body_digest))));
    }
    std::string resource;
    std::int64_t epoch = 0;
    auto verdict = session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const auto row = insert(tx, key, overlap, writer, scope, digest);
      resource = row[1].is_null() ? key.id.uuid() : row[1].c_str();
      epoch = row[2].as<std::int64_t>();
      return std::string(row[0].c_str());
    });
    if (!verdict)
      return std::move(verdict.error());
    if (*verdict == "writer_changed")
      return mint_receipt{mint_verdict::writer_changed, {}, 0};
    if (*verdict == "stale")
      return mint_receipt{mint_verdict::stale, {}, 0};
    if (*verdict == "conflict")
      return mint_receipt{mint_verdict::conflict, {}, 0};
    auto stored = one("by_id", resource);
    if (!stored)
      return std::move(stored.error());
    if (!*stored)
      return failure{fault::internal, "a key that was just written is not there"};
    if (*verdict == "created")
      return mint_receipt{mint_verdict::created, std::move(**stored), epoch};
    // A replay shows the key as it was made.
    (*stored)->revoked_at.reset();
    (*stored)->revoked_by.reset();
    (*stored)->last_used_at.reset();
    return mint_receipt{mint_verdict::replayed, std::move(**stored), 0};
  }

  result<change_receipt> change(const api_key& key, const key_writer& writer) override {
    const auto projects = key.project_ids ? std::optional(array_of(*key.project_ids)) : std::nullopt;
    const auto addresses = key.allowed_ips ? std::optional(array_of(*key.allowed_ips)) : std::nullopt;
    const auto rate = text_of_number(key.rate_limit);
    const auto at_once = text_of_number(key.concurrency_limit);
    const auto expires = text_of(key.expires_at);
    const auto by = uuid_of(writer.by);
    return changed(key.id, [&](pqxx::transaction_base& tx) {
      return tx.exec_prepared1("change", key.id.uuid(), or_null(by), writer.actor_name, writer.from.client_ip,
                               writer.from.request_id, writer.from.trace_id, writer.revision, key.name,
                               array_of(key.granted.names()), or_null(projects), or_null(addresses), or_null(rate),
                               or_null(at_once), or_null(expires), key.revision,
                               cleaned(config_.audited.get(), key.name));
    });
  }

  result<change_receipt> revoke(const key_id& id, const key_writer& writer) override {
    const auto by = uuid_of(writer.by);
    return changed(id, [&](pqxx::transaction_base& tx) {
      return tx.exec_prepared1("revoke", id.uuid(), or_null(by), writer.actor_name, writer.from.client_ip,
                               writer.from.request_id, writer.from.trace_id, writer.revision);
    });
  }

  result<std::vector<anomaly>> note_uses(const std::vector<key_use>& uses) override {
    array_literal ids, times, addresses, networks;
    for (const auto& use : uses) {
      ids.add(std::string_view(use.key.uuid()));
      times.add(std::string_view(text_of(use.at)));
      addresses.add(std::string_view(use.client_ip));
      networks.add(std::string_view(use.network));
    }
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      std::vector<anomaly> out;
      for (const auto& row : tx.exec_prepared("note_uses", ids.text(), times.text(), addresses.text(), networks.text()))
        out.push_back({anomaly_kind::new_network, *key_id::from_uuid(row[0].c_str()), row[1].c_str(), row[2].c_str(),
                       row[3].c_str()});
      return out;
    });
  }

  result<done> note_anomalies(const std::vector<anomaly>& seen) override {
    array_literal ids, kinds, prefixes, addresses, details;
    for (const auto& one : seen) {
      ids.add(std::string_view(one.key.uuid()));
      kinds.add(name_of(one.kind));
      prefixes.add(std::string_view(one.prefix));
      addresses.add(std::string_view(one.client_ip));
      details.add(std::string_view(one.detail));
    }
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("note_anomalies", ids.text(), kinds.text(), prefixes.text(), addresses.text(), details.text());
      return done{};
    });
  }

  result<int> announce_expiries() override {
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      return static_cast<int>(tx.exec_prepared("announce").affected_rows());
    });
  }

  result<epoch_news> news_since(std::int64_t since) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      // First the epoch: what is revoked between the two is news now and again the next time.
      epoch_news out{tx.exec_prepared1("epoch")[0].as<std::int64_t>(), {}};
      if (out.epoch > since)
        for (const auto& row : tx.exec_prepared("revoked_since", since))
          out.revoked.push_back(*key_id::from_uuid(row[0].c_str()));
      return out;
    });
  }

  result<done> saw(const node_id& node, std::int64_t epoch) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("saw", node.uuid(), epoch);
      return done{};
    });
  }

  result<std::optional<std::int64_t>> least_seen(const node_id& except, std::chrono::milliseconds grace) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) -> std::optional<std::int64_t> {
      const auto row = tx.exec_prepared1("least_seen", except.uuid(), interval_of(grace));
      return row[0].is_null() ? std::nullopt : std::optional(row[0].as<std::int64_t>());
    });
  }

  result<done> set_admin(const key_digest& hash) override {
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("set_admin", key_id::make().uuid(), bytea_hex(as_bytes(hash)));
      return done{};
    });
  }

  result<bool> settle_pepper(const std::optional<key_digest>& check) override {
    const auto bytes = check ? std::optional(bytea_hex(as_bytes(*check))) : std::nullopt;
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      return tx.exec_prepared1("settle_pepper", or_null(bytes))[0].as<bool>();
    });
  }

private:
  result<std::optional<api_key>> one(const char* statement, const std::string& value) {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) -> std::optional<api_key> {
      const auto rows = tx.exec_prepared(statement, value);
      return rows.empty() ? std::nullopt : std::optional(key_from(rows[0]));
    });
  }

  // `write(tx)` answers: is the writer's key what it was, and the key, the epoch.
  template <class Write>
  result<change_receipt> changed(const key_id& id, Write write) {
    auto written = session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const pqxx::row row = write(tx);
      return std::tuple(row[0].as<bool>(), row[1].as<bool>(), row[2].as<std::int64_t>());
    });
    if (!written)
      return std::move(written.error());
    const auto [writer_fits, key_fits, epoch] = *written;
    if (!writer_fits)
      return change_receipt{change_verdict::writer_changed, {}, 0};
    auto now = find(id);
    if (!now)
      return std::move(now.error());
    if (!*now)
      return change_receipt{change_verdict::not_found, {}, 0};
    if (!key_fits)
      return change_receipt{change_verdict::stale, {}, 0};
    return change_receipt{change_verdict::changed, std::move(**now), epoch};
  }

  pqxx::row insert(pqxx::transaction_base& tx, const api_key& key, std::chrono::seconds overlap,
                   const key_writer& writer, const std::optional<std::string>& scope,
                   const std::optional<std::string>& digest) {
    const auto projects = key.project_ids ? std::optional(array_of(*key.project_ids)) : std::nullopt;
    const auto addresses = key.allowed_ips ? std::optional(array_of(*key.allowed_ips)) : std::nullopt;
    const auto rate = text_of_number(key.rate_limit);
    const auto at_once = text_of_number(key.concurrency_limit);
    const auto expires = text_of(key.expires_at);
    const auto created_by = uuid_of(key.created_by);
    const auto by = uuid_of(writer.by);
    const auto rotated_from = uuid_of(key.rotated_from);
    return tx.exec_prepared1("create", key.id.uuid(), key.name, key.prefix, bytea_hex(as_bytes(key.hash)),
                             key.hash_scheme, array_of(key.granted.names()), or_null(projects), or_null(addresses),
                             or_null(rate), or_null(expires), or_null(created_by), or_null(by), or_null(rotated_from),
                             key.family.uuid(), writer.actor_name, writer.from.client_ip, writer.from.request_id,
                             writer.family.uuid(), or_null(scope), or_null(digest),
                             interval_of(config_.idempotency_retention), interval_of(overlap), writer.from.trace_id,
                             or_null(at_once), writer.revision, key.revision, cleaned(config_.audited.get(), key.name));
  }

  store_config config_;
  session session_;
};

} // namespace

std::shared_ptr<key_store> make_key_store(const store_config& config) {
  return std::make_shared<key_table>(config);
}

} // namespace rdev::postgres
