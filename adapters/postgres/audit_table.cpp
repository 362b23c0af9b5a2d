#include "adapters/json/json.hpp"
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/session.hpp"
#include "adapters/postgres/stores.hpp"

#include <array>

namespace rdev::postgres {

namespace {

// There is a partition for an id of about now only.
const std::string append_sql = R"sql(
INSERT INTO audit_log (id, actor_key, actor_name, action, target, project, outcome, reason, client_ip, request_id, trace_id, detail)
SELECT CASE WHEN r.id BETWEEN rdev_uuid7_floor(clock_timestamp() - interval '1 day')
                          AND rdev_uuid7_floor(clock_timestamp() + interval '1 day') THEN r.id ELSE rdev_uuid7() END,
       r.actor_key, r.actor_name, r.action, r.target, r.project, r.outcome, r.reason, r.client_ip, r.request_id, r.trace_id,
       r.detail
  FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
              $10::text[], $11::text[], $12::jsonb[])
    AS r(id, actor_key, actor_name, action, target, project, outcome, reason, client_ip, request_id, trace_id, detail)
ON CONFLICT (id) DO NOTHING)sql";

class audit_table final : public audit_log {
public:
  explicit audit_table(const store_config& config)
      : audited_(config.audited), session_(config.conninfo, {{"append", append_sql}}, config.breakers) {
  }

  result<done> append(std::span<const new_audit_record> batch) override {
    std::array<array_literal, 12> c;
    for (const auto& [id, r] : batch) {
      c[0].add(std::string_view(id.uuid()));
      c[1].add(r.actor ? std::optional(r.actor->uuid()) : std::nullopt);
      c[2].add(std::string_view(clean(r.actor_name)));
      c[3].add(std::string_view(r.action));
      c[4].add(std::string_view(clean(r.target)));
      c[5].add(r.project);
      c[6].add(std::string_view(r.outcome));
      c[7].add(std::string_view(r.reason));
      c[8].add(std::string_view(r.from.client_ip));
      c[9].add(std::string_view(clean(r.from.request_id)));
      c[10].add(std::string_view(clean(r.from.trace_id)));
      json::writer detail;
      detail.begin_object();
      for (const auto& [name, value] : r.detail)
        detail.key(name).string(clean(value));
      detail.end_object();
      c[11].add(std::string_view(detail.take()));
    }
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("append", c[0].text(), c[1].text(), c[2].text(), c[3].text(), c[4].text(), c[5].text(),
                       c[6].text(), c[7].text(), c[8].text(), c[9].text(), c[10].text(), c[11].text());
      return done{};
    });
  }

private:
  [[nodiscard]] std::string clean(const std::string& text) const {
    return cleaned(audited_.get(), text);
  }

  std::shared_ptr<const censor> audited_; // or none
  session session_;
};

} // namespace

std::shared_ptr<audit_log> make_audit_log(const store_config& config) {
  return std::make_shared<audit_table>(config);
}

} // namespace rdev::postgres
