#include "adapters/cli/table.hpp"

#include "adapters/cli/terminal_output.hpp"

#include <gtest/gtest.h>

namespace rdev::cli {
namespace {

json::value parsed(const std::string& text) {
  return std::get<json::value>(json::parse(text));
}

TEST(Table, AlignsColumnsByCharactersAndWritesADashForNothing) {
  EXPECT_EQ(table_of({{"ID", "NAME"}, {"1", "é"}, {"é22", ""}}), "ID   NAME\n1    é\né22  -\n");
}

TEST(Table, ShowsNothingThatATerminalWouldObey) {
  EXPECT_EQ(table_of({{"a\x1b[2Jb\nc\xc2\x9b"}}), "a?[2Jb?c?\n");
}

TEST(Cell, IsTheValueAsPeopleReadIt) {
  const auto v = parsed(R"({"t":"x","n":7,"yes":true,"no":false,"nil":null,"list":["a","b"],"none":[]})");
  EXPECT_EQ(cell_of(v["t"]), "x");
  EXPECT_EQ(cell_of(v["n"]), "7");
  EXPECT_EQ(cell_of(v["yes"]), "yes");
  EXPECT_EQ(cell_of(v["no"]), "no");
  EXPECT_EQ(cell_of(v["nil"]), "");
  EXPECT_EQ(cell_of(v["absent"]), "");
  EXPECT_EQ(cell_of(v["list"]), "a,b");
  EXPECT_EQ(cell_of(v["none"]), "");
}

TEST(Cell, OfADurationHasTheUnitThatFits) {
  const auto v = parsed("[0,999,1000,59999,60000,185000,3600000,7380000,null]");
  const std::vector<std::string> expected{"0ms", "999ms", "1.0s", "59.9s", "1m00s", "3m05s", "1h00m", "2h03m", ""};
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(duration_cell(v.at(i)), expected[i]);
}

TEST(HarmlessText, KeepsLettersOfAllLanguages) {
  EXPECT_EQ(harmless("aé\u4e2d\U0001f600"), "aé\u4e2d\U0001f600");
  EXPECT_EQ(harmless("\x7f\t\r"), "???");
}

} // namespace
} // namespace rdev::cli
