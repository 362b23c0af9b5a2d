#include "tests/fuzz/redactions.hpp"

#include "adapters/crypto.hpp"
#include "adapters/redaction.hpp"
#include "tests/fuzz/must.hpp"

#include <span>

namespace rdev::fuzz {

namespace {

constexpr std::size_t longest_text = 1'000; // it is looked at byte by byte, too

std::string_view line_of(std::string_view& input) {
  const auto line = input.substr(0, input.find('\n'));
  input.remove_prefix(line.size() == input.size() ? line.size() : line.size() + 1);
  return line;
}

std::string_view trimmed(std::string_view value) {
  constexpr std::string_view around = " \t\r\n";
  const auto first = value.find_first_not_of(around);
  return first == std::string_view::npos ? std::string_view{}
                                         : value.substr(first, value.find_last_not_of(around) + 1 - first);
}

// Between the marks, which are not part of the text.
bool shows(std::string_view out, std::string_view value) {
  while (true) {
    const auto end = out.find(redaction_mark);
    if (out.substr(0, end).find(value) != std::string_view::npos)
      return true;
    if (end == std::string_view::npos)
      return false;
    out.remove_prefix(end + redaction_mark.size());
  }
}

redacted whole(const redactor& by, std::string_view text) {
  auto got = by.redact(text);
  must(!got || got->hits > 0, "what is changed is counted");
  return got ? std::move(*got) : redacted{std::string(text), 0};
}

// Comes in pieces whose sizes `sizes` gives, over and over.
redacted in_pieces(const redactor& by, std::string_view text, std::span<const std::size_t> sizes) {
  redaction_stream stream(by);
  redacted out;
  for (std::size_t piece = 0; !text.empty(); ++piece) {
    const auto part = text.substr(0, sizes[piece % sizes.size()]);
    text.remove_prefix(part.size());
    out.text += stream.feed(part);
  }
  out.text += stream.finish();
  out.hits = stream.hits();
  return out;
}

void patterns(std::string_view input) {
  const auto made = redactor::make({std::string(input)});
  if (!made)
    return must(!made.error().message.empty(), "a refusal says why");
  (void)made->redact(input);
}

} // namespace

void redactions(std::string_view input) {
  if (input.size() < 64)
    patterns(input);
  static const auto by = *redactor::make({"<[a-z]+>"});
  auto text = input.substr(0, longest_text);
  const auto one = line_of(text);
  const auto other = line_of(text);
  const auto unhidden = whole(by, text);
  {
    const auto held = by.hide(secret(std::string(one)));
    const auto held_too = by.hide(secret(std::string(other)));
    const auto out = whole(by, text);
    for (const auto value : {trimmed(one), trimmed(other)})
      if (value.size() >= least_hidden_bytes) {
        must(!shows(out.text, value), "a value does not survive");
        const auto encoded = to_base64("a" + std::string(value));
        const auto its_own = encoded.substr(2, 8 * (1 + value.size()) / 6 - 2); // digits without bits of the `a`
        must(!shows(whole(by, encoded).text, its_own), "nor does it in base64");
      }
    constexpr std::array<std::size_t, 1> bytes{1};
    constexpr std::array<std::size_t, 3> pieces{7, 2, 31};
    for (const auto& again : {in_pieces(by, text, bytes), in_pieces(by, text, pieces)})
      must(again.text == out.text && again.hits == out.hits, "it does not matter how the bytes were cut");
  }
  must(whole(by, text).text == unhidden.text, "what is not registered any more is not hidden");
}

} // namespace rdev::fuzz
