// Lane `seals`: the chain over the audit log.
#include "adapters/audit_chain.hpp"
#include "adapters/audit_verification.hpp"
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/audit_rows.hpp"
#include "adapters/postgres/command_rows.hpp"
#include "adapters/postgres/session.hpp"
#include "adapters/postgres/stores.hpp"
#include "adapters/signing.hpp"

#include <array>
#include <limits>
#include <stdexcept>

namespace rdev::postgres {

namespace {

// Nothing vouches for the transaction in a link: where its record is still there, that one's counts.
std::string end_of(const std::string& links) {
  return "SELECT " + seal_columns + ", x.xid::text, x.xid >= pg_snapshot_xmax(pg_current_snapshot()) FROM " + links +
         " s CROSS JOIN LATERAL (SELECT coalesce((SELECT l.xid FROM audit_log l WHERE l.id = s.row_id), s.xid) AS xid) "
         "AS x ";
}

// The link of this number and hash, and what is chained to it.
const std::string chained_sql = R"sql(
WITH RECURSIVE chained AS (
  (SELECT s.* FROM audit_seals s
    WHERE s.seq = $1 AND s.hash = $2 AND rdev_link_hash(s.seq, s.row_id, s.row_hash, s.prev_hash) = $2
    ORDER BY s.at LIMIT 1)
  UNION ALL
  SELECT n.* FROM chained c CROSS JOIN LATERAL (
    SELECT s.* FROM audit_seals s
     WHERE s.seq = c.seq + 1 AND s.prev_hash = c.hash
       AND rdev_link_hash(s.seq, s.row_id, s.row_hash, s.prev_hash) = s.hash
     ORDER BY s.at LIMIT 1) AS n
))sql" + end_of("chained") + "ORDER BY s.seq DESC LIMIT 1";

const std::string append_sql = R"sql(
SELECT (extract(epoch FROM rdev_append_links($1, $2, $3::text::xid8, $4, $5::uuid[], $6::bytea[], $7::bytea[]))
        * 1000000)::bigint)sql";

const std::string oldest_sql = R"sql(
SELECT coalesce((extract(epoch FROM max(clock_timestamp() - w.at)) * 1000)::bigint, 0)
  FROM (SELECT CASE WHEN l.at BETWEEN '0001-01-01T00:00:00Z' AND clock_timestamp() + interval '1 minute'
                    THEN least(l.at, clock_timestamp()) ELSE '0001-01-01T00:00:00Z' END AS at FROM audit_log l
         WHERE (l.xid, l.id) > ($1::text::xid8, $2::uuid) ORDER BY l.xid, l.id LIMIT 100) AS w)sql";

const statements prepared{
    {"may_seal", "SELECT rdev_may_seal($1)"},
    {"last_link", end_of("audit_seals") + "WHERE s.seq <= $1 ORDER BY s.seq DESC, s.at LIMIT 1"},
    {"chained", chained_sql},
    {"now", "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"},
    {"unsealed", "SELECT " + entry_columns + ", l.xid::text FROM rdev_unsealed($1::text::xid8, $2, $3) l"},
    {"oldest", oldest_sql},
    {"append", append_sql},
    {"retire", "SELECT (extract(epoch FROM rdev_retire_audit($1::interval)) * 1000000)::bigint"},
    {"first", "SELECT s.seq FROM audit_seals s WHERE s.seq >= 1 ORDER BY s.seq LIMIT 1"},
    {"checkpoints",
     "SELECT " + checkpoint_columns + " FROM audit_checkpoints c ORDER BY c.seq DESC, c.at DESC LIMIT $1"},
    {"checkpoint", "INSERT INTO audit_checkpoints (seq, at, hash, first_seq, kept_from, key, signature) "
                   "VALUES ($1, $2::timestamptz, $3::bytea, $4, $5::timestamptz, $6, $7::bytea)"},
    {"keys", "SELECT id, public_key, private_key FROM audit_keys ORDER BY created_at DESC, id DESC LIMIT 1000"},
    {"add_key", "INSERT INTO audit_keys (id, public_key, private_key) VALUES ($1, $2::bytea, $3::bytea)"},
};

std::string_view view_of(const seal_hash& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

std::string place_of(const std::string& key) {
  return "audit_keys.private_key." + key;
}

constexpr int most_keys = 1000;
constexpr int most_checkpoints = 10'000; // that others have put above our last one

struct chain_head {
  std::int64_t seq = 0;
  seal_hash hash{};
  std::string xid = "0";
  std::string row = "00000000-0000-0000-0000-000000000000";
};

struct appended {
  int links = 0;
  timestamp at;
};

struct own_key {
  std::string id;
  std::string public_key;
  secret private_key;
};

// What we have signed: of the rest of the tables, which others may have written, nothing is carried on.
struct own_past {
  std::vector<own_key> keys; // whose private half the keyring opens, the newest first
  std::optional<audit_checkpoint> last;
};

// What retention has just removed.
struct retention {
  std::optional<timestamp> kept_from; // none: links alone
  std::int64_t first_before = 1;      // the first link, before that and now
  std::int64_t first = 1;
};

class audit_chain_tables final : public audit_chain_store {
public:
  explicit audit_chain_tables(const store_config& config)
      : config_(config), session_(config.conninfo, prepared, config.breakers) {
  }

  result<sealing> seal(const node_id& node, int most) override {
    return session_.transact([&](pqxx::transaction_base& tx) {
      sealing out;
      out.mine = tx.exec_prepared1("may_seal", node.uuid())[0].as<bool>();
      if (!out.mine)
        return out;
      const auto past = past_of(tx);
      auto head = head_of(tx, past);
      const auto appended = append(tx, head, most);
      out.sealed = appended.links;
      out.more = out.sealed == most;
      if (out.sealed > 0)
        out.checkpoint = sign(tx, past, head, appended.at, std::nullopt);
      return out;
    });
  }

  result<sealing> retire(const node_id& node) override {
    return session_.transact([&](pqxx::transaction_base& tx) {
      sealing out;
      out.mine = tx.exec_prepared1("may_seal", node.uuid())[0].as<bool>();
      if (!out.mine)
        return out;
      const auto first_before = first_link(tx);
      const auto kept_from = maybe_time_of(tx.exec_prepared1("retire", interval_of(config_.audit_retention))[0]);
      const auto first = first_link(tx);
      if (kept_from || first != first_before) {
        const auto past = past_of(tx);
        auto at = time_of(tx.exec_prepared1("now")[0]);
        if (past.last) // two of one number differ in their times
          at = std::max(at, past.last->at + std::chrono::microseconds(1));
        out.checkpoint = sign(tx, past, head_of(tx, past), at, retention{kept_from, first_before, first});
      }
      return out;
    });
  }

  result<std::chrono::milliseconds> oldest_unsealed() override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      const auto head = head_of(tx, past_of(tx));
      return std::chrono::milliseconds(tx.exec_prepared1("oldest", head.xid, head.row)[0].as<std::int64_t>());
    });
  }

private:
  // The link of our last checkpoint, or the last one that is chained to it, whatever else others have put there.
  static chain_head head_of(pqxx::transaction_base& tx, const own_past& past) {
    if (!past.last) { // nothing is sealed, or the keyring was lost
      const auto rows = tx.exec_prepared("last_link", std::numeric_limits<std::int64_t>::max());
      return rows.empty() ? chain_head{} : end_at(rows[0]);
    }
    const auto& last = *past.last;
    if (const auto rows = tx.exec_prepared("chained", last.seq, bytea_hex(view_of(last.hash))); !rows.empty())
      return end_at(rows[0]);
    // It was removed, which a verification finds: the chain goes on behind what we have signed.
    const auto rows = tx.exec_prepared("last_link", last.seq);
    chain_head out = rows.empty() ? chain_head{} : end_at(rows[0]);
    out.seq = last.seq;
    out.hash = last.hash;
    return out;
  }

  static chain_head end_at(const pqxx::row& row) {
    const auto link = seal_from(row);
    if (row[seal_column_count + 1].as<bool>())
      throw std::runtime_error("the last sealed record is of a transaction that this server has not come to: was the "
                               "database restored from a dump? docs/audit.md says what to do");
    return {link.seq, link.hash, row[seal_column_count].c_str(), link.id.uuid()};
  }

  // Moves `head` to the new end.
  static appended append(pqxx::transaction_base& tx, chain_head& head, int most) {
    std::array<array_literal, 3> c;
    const auto behind = head;
    const auto rows = tx.exec_prepared("unsealed", head.xid, head.row, most);
    for (const auto& row : rows) {
      const auto link = audit_chain::link(head.seq + 1, head.hash, entry_from(row));
      head.seq = link.seq;
      head.hash = link.hash;
      head.xid = row[entry_column_count].c_str();
      head.row = link.id.uuid();
      c[0].add(std::string_view(head.row));
      c[1].add_bytes(view_of(link.row_hash));
      c[2].add_bytes(view_of(link.hash));
    }
    if (rows.empty())
      return {};
    const auto at = tx.exec_prepared1("append", behind.seq, bytea_hex(view_of(behind.hash)), behind.xid, behind.row,
                                      c[0].text(), c[1].text(), c[2].text());
    return {static_cast<int>(rows.size()), time_of(at[0])};
  }

  audit_checkpoint sign(pqxx::transaction_base& tx, const own_past& past, const chain_head& head, timestamp at,
                        const std::optional<retention>& retired) {
    audit_checkpoint out;
    if (past.last) {
      out.first_seq = past.last->first_seq;
      out.kept_from = past.last->kept_from;
    }
    if (retired) {
      out.kept_from = std::max(retired->kept_from, out.kept_from);
      if (retired->first_before == out.first_seq) // else something is gone that retention has not removed
        out.first_seq = retired->first;
    }
    const auto key = past.keys.empty() ? new_key(tx) : past.keys.front();
    out.seq = head.seq;
    out.hash = head.hash;
    out.at = at;
    out.key = key.id;
    out.signature = rdev::sign(key.private_key, audit_chain::canonical(out));
    tx.exec_prepared("checkpoint", out.seq, text_of(out.at), bytea_hex(view_of(out.hash)), out.first_seq,
                     or_null(text_of(out.kept_from)), out.key, bytea_hex(out.signature));
    return out;
  }

  static std::int64_t first_link(pqxx::transaction_base& tx) {
    const auto rows = tx.exec_prepared("first");
    return rows.empty() ? 1 : rows[0][0].as<std::int64_t>();
  }

  own_past past_of(pqxx::transaction_base& tx) const {
    own_past out;
    const auto keys = tx.exec_prepared("keys");
    audit_chain::believed_keys ours;
    for (const auto& row : keys)
      if (auto key = opened(row)) {
        ours[key->id] = key->public_key;
        out.keys.push_back(std::move(*key));
      }
    if (out.keys.empty() && keys.size() == most_keys)
      throw flooded("audit_keys");
    if (out.keys.empty())
      return out;
    for (int most : {1, most_checkpoints}) {
      const auto rows = tx.exec_prepared("checkpoints", most);
      for (const auto& row : rows)
        if (auto one = checkpoint_from(row); audit_chain::is_good(one, ours)) {
          out.last = std::move(one);
          return out;
        }
      if (rows.size() < static_cast<std::size_t>(most))
        return out;
    }
    throw flooded("audit_checkpoints");
  }

  // Nothing is sealed until somebody has looked who writes there.
  static std::runtime_error flooded(const std::string& table) {
    return std::runtime_error("what rdev has written into " + table +
                              " is not to be found below what others have: remove their rows");
  }

  std::optional<own_key> opened(const pqxx::row& row) const {
    const std::string id = row[0].c_str();
    auto public_key = bytes_of_hex(row[1].c_str());
    if (audit_chain::key_id_of(public_key) != id)
      return std::nullopt;
    auto private_key = config_.sealer->open(bytes_of_hex(row[2].c_str()), place_of(id));
    if (!private_key)
      return std::nullopt;
    return own_key{id, std::move(public_key), secret(std::move(*private_key))};
  }

  own_key new_key(pqxx::transaction_base& tx) const {
    auto made = make_signing_key();
    auto id = audit_chain::key_id_of(made.public_key);
    tx.exec_prepared("add_key", id, bytea_hex(made.public_key),
                     bytea_hex(config_.sealer->seal(made.private_key.reveal(), place_of(id))));
    return {std::move(id), std::move(made.public_key), std::move(made.private_key)};
  }

  store_config config_;
  session session_;
};

} // namespace

std::shared_ptr<audit_chain_store> make_audit_chain(const store_config& config) {
  return std::make_shared<audit_chain_tables>(config);
}

} // namespace rdev::postgres
