// Lane `commands`: submit, claim, complete, cancel.
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/command_rows.hpp"
#include "adapters/postgres/command_statements.hpp"
#include "adapters/postgres/stores.hpp"

#include <array>

namespace rdev::postgres {

namespace {

class command_tables final : public command_store {
public:
  explicit command_tables(const store_config& config)
      : config_(config), session_(config.conninfo, command_statements(), config.breakers) {
  }

  result<std::vector<submit_receipt>> submit(std::span<const new_command> batch) override {
    std::array<array_literal, 21> column;
    for (const auto& one : batch)
      add_row(column, one);
    std::array<std::string, 21> text;
    for (std::size_t i = 0; i < column.size(); ++i)
      text.at(i) = column.at(i).text();
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const auto rows = tx.exec_prepared("submit", text[0], text[1], text[2], text[3], text[4], text[5], text[6],
                                         text[7], text[8], text[9], text[10], text[11], text[12], text[13], text[14],
                                         interval_of(config_.idempotency_retention), text[15], text[16], text[17],
                                         text[18], text[19], text[20]);
      std::vector<submit_receipt> out;
      for (const auto& row : rows)
        out.push_back({static_cast<submit_verdict>(row[1].as<int>()), *command_id::from_uuid(row[0].c_str())});
      return out;
    });
  }

  result<std::vector<command_id>> existing(std::span<const command_id> ids) override {
    array_literal wanted;
    for (const auto& id : ids)
      wanted.add(std::string_view(id.uuid()));
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<command_id> out;
      for (const auto& row : tx.exec_prepared("existing", wanted.text()))
        out.push_back(*command_id::from_uuid(row[0].c_str()));
      return out;
    });
  }

  result<std::vector<lease>> claim(const claim_request& request) override {
    std::vector<completion> unreadable;
    std::optional<std::string> projects;
    std::optional<std::string> intents;
    if (request.places) {
      std::array<array_literal, 2> columns;
      for (const auto& [project, intent] : *request.places) {
        columns[0].add(std::string_view(project));
        columns[1].add(std::string_view(intent));
      }
      projects = columns[0].text();
      intents = columns[1].text();
    }
    const auto asked_at = boot_clock_now();
    auto out = session_.transact([&](pqxx::transaction_base& tx) {
      std::vector<lease> leases;
      array_literal taken;
      for (const auto& row : tx.exec_prepared("claim", request.node.uuid(), request.scope, request.start_intent,
                                              request.most, request.max_running_per_project, projects, intents))
        taken.add(std::string_view(row[0].c_str()));
      if (taken.text() == "{}")
        return leases;
      for (const auto& row : tx.exec_prepared("claimed", taken.text())) {
        auto one = lease_from(row, *config_.sealer, asked_at);
        if (one.unreadable)
          unreadable.push_back(lost_for(one));
        else
          leases.push_back(std::move(one));
      }
      return leases;
    });
    // A command whose secrets cannot be read must not stop the others; it has not been started.
    if (out && !unreadable.empty())
      if (auto ended = complete(unreadable); !ended)
        return std::move(ended.error());
    return out;
  }

  result<std::vector<bool>> complete(std::span<const completion> batch) override {
    std::array<array_literal, 16> column;
    for (const auto& one : batch)
      add_row(column, one);
    std::array<std::string, 16> text;
    for (std::size_t i = 0; i < column.size(); ++i)
      text.at(i) = column.at(i).text();
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const auto rows =
          tx.exec_prepared("complete", text[0], text[1], text[2], text[3], text[4], text[5], text[6], text[7], text[8],
                           text[9], text[10], text[11], text[12], text[13], text[14], text[15]);
      std::vector<bool> out;
      for (const auto& row : rows)
        out.push_back(row[1].as<bool>());
      return out;
    });
  }

  result<cancel_verdict> cancel(const cancel_order& order) override {
    const auto by = order.by ? std::optional(order.by->uuid()) : std::nullopt;
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const auto row = tx.exec_prepared1(
          "cancel", order.id.uuid(), order.reason == cancel_reason::timeout ? "timeout" : "user", or_null(by),
          order.actor_name, order.from.client_ip, order.from.request_id, order.from.trace_id, order.revision);
      const std::string_view verdict = row[0].c_str();
      return verdict == "never_ran"     ? cancel_verdict::never_ran
             : verdict == "requested"   ? cancel_verdict::requested
             : verdict == "ended"       ? cancel_verdict::ended
             : verdict == "key_changed" ? cancel_verdict::key_changed
                                        : cancel_verdict::not_found;
    });
  }

  result<std::vector<command_id>> cancel_queued(const queue_order& order, int most) override {
    const auto by = order.by ? std::optional(order.by->uuid()) : std::nullopt;
    return session_.transact([&](pqxx::transaction_base& tx) {
      tx.exec_prepared("wait_for_turn");
      std::vector<command_id> out;
      for (const auto& row : tx.exec_prepared("cancel_queued", order.key.uuid(), most, or_null(by), order.actor_name,
                                              order.from.client_ip, order.from.request_id, order.from.trace_id))
        out.push_back(*command_id::from_uuid(row[0].c_str()));
      return out;
    });
  }

  result<done> record(const project_change& change) override {
    std::optional<std::string> scope;
    std::optional<std::string> digest;
    if (change.idempotency) {
      scope = bytea_hex(as_bytes(scope_of(change.from, *change.idempotency)));
      digest = bytea_hex(as_bytes(sealed_digest(*change.idempotency)));
    }
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("record", change.by.uuid(), change.actor_name, change.event, change.project,
                       change.from.client_ip, change.from.request_id, change.from.trace_id, or_null(scope),
                       or_null(digest), interval_of(config_.idempotency_retention));
      return done{};
    });
  }

  result<bool> vouch(const project_change& change, int revision) override {
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      return tx.exec_prepared("vouch", change.by.uuid(), change.actor_name, change.event, change.project,
                              change.from.client_ip, change.from.request_id, change.from.trace_id, revision)
                 .affected_rows() > 0;
    });
  }

  result<bool> observe(const project_health& seen) override {
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      return !tx.exec_prepared("observe", seen.project, seen.healthy, seen.reason).empty();
    });
  }

  result<std::optional<idempotency_hit>> find_idempotent(const key_id& family, const request_context& from,
                                                         const idempotency& key) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) -> std::optional<idempotency_hit> {
      const auto rows = tx.exec_prepared("find_idempotent", family.uuid(), bytea_hex(as_bytes(scope_of(from, key))));
      if (rows.empty())
        return std::nullopt;
      return idempotency_hit{bytes_of_hex(rows[0][1].c_str()) == as_bytes(sealed_digest(key)), rows[0][0].c_str()};
    });
  }

private:
  // The digest of a body is stored as a MAC: it would otherwise tell who knows the key of the row what the body was.
  digest256 sealed_digest(const idempotency& key) {
    return config_.sealer->mac(as_bytes(key.body_digest));
  }

  void add_row(std::array<array_literal, 21>& column, const new_command& one) {
    const auto& what = one.what.what;
    column[0].add(std::string_view(one.what.id.uuid()));
    column[1].add(std::string_view(what.project));
    column[2].add(std::string_view(one.what.key.uuid()));
    column[3].add(std::string_view(one.what.family.uuid()));
    column[4].add(name_of(what.type));
    column[5].add_number(static_cast<std::int64_t>(what.priority));
    column[6].add_number(what.timeout.value_or(std::chrono::seconds(0)).count());
    column[7].add(std::string_view(spec_of(what)));
    if (const auto env = sealed_env(one.what, *config_.sealer); env.empty())
      column[8].add_null();
    else
      column[8].add_bytes(env);
    column[9].add(std::string_view(one.actor_name));
    column[10].add(std::string_view(one.from.client_ip));
    column[11].add(std::string_view(one.from.request_id));
    column[12].add(std::string_view(one.from.trace_id));
    if (one.idempotency) {
      column[13].add_bytes(as_bytes(scope_of(one.from, *one.idempotency)));
      column[14].add_bytes(as_bytes(sealed_digest(*one.idempotency)));
    } else {
      column[13].add_null();
      column[14].add_null();
    }
    // Ids of the audit row and the event row: the server would need longer to make them.
    column[15].add(std::string_view(to_uuid_text(new_uuid_v7())));
    column[16].add(std::string_view(to_uuid_text(new_uuid_v7())));
    column[17].add(std::string_view(one.scope));
    column[18].add_number(one.key_revision);
    column[19].add(clean_spec_of(what, config_.audited.get()));
    one.holder ? column[20].add(std::string_view(one.holder->uuid())) : column[20].add_null();
  }

  void add_row(std::array<array_literal, 16>& column, const completion& one) const {
    const auto& r = one.result;
    column[0].add(std::string_view(one.id.uuid()));
    column[1].add_number(one.token);
    column[2].add(name_of(r.status));
    column[3].add(r.reason);
    r.exit_code ? column[4].add_number(*r.exit_code) : column[4].add_null();
    column[5].add(r.signal);
    column[6].add_number(r.survivors);
    column[7].add_number(static_cast<std::int64_t>(r.out.bytes));
    column[8].add(std::string_view(r.out.sha256));
    column[9].add_number(static_cast<std::int64_t>(r.out.total_bytes));
    column[10].add_number(static_cast<std::int64_t>(r.err.bytes));
    column[11].add(std::string_view(r.err.sha256));
    column[12].add_number(static_cast<std::int64_t>(r.err.total_bytes));
    column[13].add(std::string_view(r.complete ? "t" : "f"));
    one.ended_ago ? column[14].add_number(one.ended_ago->count()) : column[14].add_null();
    column[15].add(r.reason ? std::optional(cleaned(config_.audited.get(), *r.reason)) : std::nullopt);
  }

  static completion lost_for(const lease& one) {
    completion out;
    out.id = one.what.id;
    out.token = one.token;
    out.result.reason = one.unreadable;
    out.result.out.sha256 = out.result.err.sha256 = to_hex(sha256(""));
    return out;
  }

  store_config config_;
  session session_;
};

} // namespace

std::shared_ptr<command_store> make_command_store(const store_config& config) {
  return std::make_shared<command_tables>(config);
}

} // namespace rdev::postgres
