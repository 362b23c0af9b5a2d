#include "adapters/json/json.hpp"
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/session.hpp"
#include "adapters/postgres/stores.hpp"

#include <array>

namespace rdev::postgres {

namespace {

const std::string append_sql = R"sql(
INSERT INTO audit_log (actor_key, actor_name, action, target, project, outcome, reason, client_ip, request_id, trace_id, detail)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::text[], $10::text[], $11::jsonb[]))sql";

class audit_table final : public audit_log {
public:
  explicit audit_table(const store_config& config)
      : audited_(config.audited), session_(config.conninfo, {{"append", append_sql}}, config.breakers) {
  }

  result<done> append(std::span<const audit_record> batch) override {
    std::array<array_literal, 11> c;
    for (const auto& r : batch) {
      c[0].add(r.actor ? std::optional(r.actor->uuid()) : std::nullopt);
      c[1].add(std::string_view(clean(r.actor_name)));
      c[2].add(std::string_view(r.action));
      c[3].add(std::string_view(clean(r.target)));
      c[4].add(r.project);
      c[5].add(std::string_view(r.outcome));
      c[6].add(std::string_view(r.reason));
      c[7].add(std::string_view(r.from.client_ip));
      c[8].add(std::string_view(clean(r.from.request_id)));
      c[9].add(std::string_view(clean(r.from.trace_id)));
      json::writer detail;
      detail.begin_object();
      for (const auto& [name, value] : r.detail)
        detail.key(name).string(clean(value));
      detail.end_object();
      c[10].add(std::string_view(detail.take()));
    }
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      tx.exec_prepared("append", c[0].text(), c[1].text(), c[2].text(), c[3].text(), c[4].text(), c[5].text(),
                       c[6].text(), c[7].text(), c[8].text(), c[9].text(), c[10].text());
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
