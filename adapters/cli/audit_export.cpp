#include "adapters/cli/audit_export.hpp"

#include "adapters/cli/conclusion.hpp"
#include "adapters/cli/export_file.hpp"
#include "adapters/cli/signal_watch.hpp"

#include <unistd.h>

#include <charconv>

namespace rdev::cli {

namespace {

constexpr const char* largest_page = "200";
constexpr milliseconds between_looks{1000};
constexpr milliseconds budget{60'000};
// Who follows has nothing else to do: an outage is waited out.
constexpr milliseconds endless = milliseconds::max();

trouble out_of_order() {
  return {trouble_kind::unreadable, "the server's records are not in the order of the chain: is this an rdev server?"};
}

std::int64_t number_from(std::string_view cursor) {
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(cursor.data(), cursor.data() + cursor.size(), out);
  return error == std::errc{} && end == cursor.data() + cursor.size() ? out : 0;
}

int report(const trouble& what) {
  complain(what.message);
  return own_trouble;
}

class exporter {
public:
  exporter(const account& who, const export_request& what, byte_sink& out)
      : what_(what), out_(out), at_(who, time_, what.follow ? endless : budget), watch_([this](int) {
          time_.stop();
          at_.stop();
        }) {
  }

  int run(std::int64_t after) {
    auto cursor = after > 0 ? std::to_string(after) : std::string();
    for (;;) {
      const auto answer = at_.ask("GET", path_of(cursor));
      if (const auto* bad = std::get_if<trouble>(&answer))
        return bad->kind == trouble_kind::interrupted ? end() : report(*bad);
      const auto page = page_from(std::get<reply>(answer), after);
      if (const auto* bad = std::get_if<trouble>(&page))
        return report(*bad);
      const auto& [lines, through, more] = std::get<export_page>(page);
      if (const auto error = out_.write(lines))
        return cannot_write(error);
      after = through;
      cursor = std::to_string(after);
      if (!goes_on(more))
        return end();
    }
  }

private:
  [[nodiscard]] std::string path_of(const std::string& cursor) const {
    return with_query("/audit", {{"actor", what_.actor},
                                 {"action", what_.action},
                                 {"project", what_.project},
                                 {"from", what_.from},
                                 {"to", what_.to},
                                 {"limit", largest_page},
                                 {"cursor", cursor}});
  }

  bool goes_on(bool more) {
    if (!more && !what_.follow)
      return false;
    return time_.pause(more ? milliseconds(0) : between_looks);
  }

  // All that was written are whole lines: a follower that is told to end has done what it was asked to do.
  [[nodiscard]] int end() const {
    return watch_.seen() == 0 || what_.follow ? 0 : 128 + watch_.seen();
  }

  [[nodiscard]] int cannot_write(const std::error_code& error) const {
    if (what_.file.empty() && error == std::errc::broken_pipe)
      die_of_broken_pipe();
    return report({trouble_kind::output_failed,
                   "cannot write to " + (what_.file.empty() ? "stdout" : what_.file) + ": " + error.message()});
  }

  const export_request& what_;
  byte_sink& out_;
  system_clock time_;
  server at_;
  signal_watch watch_;
};

} // namespace

std::variant<export_page, trouble> page_from(const reply& answer, std::int64_t after) {
  export_page out{{}, after, false};
  for (std::size_t i = 0; i < answer.data.size(); ++i) {
    const auto record = answer.data.at(i);
    const auto seq = record["seal"]["seq"].as_integer();
    if (seq <= out.through)
      return out_of_order();
    out.through = seq;
    out.lines += record.text() + '\n';
  }
  if (!answer.data.is_array())
    return out_of_order();
  const auto next = answer.meta["next_cursor"];
  if (next.is_null() || !next.exists())
    return out;
  out.more = true;
  const auto through = number_from(next.as_string());
  if (through <= after || through < out.through)
    return out_of_order();
  out.through = through;
  return out;
}

int export_audit(const account& who, const export_request& what) {
  if (what.file.empty()) {
    descriptor_sink out(STDOUT_FILENO);
    return exporter(who, what, out).run(what.after);
  }
  auto opened = export_file::open(what.file);
  if (const auto* bad = std::get_if<trouble>(&opened))
    return report(*bad);
  auto& file = std::get<export_file>(opened);
  return exporter(who, what, file).run(file.last() > 0 ? file.last() : what.after);
}

} // namespace rdev::cli
