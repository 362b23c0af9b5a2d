// Lane `output`: chunks of all running commands.
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/session.hpp"
#include "adapters/postgres/stores.hpp"

namespace rdev::postgres {

namespace {

// All bytes travel as ONE binary parameter and are cut apart by the server. FOR SHARE: an adoption cannot come between
// the check of the token and our commit.
const std::string append_sql = R"sql(
WITH batch AS MATERIALIZED (
  SELECT b.* FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS b(command_id, token, ord)
), held AS MATERIALIZED (
  SELECT l.command_id, l.token FROM lease l WHERE l.command_id = ANY ($1::uuid[]) ORDER BY l.command_id FOR SHARE
), good AS (
  SELECT b.ord, b.command_id FROM batch b JOIN held h ON h.command_id = b.command_id AND h.token = b.token
), put AS (
  INSERT INTO output_chunk (command_id, seq, stream, marker, off, data)
  SELECT g.command_id, c.seq, c.stream, c.marker, c.off, substring($8::bytea FROM c.at FOR c.size)
    FROM unnest($3::bigint[], $4::int[], $5::smallint[], $6::boolean[], $7::bigint[], $9::int[], $10::int[])
         AS c(ord, seq, stream, marker, off, at, size) JOIN good g ON g.ord = c.ord
   ORDER BY g.command_id, c.seq
  ON CONFLICT (command_id, seq) DO NOTHING
)
SELECT b.ord, g.ord IS NOT NULL FROM batch b LEFT JOIN good g ON g.ord = b.ord ORDER BY b.ord)sql";

class output_tables final : public output_store {
public:
  explicit output_tables(const store_config& config)
      : session_(config.conninfo, {{"append", append_sql}}, config.breakers) {
  }

  result<std::vector<bool>> append(std::span<const output_append> batch) override {
    array_literal ids, tokens, ord, seq, which, marker, off, at, size;
    std::string bytes;
    std::int64_t n = 0;
    for (const auto& one : batch) {
      ++n;
      ids.add(std::string_view(one.id.uuid()));
      tokens.add_number(one.token);
      for (const auto& c : one.chunks) {
        ord.add_number(n);
        seq.add_number(c.seq);
        which.add_number(static_cast<std::int64_t>(c.stream));
        marker.add(std::string_view(c.truncation_marker ? "t" : "f"));
        off.add_number(static_cast<std::int64_t>(c.offset));
        at.add_number(static_cast<std::int64_t>(bytes.size()) + 1);
        size.add_number(static_cast<std::int64_t>(c.bytes ? c.bytes->size() : 0));
        if (c.bytes)
          bytes += *c.bytes;
      }
    }
    return session_.single(effect::writes, [&](pqxx::transaction_base& tx) {
      const auto rows = tx.exec_prepared("append", ids.text(), tokens.text(), ord.text(), seq.text(), which.text(),
                                         marker.text(), off.text(), pqxx::binarystring(bytes), at.text(), size.text());
      std::vector<bool> out;
      for (const auto& row : rows)
        out.push_back(row[1].as<bool>());
      return out;
    });
  }

private:
  session session_;
};

} // namespace

std::shared_ptr<output_store> make_output_store(const store_config& config) {
  return std::make_shared<output_tables>(config);
}

} // namespace rdev::postgres
