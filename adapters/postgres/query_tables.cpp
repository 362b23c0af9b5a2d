// Lane `reads`: states, lists, output.
#include "adapters/json/json.hpp"
#include "adapters/postgres/arrays.hpp"
#include "adapters/postgres/command_rows.hpp"
#include "adapters/postgres/stores.hpp"

#include <algorithm>

namespace rdev::postgres {

namespace {

constexpr int most_chunks = 512; // of one page

const std::string view_columns =
    "c.id, c.project, c.type, c.priority, (extract(epoch FROM c.created_at) * 1000000)::bigint, c.spec -> 'env', "
    "(extract(epoch FROM l.started_at) * 1000000)::bigint, l.cancel IS NOT NULL, l.command_id IS NOT NULL, " +
    result_columns;
constexpr int first_result_column = 9;

const std::string view_joins =
    " LEFT JOIN lease l ON l.command_id = c.id LEFT JOIN command_result r ON r.command_id = c.id ";

const std::string find_sql = "SELECT " + view_columns + " FROM command c" + view_joins + "WHERE c.id = $1";

const std::string list_sql =
    "SELECT " + view_columns + " FROM command c" + view_joins +
    "WHERE c.id < $1 AND ($2::text IS NULL OR c.project = $2) "
    "AND ($3::text[] IS NULL OR c.project = ANY ($3::text[])) "
    "AND ($4::text IS NULL OR coalesce(r.status, CASE WHEN l.command_id IS NOT NULL THEN 'running' "
    "ELSE 'queued' END) = $4) ORDER BY c.id DESC LIMIT $5";

// Where a command stands: one row, on whose picture the chunks are read.
const std::string state_sql = "SELECT c.project, coalesce((extract(epoch FROM l.started_at) * 1000000)::bigint, "
                              "(extract(epoch FROM r.started_at) * 1000000)::bigint), "
                              "(SELECT max(o.seq) FROM output_chunk o WHERE o.command_id = c.id), " +
                              result_columns + " FROM command c" + view_joins + "WHERE c.id = $1";
constexpr int first_state_result = 3;

const std::string chunk_columns = "seq, stream, marker, off, (extract(epoch FROM at) * 1000000)::bigint, data ";

// Chunks behind a place, as many as fit into $4 bytes and at least one. The size of a chunk is known without reading
// it.
const std::string events_sql =
    "SELECT " + chunk_columns +
    "FROM (SELECT o.*, row_number() OVER (ORDER BY seq) AS nth, "
    "sum(octet_length(data) - CASE WHEN seq = $2 THEN greatest($3, 0) ELSE 0 END) OVER (ORDER BY seq) AS upto FROM "
    "(SELECT * FROM output_chunk WHERE command_id = $1 AND seq >= $2 "
    "AND (seq > $2 OR octet_length(data) > $3) ORDER BY seq LIMIT " +
    std::to_string(most_chunks) + ") o) p WHERE nth = 1 OR upto <= $4 ORDER BY seq";

const std::string behind_sql =
    "SELECT p.id FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS p(id, seq, pos) "
    "LEFT JOIN command c ON c.id = p.id LEFT JOIN lease l ON l.command_id = p.id "
    "LEFT JOIN command_result r ON r.command_id = p.id "
    "WHERE c.id IS NULL OR r.command_id IS NOT NULL OR p.seq < " +
    std::to_string(seq_queued) + " OR (p.seq < " + std::to_string(seq_running) +
    " AND l.started_at IS NOT NULL) OR EXISTS (SELECT 1 FROM output_chunk o WHERE o.command_id = p.id "
    "AND o.seq >= p.seq AND (o.seq > p.seq OR octet_length(o.data) > p.pos))";

const std::string bytes_sql = "SELECT " + chunk_columns +
                              "FROM (SELECT o.*, row_number() OVER (ORDER BY seq) AS nth, "
                              "sum(octet_length(data) - greatest($3 - off, 0)) OVER (ORDER BY seq) AS upto FROM "
                              "(SELECT * FROM output_chunk WHERE command_id = $1 AND stream = $2 AND NOT marker AND "
                              "off + octet_length(data) > $3 "
                              "ORDER BY seq LIMIT " +
                              std::to_string(most_chunks) + ") o) p WHERE nth = 1 OR upto <= $4 ORDER BY seq";

const std::string chunks_sql = "SELECT " + chunk_columns +
                               "FROM output_chunk WHERE command_id = $1 AND seq > $2 AND NOT marker "
                               "AND ($3::smallint IS NULL OR stream = $3) ORDER BY seq LIMIT $4";

const std::string end_sql = "SELECT coalesce((SELECT o.off + octet_length(o.data) FROM output_chunk o WHERE "
                            "o.command_id = $1 AND o.stream = $2 "
                            "AND NOT o.marker ORDER BY o.seq DESC LIMIT 1), 0), EXISTS (SELECT 1 FROM command_result r "
                            "WHERE r.command_id = $1)";

const std::string queue_sql = R"sql(
SELECT q.project, q.priority, count(*), (extract(epoch FROM clock_timestamp() - min(q.ready_at)))::float8
  FROM queue_item q WHERE $1::text[] IS NULL OR q.project = ANY ($1::text[]) GROUP BY 1, 2)sql";
const std::string running_sql =
    "SELECT project, count(*) FROM lease WHERE $1::text[] IS NULL OR project = ANY ($1::text[]) GROUP BY 1";
const std::string ended_sql =
    "SELECT count(*) FROM command_result WHERE finished_at > clock_timestamp() - interval '1 minute' "
    "AND ($1::text[] IS NULL OR project = ANY ($1::text[]))";

const statements prepared{{"has_output", "SELECT EXISTS (SELECT 1 FROM output_chunk WHERE command_id = $1)"},
                          {"find", find_sql},
                          {"list", list_sql},
                          {"state", state_sql},
                          {"events", events_sql},
                          {"behind", behind_sql},
                          {"bytes", bytes_sql},
                          {"chunks", chunks_sql},
                          {"end", end_sql},
                          {"queue", queue_sql},
                          {"running", running_sql},
                          {"ended", ended_sql},
                          {"size", "SELECT octet_length(data) FROM output_chunk WHERE command_id = $1 AND seq = $2"}};

command_view view_from(const pqxx::row& row) {
  command_view out;
  out.id = *command_id::from_uuid(row[0].c_str());
  out.project = row[1].c_str();
  out.type = command_type_from(row[2].c_str()).value_or(command_type::shell);
  out.priority = static_cast<priority>(row[3].as<int>());
  out.created_at = time_of(row[4]);
  auto parsed = json::parse(row[5].is_null() ? "[]" : row[5].c_str());
  if (const auto* names = std::get_if<json::value>(&parsed))
    for (std::size_t i = 0; i < names->size(); ++i)
      out.env_names.emplace_back(names->at(i).as_string());
  out.started_at = maybe_time_of(row[6]);
  out.cancel_requested = row[7].as<bool>();
  out.result = result_from(row, first_result_column);
  if (out.result) {
    out.status = out.result->status;
    out.started_at = out.result->started_at;
  } else {
    out.status = row[8].as<bool>() ? command_status::running : command_status::queued;
    if (out.status == command_status::queued)
      out.waiting_for = "a free slot";
  }
  return out;
}

chunk chunk_from(const pqxx::row& row) {
  return {row[0].as<std::uint32_t>(),
          row[1].as<int>() == 0 ? stream::out : stream::err,
          row[2].as<bool>(),
          row[3].as<std::uint64_t>(),
          std::make_shared<const std::string>(bytes_of_hex({row[5].c_str(), row[5].size()})),
          time_of(row[4])};
}

std::optional<std::string> filter_of(const std::optional<std::vector<std::string>>& projects) {
  return projects ? std::optional(array_of(*projects)) : std::nullopt;
}

class query_tables final : public command_queries {
public:
  explicit query_tables(const store_config& config) : session_(config.conninfo, prepared, config.breakers) {
  }

  result<std::optional<command_view>> find(const command_id& id) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) -> std::optional<command_view> {
      const auto rows = tx.exec_prepared("find", id.uuid());
      return rows.empty() ? std::nullopt : std::optional(view_from(rows[0]));
    });
  }

  result<page<command_view>> list(const list_commands& what,
                                  const std::optional<std::vector<std::string>>& projects) override {
    const auto from = what.at.cursor ? command_id::parse(*what.at.cursor) : std::nullopt;
    const auto status = what.status ? std::optional(std::string(name_of(*what.status))) : std::nullopt;
    const auto filter = filter_of(projects);
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      page<command_view> out;
      for (const auto& row :
           tx.exec_prepared("list", from ? from->uuid() : "ffffffff-ffff-ffff-ffff-ffffffffffff", or_null(what.project),
                            or_null(filter), or_null(status), what.at.limit + 1))
        out.items.push_back(view_from(row));
      if (out.items.size() > static_cast<std::size_t>(what.at.limit)) {
        out.items.pop_back();
        out.next_cursor = out.items.back().id.text();
      }
      return out;
    });
  }

  result<queue_view> queue(const std::optional<std::vector<std::string>>& projects) override {
    const auto filter = filter_of(projects);
    return session_.snapshot([&](pqxx::transaction_base& tx) {
      queue_view out;
      std::map<std::string, queue_view::of_project> by_project;
      for (const auto& row : tx.exec_prepared("queue", or_null(filter))) {
        const auto n = row[2].as<std::int64_t>();
        out.depth.at(row[1].as<std::size_t>()) += n;
        by_project[row[0].c_str()].depth += n;
        out.oldest_seconds = std::max(out.oldest_seconds, row[3].as<double>());
      }
      for (const auto& row : tx.exec_prepared("running", or_null(filter))) {
        by_project[row[0].c_str()].running = row[1].as<std::int64_t>();
        out.running += row[1].as<std::int64_t>();
      }
      for (auto& [project, counts] : by_project) {
        counts.project = project;
        out.by_project.push_back(std::move(counts));
      }
      out.completed_per_minute = tx.exec_prepared1("ended", or_null(filter))[0].as<std::int64_t>();
      return out;
    });
  }

  result<std::optional<event_page>> events(const command_id& id, std::optional<event_position> after,
                                           std::size_t max_bytes) override {
    bool beyond = false;
    auto out = session_.snapshot([&](pqxx::transaction_base& tx) -> std::optional<event_page> {
      const auto rows = tx.exec_prepared("state", id.uuid());
      if (rows.empty())
        return std::nullopt;
      return page_of(tx, rows[0], id, after.value_or(event_position{}), max_bytes, beyond);
    });
    if (beyond)
      return failure{fault::invalid, "the position lies beyond the end"};
    return out;
  }

  result<std::vector<command_id>> behind(const std::vector<event_place>& places) override {
    array_literal ids;
    array_literal items;
    array_literal bytes;
    for (const auto& [id, at] : places) {
      ids.add(std::string_view(id.uuid()));
      items.add_number(at.seq);
      bytes.add_number(at.pos);
    }
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      std::vector<command_id> out;
      for (const auto& row : tx.exec_prepared("behind", ids.text(), items.text(), bytes.text()))
        out.push_back(*command_id::from_uuid(row[0].c_str()));
      return out;
    });
  }

  result<bool> has_output(const command_id& id) override {
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      return tx.exec_prepared1("has_output", id.uuid())[0].as<bool>();
    });
  }

  result<output_list> chunks(const list_output& what) override {
    const auto which = what.only ? std::optional(std::string(*what.only == stream::out ? "0" : "1")) : std::nullopt;
    return session_.single(effect::reads, [&](pqxx::transaction_base& tx) {
      output_list out;
      for (const auto& row :
           tx.exec_prepared("chunks", what.id.uuid(), what.after_seq.value_or(0), or_null(which), what.limit + 1))
        out.chunks.push_back(chunk_from(row));
      if (out.chunks.size() > static_cast<std::size_t>(what.limit)) {
        out.chunks.pop_back();
        out.next_after = out.chunks.back().seq;
      }
      return out;
    });
  }

  result<output_bytes> bytes(const read_output& what, std::size_t max_bytes) override {
    const int which = what.which == stream::out ? 0 : 1;
    return session_.snapshot([&](pqxx::transaction_base& tx) {
      output_bytes out;
      for (const auto& row : tx.exec_prepared("bytes", what.id.uuid(), which, what.offset, max_bytes))
        out.chunks.push_back(chunk_from(row));
      if (!out.chunks.empty())
        out.skip = what.offset - out.chunks.front().offset;
      const auto end = tx.exec_prepared1("end", what.id.uuid(), which);
      out.end = end[0].as<std::uint64_t>();
      out.finished = end[1].as<bool>();
      return out;
    });
  }

private:
  // Whether a place within the stored items lies behind the last byte of its chunk.
  static bool beyond_chunk(pqxx::transaction_base& tx, const command_id& id, event_position at) {
    if (at.seq < seq_first_chunk || at.pos == 0)
      return false;
    const auto rows = tx.exec_prepared("size", id.uuid(), at.seq);
    return rows.empty() || at.pos > rows[0][0].as<std::uint32_t>();
  }

  static event_page page_of(pqxx::transaction_base& tx, const pqxx::row& state, const command_id& id,
                            event_position after, std::size_t max_bytes, bool& beyond) {
    event_page out;
    out.command = id;
    out.project = state[0].c_str();
    out.next = after;
    const bool started = !state[1].is_null();
    const bool any = !state[2].is_null();
    const auto last = any ? state[2].as<std::uint32_t>() : seq_first_chunk - 1;
    auto ended = result_from(state, first_state_result);
    const auto reached = any ? last : started ? seq_running : seq_queued;
    beyond = after.seq > reached ? !(ended && after == event_position{last + 1, 0}) : beyond_chunk(tx, id, after);
    if (beyond)
      return out;
    if (after.seq < seq_queued) {
      out.queued = true;
      out.next = {seq_queued, 0};
    }
    if (after.seq < seq_running && started) {
      out.running = true;
      out.next = {seq_running, 0};
    }
    if (any && after.seq <= last) {
      const auto from = std::max(after.seq, seq_first_chunk);
      const auto pos = after.seq >= seq_first_chunk ? static_cast<std::int64_t>(after.pos) : -1;
      for (const auto& row : tx.exec_prepared("events", id.uuid(), from, pos, max_bytes))
        out.chunks.push_back(chunk_from(row));
      if (!out.chunks.empty()) {
        const auto& tail = out.chunks.back();
        out.next = {tail.seq, static_cast<std::uint32_t>(tail.bytes->size())};
        out.first_pos = out.chunks.front().seq == after.seq ? after.pos : 0;
      }
    }
    const bool all = !any || out.next.seq >= last;
    if (ended && all) {
      out.completed = std::move(ended);
      out.next = {last + 1, 0};
    }
    return out;
  }

  session session_;
};

} // namespace

std::shared_ptr<command_queries> make_command_queries(const store_config& config) {
  return std::make_shared<query_tables>(config);
}

} // namespace rdev::postgres
