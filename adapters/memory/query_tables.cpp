// Lane `reads`: states, lists, output.
#include "adapters/memory/tables.hpp"

namespace rdev::memory {

namespace {

constexpr std::size_t most_chunks = 512; // of one page

using project_filter = std::optional<std::vector<std::string>>;

bool lets_through(const project_filter& filter, const std::string& project) {
  return !filter || std::find(filter->begin(), filter->end(), project) != filter->end();
}

class query_tables final : public command_queries {
public:
  explicit query_tables(std::shared_ptr<world> in) : world_(std::move(in)), t_(world_->inside()) {
  }

  result<std::optional<command_view>> find(const command_id& id) override {
    return t_.call("reads.find", 1, [&]() -> result<std::optional<command_view>> {
      return t_.commands.contains(id) ? std::optional(view_of(id)) : std::nullopt;
    });
  }

  result<page<command_view>> list(const list_commands& what, const project_filter& projects) override {
    return t_.call("reads.list", 1, [&]() -> result<page<command_view>> {
      const auto from = what.at.cursor ? command_id::parse(*what.at.cursor) : std::nullopt;
      page<command_view> out;
      for (auto it = t_.commands.rbegin(); it != t_.commands.rend(); ++it) {
        if (from && it->first >= *from)
          continue;
        auto view = view_of(it->first);
        if ((what.project && view.project != *what.project) || !lets_through(projects, view.project) ||
            (what.status && view.status != *what.status))
          continue;
        if (out.items.size() == static_cast<std::size_t>(what.at.limit)) {
          out.next_cursor = out.items.back().id.text();
          break;
        }
        out.items.push_back(std::move(view));
      }
      return out;
    });
  }

  result<queue_view> queue(const project_filter& projects) override {
    return t_.call("reads.queue", 1, [&]() -> result<queue_view> {
      queue_view out;
      const auto now = t_.clock();
      std::map<std::string, queue_view::of_project> by_project;
      for (const auto& [id, row] : t_.queue) {
        const auto& what = t_.commands.at(id).what;
        if (!lets_through(projects, what.project))
          continue;
        ++out.depth.at(static_cast<std::size_t>(what.priority));
        ++by_project[what.project].depth;
        out.oldest_seconds = std::max(out.oldest_seconds, std::chrono::duration<double>(now - row.ready_at).count());
      }
      for (const auto& [id, row] : t_.leases)
        if (const auto& project = t_.commands.at(id).what.project; lets_through(projects, project)) {
          ++by_project[project].running;
          ++out.running;
        }
      for (auto& [project, counts] : by_project) {
        counts.project = project;
        out.by_project.push_back(std::move(counts));
      }
      for (const auto& [id, ended] : t_.results)
        if (ended.finished_at > now - std::chrono::minutes(1) &&
            lets_through(projects, t_.commands.at(id).what.project))
          ++out.completed_per_minute;
      return out;
    });
  }

  result<std::optional<event_page>> events(const command_id& id, std::optional<event_position> after,
                                           std::size_t max_bytes) override {
    return t_.call("reads.events", 1, [&]() -> result<std::optional<event_page>> {
      if (!t_.commands.contains(id))
        return std::optional<event_page>{};
      return page_of(id, after.value_or(event_position{}), max_bytes);
    });
  }

  result<std::vector<command_id>> behind(const std::vector<event_place>& places) override {
    return t_.call("reads.behind", 1, [&]() -> result<std::vector<command_id>> {
      std::vector<command_id> out;
      for (const auto& [id, at] : places) {
        if (!t_.commands.contains(id) || t_.results.contains(id)) {
          out.push_back(id);
          continue;
        }
        const auto page = page_of(id, at, 1);
        if (page && *page && (*page)->next != at)
          out.push_back(id);
      }
      return out;
    });
  }

  result<bool> has_output(const command_id& id) override {
    return t_.call("reads.has_output", 1, [&]() -> result<bool> { return !rows_of(id).empty(); });
  }

  result<output_list> chunks(const list_output& what) override {
    return t_.call("reads.chunks", 1, [&]() -> result<output_list> {
      output_list out;
      for (const auto& [seq, c] : rows_of(what.id)) {
        if (seq <= what.after_seq.value_or(0) || c.truncation_marker || (what.only && c.stream != *what.only))
          continue;
        if (out.chunks.size() == static_cast<std::size_t>(what.limit)) {
          out.next_after = out.chunks.back().seq;
          break;
        }
        out.chunks.push_back(c);
      }
      return out;
    });
  }

  result<output_bytes> bytes(const read_output& what, std::size_t max_bytes) override {
    return t_.call("reads.bytes", 1, [&]() -> result<output_bytes> {
      output_bytes out;
      std::uint64_t upto = 0;
      for (const auto& [seq, c] : rows_of(what.id)) {
        if (c.stream != what.which || c.truncation_marker || c.offset + c.bytes->size() <= what.offset)
          continue;
        upto += c.bytes->size() - (what.offset > c.offset ? what.offset - c.offset : 0);
        if (!out.chunks.empty() && (upto > max_bytes || out.chunks.size() == most_chunks))
          break;
        out.chunks.push_back(c);
      }
      if (!out.chunks.empty())
        out.skip = what.offset - out.chunks.front().offset;
      out.end = t_.stored_bytes(what.id, what.which);
      out.finished = t_.results.contains(what.id);
      return out;
    });
  }

private:
  const std::map<std::uint32_t, chunk>& rows_of(const command_id& id) {
    static const std::map<std::uint32_t, chunk> none;
    const auto found = t_.chunks.find(id);
    return found == t_.chunks.end() ? none : found->second;
  }

  command_view view_of(const command_id& id) {
    const auto& row = t_.commands.at(id);
    command_view out;
    out.id = id;
    out.project = row.what.project;
    out.type = row.what.type;
    out.priority = row.what.priority;
    out.created_at = row.created_at;
    out.env_names = t_.env_names[id];
    if (const auto held = t_.leases.find(id); held != t_.leases.end()) {
      out.status = command_status::running;
      out.started_at = held->second.started_at;
      out.cancel_requested = held->second.cancel.has_value();
    } else if (const auto ended = t_.results.find(id); ended != t_.results.end()) {
      out.result = ended->second;
      out.status = ended->second.status;
      out.started_at = ended->second.started_at;
    } else {
      out.waiting_for = "a free slot";
    }
    return out;
  }

  result<std::optional<event_page>> page_of(const command_id& id, event_position after, std::size_t max_bytes) {
    event_page out;
    out.command = id;
    out.project = t_.commands.at(id).what.project;
    out.next = after;
    const auto ended = t_.results.find(id);
    const bool is_over = ended != t_.results.end();
    const bool started = t_.leases.contains(id) || (is_over && ended->second.started_at);
    const auto& rows = rows_of(id);
    const auto last = rows.empty() ? seq_first_chunk - 1 : rows.rbegin()->first;
    const auto reached = !rows.empty() ? last : started ? seq_running : seq_queued;
    const auto within = rows.find(after.seq);
    const bool behind_chunk = within != rows.end() && after.pos > within->second.bytes->size();
    if (behind_chunk || (after.seq > reached && !(is_over && after == event_position{last + 1, 0})))
      return failure{fault::invalid, "the position lies beyond the end"};
    if (after.seq < seq_queued) {
      out.queued = true;
      out.next = {seq_queued, 0};
    }
    if (after.seq < seq_running && started) {
      out.running = true;
      out.next = {seq_running, 0};
    }
    add_chunks(out, rows, after, max_bytes);
    if (is_over && (rows.empty() || out.next.seq >= last)) {
      out.completed = ended->second;
      out.next = {last + 1, 0};
    }
    return std::optional(std::move(out));
  }

  static void add_chunks(event_page& out, const std::map<std::uint32_t, chunk>& rows, event_position after,
                         std::size_t max_bytes) {
    std::size_t upto = 0;
    for (const auto& [seq, c] : rows) {
      const bool seen = seq < after.seq || (seq == after.seq && c.bytes->size() <= after.pos);
      if (seen)
        continue;
      upto += c.bytes->size() - (seq == after.seq ? after.pos : 0);
      if (!out.chunks.empty() && (upto > max_bytes || out.chunks.size() == most_chunks))
        break;
      out.chunks.push_back(c);
    }
    if (out.chunks.empty())
      return;
    const auto& tail = out.chunks.back();
    out.next = {tail.seq, static_cast<std::uint32_t>(tail.bytes->size())};
    out.first_pos = out.chunks.front().seq == after.seq ? after.pos : 0;
  }

  std::shared_ptr<world> world_;
  tables& t_;
};

} // namespace

std::shared_ptr<command_queries> make_command_queries(std::shared_ptr<world> in) {
  return std::make_shared<query_tables>(std::move(in));
}

} // namespace rdev::memory
