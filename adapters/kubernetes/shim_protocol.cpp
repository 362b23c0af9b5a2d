#include "adapters/kubernetes/shim_protocol.hpp"

#include "adapters/kubernetes/shim_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace rdev::kubernetes {

namespace {

constexpr std::size_t longest_record = std::size_t{4} << 20U; // of a greeting: some hundred thousand ids
constexpr std::uint64_t block = 512;                          // of `ulimit -f`
constexpr std::int64_t no_limit = 999'999'999'999;            // seconds

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text)
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  return out + "'";
}

std::int64_t whole_seconds(std::chrono::milliseconds d) {
  return std::chrono::ceil<std::chrono::seconds>(std::max(d, std::chrono::milliseconds(0))).count();
}

// Settings of the shim, each a line `NAME=value`; what it needs and nobody gives is empty or 0.
class settings {
public:
  settings(const shim_channel& on, std::string_view mode) {
    set("R", quoted(on.run_folder)).set("N", on.nonce).set("M", std::string(mode));
  }
  settings& set(const char* name, const std::string& value) {
    text_ += name;
    text_ += '=';
    text_ += value;
    text_ += '\n';
    return *this;
  }
  settings& set(const char* name, std::int64_t n) {
    return set(name, std::to_string(n));
  }
  settings& offsets(std::array<std::uint64_t, 2> from) {
    return set("O", std::to_string(from[0])).set("E", std::to_string(from[1]));
  }
  settings& add(const std::string& functions) {
    text_ += functions;
    return *this;
  }
  // The whole order: its size and the nonce, then exactly so many bytes, the last of which are the nonce again.
  [[nodiscard]] std::string order(const std::string& nonce) const {
    const auto body = text_ + std::string(shim_text) + "#" + nonce;
    return std::to_string(body.size()) + " " + nonce + "\n" + body;
  }

private:
  std::string text_;
};

std::string files_of(const launch& what) {
  std::string out = "given_files() {\n  true\n";
  if (what.script)
    out += "  printf %s " + quoted(*what.script) + " >\"$D/script\" || return\n";
  if (!what.stdin_text.empty())
    out += "  printf %s " + quoted(what.stdin_text) + " >\"$D/stdin\" || return\n";
  return out + "}\n";
}

std::string environment_of(const launch& what) {
  std::string out = "given_env() {\n";
  for (const auto& one : what.env)
    out += "  export " + one.name + "=" + quoted(one.value.reveal()) + "\n";
  out += "  export RDEV_COMMAND_ID=" + quoted(what.id.text()) + " RDEV_PROJECT=" + quoted(what.project) + "\n";
  out += "  if [ -d /workspace ]; then cd /workspace; fi\n";
  if (!what.workdir.empty())
    out += "  cd ./" + quoted(what.workdir) + " || exit 126\n";
  return out + "}\n";
}

// $1 = the program that makes a session of its own, or nothing; $2 = the folder of the command.
std::string command_of(const launch& what) {
  std::string out = "given_run() {\n";
  if (what.script)
    return out + "  exec ${1:+\"$1\"} /bin/sh \"$2/script\"\n}\n";
  std::string arguments;
  for (const auto& one : what.argv)
    arguments += " " + quoted(one);
  const auto program = what.argv.empty() ? std::string() : quoted(what.argv.front());
  const bool path = program.find('/') != std::string::npos;
  out += (path ? "  [ -e " + program + " ]" : "  command -v " + program + " >/dev/null") +
         " || {\n    printf '%s\\n' " + quoted("rdev: " + (what.argv.empty() ? "" : what.argv.front()) + ": not found");
  if (!what.missing_hint.empty())
    out += " " + quoted("rdev: " + what.missing_hint);
  out += " >&2\n    exit 127\n  }\n";
  return out + "  exec ${1:+\"$1\"}" + arguments + "\n}\n";
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number n{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  return !text.empty() && error == std::errc{} && end == text.data() + text.size() ? std::optional(n) : std::nullopt;
}

// The first word, which is taken from `text`.
std::string_view word_of(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const auto end = std::min(text.find(' '), text.size());
  const auto word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

// `SECONDS.HUNDREDTHS`, as /proc/uptime has it.
std::optional<std::chrono::milliseconds> uptime_of(std::string_view text) {
  const auto dot = text.find('.');
  const auto whole = number<std::int64_t>(text.substr(0, dot));
  const auto part = dot == std::string_view::npos ? std::optional<int>(0) : number<int>(text.substr(dot + 1));
  if (!whole || !part || (dot != std::string_view::npos && text.size() - dot != 3))
    return std::nullopt;
  return std::chrono::seconds(*whole) + std::chrono::milliseconds(*part * 10);
}

// `CODE KIND WHY UPTIME SURVIVORS`
bool read_end(std::string_view text, const shim_place& where, run_status& out) {
  const auto code = number<int>(word_of(text));
  const auto kind = word_of(text);
  const auto why = word_of(text);
  const auto at = uptime_of(word_of(text));
  const auto survivors = number<int>(word_of(text));
  if (!code || !at || !survivors)
    return false;
  out.state = run_state::exited;
  out.exit_code = *code;
  out.signal = kind == "signal" && *code > 128 ? *code - 128 : 0;
  out.killed_by_us = why == "cancel" || why == "timeout";
  out.timed_out = why == "timeout";
  out.survivors = *survivors;
  const auto ended = *at - where.clock_ahead;
  out.ended_ago = std::max(boot_clock_now() - ended, std::chrono::milliseconds(0));
  return true;
}

// `OUT OUT_TOTAL ERR ERR_TOTAL whole|short`
bool read_sizes(std::string_view text, run_status& out) {
  std::array<std::uint64_t, 4> sizes{};
  for (auto& one : sizes) {
    const auto n = number<std::uint64_t>(word_of(text));
    if (!n)
      return false;
    one = *n;
  }
  out.out_bytes = sizes[0];
  out.out_total = sizes[1];
  out.err_bytes = sizes[2];
  out.err_total = sizes[3];
  out.output_lost = word_of(text) == "short";
  return true;
}

} // namespace

const std::vector<std::string>& shim_argv() {
  static const std::vector<std::string> all{"sh", "-c",
                                            "L=${LC_ALL-}; LC_ALL=C; read -r n k || exit 125; s=$(head -c \"$n\"); "
                                            "case $s in *\"#$k\") eval \"$s\" ;; esac; exit 125"};
  return all;
}

std::string greet_order(const shim_channel& on) {
  return settings(on, "greet").order(on.nonce);
}

std::string start_order(const shim_channel& on, const shim_place& where, const launch& what,
                        std::array<std::uint64_t, 2> from) {
  const auto limit = what.valid_until.count() == 0 ? no_limit : whole_seconds(what.valid_until + where.clock_ahead);
  const auto cap = what.max_bytes / block + (what.max_bytes == 0 ? 0U : 1U);
  return settings(on, "start")
      .set("I", what.id.text())
      .set("P", quoted(where.mark))
      .offsets(from)
      .set("G", whole_seconds(what.grace))
      .set("T", whole_seconds(what.timeout))
      .set("X", std::to_string(cap))
      .set("V", limit)
      .add(files_of(what))
      .add(environment_of(what))
      .add(command_of(what))
      .order(on.nonce);
}

std::string attach_order(const shim_channel& on, const command_id& id, std::array<std::uint64_t, 2> from) {
  return settings(on, "attach").set("I", id.text()).offsets(from).order(on.nonce);
}

std::string cancel_order(const shim_channel& on, const shim_place& where, const command_id& id,
                         std::chrono::milliseconds grace) {
  return settings(on, "cancel")
      .set("I", id.text())
      .set("P", quoted(where.mark))
      .set("G", whole_seconds(grace))
      .order(on.nonce);
}

std::string leftovers_order(const shim_channel& on, const command_id& id) {
  return settings(on, "leftovers").set("I", id.text()).set("G", 0).order(on.nonce);
}

std::string forget_order(const shim_channel& on, const std::vector<command_id>& ids, std::chrono::seconds drop_marks) {
  std::string all;
  for (const auto& id : ids)
    all += id.text() + " ";
  return settings(on, "forget")
      .set("F", quoted(all))
      .set("A", std::chrono::floor<std::chrono::minutes>(drop_marks).count())
      .order(on.nonce);
}

record_splitter::record_splitter(const std::string& nonce) : mark_("\x1eRDEV " + nonce + " ") {
}

record_splitter::taken record_splitter::take(std::string_view more) {
  held_ += more;
  taken out;
  if (const auto at = held_.find(mark_); at != std::string::npos) {
    out.bytes = held_.substr(0, at);
    const auto end = held_.find('\n', at);
    if (end == std::string::npos) {
      held_.erase(0, at);
      if (held_.size() > longest_record)
        out.bytes += std::exchange(held_, {}); // that is no record
      return out;
    }
    out.record = held_.substr(at + mark_.size(), end - at - mark_.size());
    held_.erase(0, end + 1);
    return out;
  }
  // What may be the beginning of a mark waits for more.
  auto keep = std::min(held_.size(), mark_.size() - 1);
  while (keep > 0 && !mark_.starts_with(std::string_view(held_).substr(held_.size() - keep)))
    --keep;
  if (keep == 0) {
    out.bytes.swap(held_);
    return out;
  }
  out.bytes = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return out;
}

std::optional<greeting> parse_greeting(std::string_view record) {
  if (word_of(record) != "here")
    return std::nullopt;
  greeting out;
  out.mark = word_of(record);
  const auto up = uptime_of(word_of(record));
  if (!up || out.mark.empty())
    return std::nullopt;
  out.uptime = *up;
  for (auto word = word_of(record); !word.empty(); word = word_of(record))
    if (const auto id = command_id::parse(std::string(word)))
      out.kept.push_back(*id);
  return out;
}

std::optional<run_status> parse_state(std::string_view record, const shim_place& where) {
  run_status out;
  auto word = word_of(record);
  if (word == "new")
    word = word_of(record);
  const bool at_end = word == "end";
  if (at_end) {
    const auto sizes = record.rfind(" ; ");
    if (sizes == std::string_view::npos || !read_sizes(record.substr(sizes + 3), out))
      return std::nullopt;
    record = record.substr(0, sizes);
    word = word_of(record);
  }
  if (word == "absent") {
    out.state = run_state::absent;
  } else if (word == "cancelled") {
    out.state = run_state::tombstone;
  } else if (word == "running" || word == "ending") {
    out.state = run_state::running;
    out.ending = word == "ending";
  } else if (word == "exited") {
    if (!read_end(record, where, out))
      return std::nullopt;
  } else if (word == "lost") {
    out.state = run_state::lost;
    record.remove_prefix(std::min(record.find_first_not_of(' '), record.size()));
    out.reason = record;
  } else {
    return std::nullopt;
  }
  return out;
}

} // namespace rdev::kubernetes
