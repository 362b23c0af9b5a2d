// Every fuzz target over its seeds, over what longer runs have found worth keeping (corpus/NAME), and over some
// thousand seeded random changes of the seeds, in every build.
#include "tests/fuzz/targets.hpp"
#include "tests/values/seeded.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

namespace rdev::fuzz {
namespace {

std::string changed(std::string text, const target& t, test::seeded& random) {
  for (std::size_t n = 1 + random.below(4); n > 0; --n) {
    const auto at = random.below(text.size() + 1);
    const auto kind = random.below(6);
    if (kind == 0)
      text.insert(at, random.bytes(1 + random.below(4)));
    else if (kind == 1)
      text.insert(at, random.text_of("0123456789-:./,\"\\{}[]\n%&=? TZ", 1 + random.below(3)));
    else if (kind == 2 && at < text.size())
      text[at] = static_cast<char>(random.below(256));
    else if (kind == 3)
      text.erase(at, 1 + random.below(8));
    else if (kind == 4)
      text.insert(at, text.substr(0, random.below(text.size() + 1)));
    else
      text = text.substr(0, at) + std::string(random.any_of(t.seeds)).substr(0, random.below(40));
    if (text.size() > 4'000)
      text.resize(4'000);
  }
  return text;
}

class Fuzz : public testing::TestWithParam<target> {};

std::vector<std::string> corpus_of(std::string_view name) {
  std::vector<std::string> out;
  const auto folder = std::filesystem::path(RDEV_FUZZ_CORPUS) / name;
  if (std::filesystem::exists(folder))
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      std::ifstream file(entry.path(), std::ios::binary);
      out.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  return out;
}

TEST_P(Fuzz, HoldsItsLawsForSeedsAndTheirChanges) {
  const auto& t = GetParam();
  t.run("");
  for (const auto seed : t.seeds)
    t.run(seed);
  for (const auto& text : corpus_of(t.name))
    t.run(text);
  test::seeded random(61);
  const std::size_t rounds = t.name == "settings_text" ? 60
                             : t.name == "bodies"      ? 1'500
                             : t.name == "redactions"  ? 1'500
                                                       : 5'000; // these do more for each input
  std::string text(t.seeds.front());
  for (std::size_t i = 0; i < rounds; ++i) {
    text = changed(random.one_in(3) ? std::string(random.any_of(t.seeds)) : text, t, random);
    t.run(text);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Fuzz, testing::ValuesIn(targets().begin(), targets().end()),
                         [](const auto& target_info) { return std::string(target_info.param.name); });

} // namespace
} // namespace rdev::fuzz
