// The redactor against a slow and simple one: random values come and go, random texts are made of them, of parts of
// them and of what looks like them, and random cuts are made.
#include "adapters/crypto.hpp"
#include "adapters/redaction/hidden_forms.hpp"
#include "tests/adapters/redaction/hidden.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace rdev {
namespace {

using redaction::base64_digit;
using redaction::hidden_form;
using redaction::hidden_forms;

const std::string pattern = "<[ab]{3,}>";

struct known_value {
  std::string text;
  std::vector<hidden_form> forms;
  redactor::registration held;
};

void cover_forms(std::string_view text, const known_value& value, std::vector<bool>& covered) {
  for (const auto& form : value.forms)
    for (auto at = text.find(form.text.reveal()); at != std::string_view::npos;
         at = text.find(form.text.reveal(), at + 1)) {
      auto begin = at;
      auto end = at + form.text.reveal().size();
      if (form.edges.before && begin > 0 && base64_digit(text[begin - 1]))
        --begin;
      if (form.edges.after && end < text.size() && base64_digit(text[end]))
        ++end;
      std::fill(covered.begin() + static_cast<std::ptrdiff_t>(begin),
                covered.begin() + static_cast<std::ptrdiff_t>(end), true);
    }
}

void cover_pattern(std::string_view text, std::vector<bool>& covered) {
  for (std::size_t begin = 0; begin < text.size(); ++begin) {
    const auto end = text[begin] == '<' ? text.find_first_not_of("ab", begin + 1) : std::string_view::npos;
    if (end == std::string_view::npos || text[end] != '>' || end - begin < 4)
      continue;
    auto behind = end + 1; // what continues a character goes with it
    while (behind < std::min(text.size(), end + 4) && (static_cast<unsigned char>(text[behind]) & 0xc0U) == 0x80U)
      ++behind;
    std::fill(covered.begin() + static_cast<std::ptrdiff_t>(begin),
              covered.begin() + static_cast<std::ptrdiff_t>(behind), true);
  }
}

redacted by_the_model(std::string_view text, const std::vector<known_value>& values) {
  std::vector<bool> covered(text.size(), false);
  for (const auto& value : values)
    cover_forms(text, value, covered);
  cover_pattern(text, covered);
  redacted out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!covered[i]) {
      out.text += text[i];
    } else if (i == 0 || !covered[i - 1]) {
      out.text += "[redacted]";
      ++out.hits;
    }
  }
  return out;
}

known_value some_value(const redactor& r, test::seeded& random) {
  known_value out;
  out.text = random.one_in(20)  ? random.text_of("ab", 300 + random.below(500))
             : random.one_in(3) ? random.text_of("ab", 6 + random.below(6))
             : random.one_in(2) ? random.text_of("ab<>/+ \"\n\xff", 4 + random.below(8))
                                : random.bytes(5 + random.below(9));
  out.forms = hidden_forms(out.text);
  out.held = r.hide(secret(out.text));
  return out;
}

std::string some_text(const std::vector<known_value>& values, test::seeded& random) {
  std::string out;
  for (std::size_t n = random.below(12); n > 0; --n) {
    const auto kind = random.below(6);
    const auto* value = values.empty() ? nullptr : &random.any_of(values);
    if (kind == 0 || value == nullptr)
      out += random.text_of("ab<>\n /+", random.below(12));
    else if (kind == 1)
      out += value->text;
    else if (kind == 2)
      out += value->text.substr(0, random.below(value->text.size()));
    else if (kind == 3)
      out += to_base64(random.bytes(random.below(4)) + value->text + random.bytes(random.below(4)));
    else if (kind == 4 && !value->forms.empty())
      out += random.any_of(value->forms).text.reveal();
    else
      out += "<" + random.text_of("ab", random.below(6)) + ">";
  }
  if (random.one_in(15))
    out += random.text_of("ab.", 9'000) + out;
  return out;
}

redacted by_a_stream(const redactor& r, std::string_view text, test::seeded& random) {
  redacted out;
  redaction_stream s(r);
  const auto most = 1 + random.below(random.one_in(3) ? text.size() + 1 : 9);
  while (!text.empty()) {
    const auto part = text.substr(0, random.below(most + 1));
    out.text += s.feed(part);
    text.remove_prefix(part.size());
  }
  out.text += s.finish();
  out.hits = s.hits();
  return out;
}

// In what is left between two marks: they are not part of the text.
void expect_no_form_in(std::string_view out, const std::vector<known_value>& values) {
  while (true) {
    const auto end = out.find(redaction_mark);
    for (const auto& value : values)
      for (const auto& form : value.forms)
        ASSERT_EQ(out.substr(0, end).find(form.text.reveal()), std::string_view::npos);
    if (end == std::string_view::npos)
      return;
    out.remove_prefix(end + redaction_mark.size());
  }
}

TEST(Redactor, DoesWhatASimpleOneDoesHoweverTheTextIsCut) {
  test::seeded random(75);
  const auto r = test::a_redactor({pattern});
  std::vector<known_value> values;
  std::size_t with_hits = 0;
  for (int round = 0; round < 4'000; ++round) {
    if (values.size() < 12 && random.one_in(2))
      values.push_back(some_value(r, random));
    else if (!values.empty() && random.one_in(3))
      values.erase(values.begin() + static_cast<std::ptrdiff_t>(random.below(values.size())));
    const auto text = some_text(values, random);
    const auto expected = by_the_model(text, values);
    const auto got = r.redact(text);
    ASSERT_EQ(got.has_value(), expected.hits > 0);
    if (got) {
      ++with_hits;
      ASSERT_EQ(got->text, expected.text);
      ASSERT_EQ(got->hits, expected.hits);
      expect_no_form_in(got->text, values);
    }
    const auto streamed = by_a_stream(r, text, random);
    ASSERT_EQ(streamed.text, expected.text);
    ASSERT_EQ(streamed.hits, expected.hits);
  }
  EXPECT_GT(with_hits, 1'000U);
  values.clear();
  EXPECT_EQ(r.redact("aaaaaaaaaaaabbbbbbbbbbbbabababab"), std::nullopt);
}

} // namespace
} // namespace rdev
