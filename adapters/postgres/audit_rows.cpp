#include "adapters/postgres/audit_rows.hpp"

#include "adapters/crypto.hpp"
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/session.hpp"

#include <charconv>

namespace rdev::postgres {

namespace {

std::string_view text_of(const pqxx::field& f) {
  return {f.c_str(), f.size()};
}

// What is not 32 bytes is taken for zeros: it fits nothing.
seal_hash hash_from(std::string_view hex) {
  return from_hex(hex.substr(std::min<std::size_t>(2, hex.size()))).value_or(seal_hash{});
}

// Goes along the fields of a row: to ask the row for each takes a share in the result for each.
class fields {
public:
  fields(const pqxx::row& row, int first) : next_(row.begin() + first) {
  }
  std::string_view text() {
    const auto out = text_of(next_);
    ++next_;
    return out;
  }
  std::optional<std::string_view> maybe_text() {
    const bool there = !next_.is_null();
    const auto out = text();
    return there ? std::optional(out) : std::nullopt;
  }
  std::int64_t number() {
    std::int64_t out = 0;
    const auto digits = text();
    std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return out;
  }
  seal_hash hash() {
    return hash_from(text());
  }

private:
  pqxx::row::const_iterator next_;
};

} // namespace

audit_entry entry_from(const pqxx::row& row, int first) {
  fields next(row, first);
  audit_entry out;
  out.id = *audit_id::from_uuid(next.text());
  out.at = timestamp(std::chrono::microseconds(next.number()));
  if (const auto actor = next.maybe_text())
    out.actor = key_id::from_uuid(*actor);
  out.actor_name = next.text();
  out.action = next.text();
  out.target = next.text();
  out.project = next.maybe_text();
  out.outcome = next.text();
  out.reason = next.text();
  out.client_ip = next.text();
  out.request_id = next.text();
  out.trace_id = next.text();
  out.detail = next.text();
  return out;
}

audit_seal seal_from(const pqxx::row& row, int first) {
  fields next(row, first);
  audit_seal out;
  out.seq = next.number();
  out.id = *audit_id::from_uuid(next.text());
  out.row_hash = next.hash();
  out.prev_hash = next.hash();
  out.hash = next.hash();
  return out;
}

audit_checkpoint checkpoint_from(const pqxx::row& row) {
  audit_checkpoint out;
  out.seq = row[0].as<std::int64_t>();
  out.hash = hash_from(text_of(row[1]));
  out.at = time_of(row[2]);
  out.first_seq = row[3].as<std::int64_t>();
  out.kept_from = maybe_time_of(row[4]);
  out.key = row[5].c_str();
  out.signature = bytes_of_hex(row[6].c_str());
  return out;
}

} // namespace rdev::postgres
