// Lane `audit reads`: the log in the order of its chain.
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/audit_rows.hpp"
#include "adapters/postgres/command_rows.hpp"
#include "adapters/postgres/session.hpp"
#include "adapters/postgres/stores.hpp"

namespace rdev::postgres {

namespace {

// How many links one page looks through at most, so that a filter that fits nothing costs no more than one that does.
constexpr int most_looked_through = 20'000;

// The links first, then their records between bounds that are known by then: other days are not even opened.
const std::string list_sql = "SELECT " + seal_columns + ", " + entry_columns + R"sql(
  FROM (SELECT * FROM audit_seals x WHERE x.seq > $1 ORDER BY x.seq LIMIT $2) AS s
  JOIN audit_log l ON l.id = s.row_id AND l.id BETWEEN $3::uuid AND $4::uuid
 WHERE ($5::uuid IS NULL OR l.actor_key = $5::uuid) AND ($6::text = '' OR l.action = $6::text OR l.action LIKE $7::text)
   AND ($8::text IS NULL OR l.project = $8::text) AND ($9::text[] IS NULL OR l.project = ANY ($9::text[]))
   AND ($10::timestamptz IS NULL OR l.at >= $10::timestamptz) AND ($11::timestamptz IS NULL OR l.at < $11::timestamptz)
 ORDER BY s.seq LIMIT $12)sql";

const std::string bounds_sql = R"sql(
SELECT count(*), coalesce(max(w.seq), 0), min(w.row_id::text), max(w.row_id::text), min(w.at) >= $3::timestamptz
  FROM (SELECT x.seq, x.row_id, x.at FROM audit_seals x WHERE x.seq > $1 ORDER BY x.seq LIMIT $2) AS w)sql";

const statements prepared{
    {"bounds", bounds_sql},
    {"list", list_sql},
    {"keys", "SELECT id, public_key, " + microseconds_of("created_at") +
                 " FROM audit_keys ORDER BY "
                 "created_at, id"},
    {"first_sealed",
     "SELECT s.seq FROM audit_seals s WHERE s.at >= $1::timestamptz AND s.seq >= 1 ORDER BY s.at, s.seq "
     "LIMIT 1"},
    {"seals", "SELECT " + seal_columns + ", s.xid::text, " + microseconds_of("s.at") +
                  " FROM audit_seals s WHERE s.seq > $1 ORDER BY s.seq, s.at LIMIT $2"},
    {"records", "SELECT " + entry_columns +
                    ", l.xid::text FROM audit_log l WHERE (l.xid, l.id) > ($1::text::xid8, $2::uuid) "
                    "AND (l.xid, l.id) <= ($3::text::xid8, $4::uuid) ORDER BY l.xid, l.id LIMIT $5"},
    {"checkpoints",
     "SELECT " + checkpoint_columns + " FROM audit_checkpoints c WHERE c.seq > $1 ORDER BY c.seq, c.at LIMIT $2"},
    {"last_checkpoint",
     "SELECT " + checkpoint_columns + " FROM audit_checkpoints c ORDER BY c.seq DESC, c.at DESC LIMIT 1"},
};

class audit_reader_tables final : public audit_reader {
public:
  explicit audit_reader_tables(const store_config& config) : session_(config.conninfo, prepared, config.breakers) {
  }

  result<audit_page> list(const audit_query& what) override {
    const auto actor = what.actor ? std::optional(what.actor->uuid()) : std::nullopt;
    const auto projects = what.projects ? std::optional(array_of(*what.projects)) : std::nullopt;
    const auto from = text_of(what.from);
    const auto to = text_of(what.to);
    return session_.snapshot([&](pqxx::transaction_base& tx) {
      audit_page out;
      auto after = what.after;
      if (from) { // a record is sealed after it was written
        const auto first = tx.exec_prepared("first_sealed", *from);
        if (first.empty()) {
          out.looked_through = after;
          return out;
        }
        after = std::max(after, first[0][0].as<std::int64_t>() - 1);
      }
      const auto window = tx.exec_prepared1("bounds", after, most_looked_through, or_null(to));
      out.looked_through = std::max(after, window[1].as<std::int64_t>());
      const bool ended = !window[4].is_null() && window[4].as<bool>(); // all of it came after `to`
      out.more = window[0].as<int>() == most_looked_through && !ended;
      if (window[0].as<int>() == 0)
        return out;
      const auto rows =
          tx.exec_prepared("list", after, most_looked_through, window[2].c_str(), window[3].c_str(), or_null(actor),
                           what.action, prefix_pattern(what.action), or_null(what.project), or_null(projects),
                           or_null(from), or_null(to), what.limit + 1);
      for (const auto& row : rows)
        out.records.push_back({seal_from(row), entry_from(row, seal_column_count)});
      if (out.records.size() > static_cast<std::size_t>(what.limit)) {
        out.records.pop_back();
        out.looked_through = out.records.back().seal.seq;
        out.more = true;
      }
      return out;
    });
  }

  result<std::vector<audit_public_key>> keys() override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<audit_public_key> out;
      for (const auto& row : tx.exec_prepared("keys"))
        out.push_back({row[0].c_str(), bytes_of_hex(row[1].c_str()), time_of(row[2])});
      return out;
    });
  }

  result<std::optional<std::int64_t>> first_sealed(timestamp from) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) -> std::optional<std::int64_t> {
      const auto rows = tx.exec_prepared("first_sealed", text_of(from));
      return rows.empty() ? std::nullopt : std::optional(rows[0][0].as<std::int64_t>());
    });
  }

  result<std::vector<placed_seal>> seals_after(std::int64_t seq, int most) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<placed_seal> out;
      const auto rows = tx.exec_prepared("seals", seq, most);
      out.reserve(rows.size());
      for (const auto& row : rows) {
        auto seal = seal_from(row);
        out.push_back(
            {{row[seal_column_count].as<std::uint64_t>(), seal.id}, time_of(row[seal_column_count + 1]), seal});
      }
      return out;
    });
  }

  result<std::vector<placed_record>> records_between(const audit_position& behind, const audit_position& to,
                                                     int most) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<placed_record> out;
      const auto rows = tx.exec_prepared("records", std::to_string(behind.transaction), behind.id.uuid(),
                                         std::to_string(to.transaction), to.id.uuid(), most);
      out.reserve(rows.size());
      for (const auto& row : rows) {
        auto record = entry_from(row);
        const auto id = record.id;
        out.push_back({{row[entry_column_count].as<std::uint64_t>(), id}, std::move(record)});
      }
      return out;
    });
  }

  result<std::vector<audit_checkpoint>> checkpoints_after(std::int64_t seq, int most) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<audit_checkpoint> out;
      for (const auto& row : tx.exec_prepared("checkpoints", seq, most))
        out.push_back(checkpoint_from(row));
      return out;
    });
  }

  result<std::optional<audit_checkpoint>> last_checkpoint() override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) -> std::optional<audit_checkpoint> {
      const auto rows = tx.exec_prepared("last_checkpoint");
      return rows.empty() ? std::nullopt : std::optional(checkpoint_from(rows[0]));
    });
  }

private:
  // `command.*` stands for all actions that begin so; nothing else fits the pattern.
  static std::string prefix_pattern(const std::string& action) {
    if (!action.ends_with(".*"))
      return {};
    std::string out;
    for (const char c : std::string_view(action).substr(0, action.size() - 1)) {
      if (c == '%' || c == '_' || c == '\\')
        out += '\\';
      out += c;
    }
    return out + "%";
  }

  session session_;
};

} // namespace

std::shared_ptr<audit_reader> make_audit_reader(const store_config& config) {
  return std::make_shared<audit_reader_tables>(config);
}

} // namespace rdev::postgres
