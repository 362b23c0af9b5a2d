#include "adapters/redaction/patterns.hpp"

#include "adapters/redaction.hpp"

#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>
#include <array>

namespace rdev::redaction {

namespace {

constexpr std::array<std::string_view, 7> built_in{
    "rdev_[0-9A-Za-z]{8}_[0-9A-Za-z]{33,}", // keys
    "rdevcmd_[0-9a-z]{26}_[0-9a-f]{64}",    // credentials of commands
    "whsec_[0-9A-Za-z+/_-]{16,}={0,2}",     // secrets of webhooks
    R"((?i)authorization["'\\]*\s*[:=]\s*["'\\]*(?:bearer|basic|token)\s+([^\s"'\\,;]+))",
    R"((?i)\bbearer\s+([0-9a-z._~+/-]{16,}=*))",
    R"(://([^\s/?#"'<>\\:@]*:[^\s/?#"'<>\\]+)@)", // user:password in a URL
    R"((?i)\bhttps?://([^\s/?#"'<>\\:@]{8,})@)"}; // a token in the place of the user

constexpr std::size_t shown_of_pattern = 100; // in an error
constexpr std::int64_t memory_for_one = 1 << 20;
constexpr std::int64_t memory_for_all = 16 << 20;

// Bytes are matched, not characters, so that damaged UTF-8 hides nothing from a pattern.
RE2::Options options(std::int64_t memory) {
  RE2::Options out;
  out.set_encoding(RE2::Options::EncodingLatin1);
  out.set_log_errors(false);
  out.set_max_mem(memory);
  return out;
}

// Where patterns are matched: a line, or of one longer than twice the longest match so much of it. Each such stretch
// begins one longest match behind the one before, so that every match is whole in one of them, wherever chunks were
// cut.
struct stretch {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t next = 0; // where the next one begins
};

// The one from `from` on; none: there is none, or its end has not come.
std::optional<stretch> next_stretch(std::string_view text, std::size_t from, bool ended) {
  constexpr auto most = 2 * longest_match;
  if (from >= text.size())
    return std::nullopt;
  const auto ahead = text.substr(from, most + 1);
  const auto line_break = ahead.find('\n');
  if (line_break == std::string_view::npos && ahead.size() > most)
    return stretch{from, from + most, from + longest_match};
  if (line_break == std::string_view::npos && !ended)
    return std::nullopt;
  const auto end = line_break == std::string_view::npos ? text.size() : from + line_break;
  return stretch{from, end, std::min(end + 1, text.size())};
}

} // namespace

struct patterns::programs {
  std::vector<std::unique_ptr<RE2>> each;
  RE2::Set any{options(memory_for_all), RE2::UNANCHORED}; // whether one of them matches: one pass for all
};

patterns::patterns(std::unique_ptr<programs> made) : programs_(std::move(made)) {
}
patterns::patterns(patterns&&) noexcept = default;
patterns& patterns::operator=(patterns&&) noexcept = default;
patterns::~patterns() = default;

result<patterns> patterns::make(const std::vector<std::string>& configured) {
  if (configured.size() > most_redaction_patterns)
    return failure{fault::invalid,
                   "there are more than " + std::to_string(most_redaction_patterns) + " redaction patterns"};
  auto made = std::make_unique<programs>();
  const auto add = [&](std::string_view text) -> std::optional<std::string> {
    if (text.size() > longest_redaction_pattern)
      return "is longer than " + std::to_string(longest_redaction_pattern) + " bytes";
    const re2::StringPiece piece(text.data(), text.size());
    auto program = std::make_unique<RE2>(piece, options(memory_for_one));
    if (!program->ok())
      return "is no regular expression of RE2: " + program->error();
    if (RE2::PartialMatch("", *program))
      return "matches the empty text";
    made->any.Add(piece, nullptr);
    made->each.push_back(std::move(program));
    return std::nullopt;
  };
  for (const auto text : built_in)
    add(text);
  for (const auto& text : configured)
    if (const auto problem = add(text))
      return failure{fault::invalid, "the redaction pattern `" + text.substr(0, shown_of_pattern) + "` " + *problem};
  if (!made->any.Compile())
    return failure{fault::invalid, "the redaction patterns are too large together"};
  return patterns(std::move(made));
}

bool patterns::may_match(std::string_view line) const {
  RE2::Set::ErrorInfo error{};
  return programs_->any.Match({line.data(), line.size()}, nullptr, &error) || error.kind != RE2::Set::kNoError;
}

std::size_t patterns::find(std::string_view text, std::size_t from, bool ended, std::vector<span>& hits) const {
  while (const auto where = next_stretch(text, from, ended)) {
    find_in_line(text.substr(where->begin, where->end - where->begin), where->begin, hits);
    from = where->next;
  }
  return from;
}

namespace {

// Half a character would make a text that is no UTF-8 any more. At most three bytes continue one (RFC 3629).
span whole_characters(std::string_view line, std::size_t offset, std::size_t begin, std::size_t end) {
  const auto continues = [&](std::size_t at) {
    return at < line.size() && (static_cast<unsigned char>(line[at]) & 0xc0U) == 0x80U;
  };
  for (int i = 0; i < 3 && begin > 0 && continues(begin); ++i)
    --begin;
  for (int i = 0; i < 3 && continues(end); ++i)
    ++end;
  return {offset + begin, offset + end};
}

} // namespace

void patterns::find_in_line(std::string_view line, std::size_t offset, std::vector<span>& hits) const {
  const re2::StringPiece text(line.data(), line.size());
  if (!may_match(line))
    return;
  for (const auto& program : programs_->each) {
    std::array<re2::StringPiece, 2> found; // the match, and its first group
    const int wanted = std::min(2, 1 + program->NumberOfCapturingGroups());
    std::size_t at = 0;
    while (at <= text.size() && program->Match(text, at, text.size(), RE2::UNANCHORED, found.data(), wanted)) {
      const auto& hit = wanted == 2 && !found[1].empty() ? found[1] : found[0];
      const auto begin = static_cast<std::size_t>(hit.data() - text.data());
      if (!hit.empty())
        hits.push_back(whole_characters(line, offset, begin, begin + hit.size()));
      at = std::max(at + 1, static_cast<std::size_t>(found[0].data() - text.data()) + found[0].size());
    }
  }
}

} // namespace rdev::redaction
