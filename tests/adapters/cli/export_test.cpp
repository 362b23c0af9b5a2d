// `rdev audit export`: what a page holds, the file that is gone on with, and the program against a server that is not
// always there.
#include "adapters/cli/audit_export.hpp"
#include "adapters/cli/export_file.hpp"
#include "fake_server.hpp"
#include "spawn.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace rdev::cli {
namespace {

std::string record(int seq) {
  return R"({"action":"key.create","detail":{},"seal":{"seq":)" + std::to_string(seq) + "}}";
}

std::string page(std::initializer_list<int> numbers, const std::string& next = "null") {
  std::string records;
  for (const int n : numbers)
    records += (records.empty() ? "" : ",") + record(n);
  return R"({"data":[)" + records + R"(],"meta":{"next_cursor":)" + next + "}}";
}

std::string lines(std::initializer_list<int> numbers) {
  std::string out;
  for (const int n : numbers)
    out += record(n) + "\n";
  return out;
}

std::variant<export_page, trouble> read(const std::string& body, std::int64_t after) {
  const auto parsed = json::parse(body);
  const auto& answer = std::get<json::value>(parsed);
  return page_from({answer["data"], answer["meta"]}, after);
}

TEST(ExportPage, IsARecordALineAndSaysWhereTheNextOneBegins) {
  const auto got = std::get<export_page>(read(page({3, 5}, R"("5")"), 2));
  EXPECT_EQ(got.lines, lines({3, 5}));
  EXPECT_EQ(got.through, 5);
  EXPECT_TRUE(got.more);
}

TEST(ExportPage, MayBeEmptyAndStillGoOn) {
  const auto got = std::get<export_page>(read(page({}, R"("20000")"), 0));
  EXPECT_EQ(got.lines, "");
  EXPECT_EQ(got.through, 20000);
  EXPECT_TRUE(got.more);
}

TEST(ExportPage, OfTheEndStaysWhereItsLastRecordIs) {
  EXPECT_EQ(std::get<export_page>(read(page({3}), 2)).through, 3);
  EXPECT_EQ(std::get<export_page>(read(page({}), 2)).through, 2);
  EXPECT_FALSE(std::get<export_page>(read(page({}), 2)).more);
}

TEST(ExportPage, IsNotTakenWhenItRepeatsOrGoesBackOrStandsStill) {
  for (const auto& body :
       {page({2}), page({3, 3}), page({4, 3}), page({3}, R"("2")"), page({}, R"("2")"), page({}, R"("x")"),
        page({}, "7"), std::string(R"({"data":{},"meta":{}})"), std::string(R"({"data":[{"action":"x"}],"meta":{}})")})
    EXPECT_TRUE(std::holds_alternative<trouble>(read(body, 2))) << body;
}

class Exported : public testing::Test {
protected:
  Exported() {
    std::string name = testing::TempDir() + "rdev-export-XXXXXX";
    folder = ::mkdtemp(name.data());
    file = folder / "audit.jsonl";
  }
  ~Exported() override {
    std::filesystem::remove_all(folder);
  }
  void put(const std::string& text) const {
    std::ofstream(file, std::ios::binary) << text;
  }
  [[nodiscard]] std::string content() const {
    std::ostringstream out;
    out << std::ifstream(file, std::ios::binary).rdbuf();
    return out.str();
  }
  // The number of the last record; -1: it was not opened.
  [[nodiscard]] std::int64_t opened() const {
    const auto got = export_file::open(file.string());
    const auto* good = std::get_if<export_file>(&got);
    return good == nullptr ? -1 : good->last();
  }
  ended_program run(const fake_server& at, std::vector<std::string> arguments, spawn_options options = {}) const {
    options.env = {{"RDEV_URL", at.url()}, {"RDEV_API_KEY", "k"}};
    arguments.insert(arguments.begin(), {"audit", "export"});
    return run_program(arguments, options);
  }

  std::filesystem::path folder;
  std::filesystem::path file;
};

TEST_F(Exported, FileIsMadeForItsOwnerAlone) {
  EXPECT_EQ(opened(), 0);
  EXPECT_EQ(std::filesystem::status(file).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(Exported, FileGoesOnBehindItsLastLine) {
  put(lines({1, 2, 17}));
  EXPECT_EQ(opened(), 17);
  EXPECT_EQ(content(), lines({1, 2, 17}));
}

TEST_F(Exported, FileLosesATornLastLineWhereverItIsTorn) {
  const auto torn = record(18);
  for (std::size_t n = 0; n <= torn.size(); ++n) {
    put(lines({1, 17}) + torn.substr(0, n));
    EXPECT_EQ(opened(), 17);
    EXPECT_EQ(content(), lines({1, 17})) << n;
    put(torn.substr(0, n));
    EXPECT_EQ(opened(), 0);
    EXPECT_EQ(content(), "") << n;
  }
}

TEST_F(Exported, FileMayHaveLongLines) {
  const auto with_text = [](std::size_t size) {
    return R"({"action":")" + std::string(size, 'x') + R"(","seal":{"seq":9}})";
  };
  for (const std::size_t size : {65'500U, 65'536U, 300'000U}) {
    put(lines({8}) + with_text(size) + "\n" + with_text(size).substr(0, size));
    EXPECT_EQ(opened(), 9) << size;
    EXPECT_EQ(content(), lines({8}) + with_text(size) + "\n");
  }
}

TEST_F(Exported, FileOfSomethingElseIsLeftAsItIs) {
  for (const std::string text : {"\n", "notes", "notes\n", "{\"a\":1}\n", "notes\nand more", "{\"b"}) {
    put(text);
    EXPECT_EQ(opened(), -1) << text;
    EXPECT_EQ(content(), text);
  }
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  EXPECT_EQ(opened(), -1);
}

TEST_F(Exported, FileIsWrittenByOneAtATime) {
  const auto first = export_file::open(file.string());
  ASSERT_TRUE(std::holds_alternative<export_file>(first));
  const auto second = export_file::open(file.string());
  ASSERT_TRUE(std::holds_alternative<trouble>(second));
  EXPECT_NE(std::get<trouble>(second).message.find("is being written by another export"), std::string::npos);
}

TEST_F(Exported, ProgramAsksPageAfterPageThroughRefusalsAndCuts) {
  std::atomic<int> n = 0;
  fake_server server([&](const seen_request&) {
    switch (++n) {
    case 1:
      return json_answer(200, page({1, 2}, R"("2")"));
    case 2:
      return json_answer(429, "{}", "Retry-After: 0\r\n");
    case 3:
      return json_answer(503, "{}", "Retry-After: 0\r\n");
    case 4:
      return std::string{};
    case 5:
      return json_answer(200, page({}, R"("9")"));
    default:
      return json_answer(200, page({10}));
    }
  });
  const auto ended = run(server, {"--action", "key.*", "--project", "demo", "--from", "2030-01-01T00:00:00Z"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, lines({1, 2, 10}));
  const auto asked = server.requests();
  const std::string base = "/audit?action=key.%2A&project=demo&from=2030-01-01T00%3A00%3A00Z&limit=200";
  ASSERT_EQ(asked.size(), 6U);
  EXPECT_EQ(asked[0].target, base);
  for (std::size_t i = 1; i < 5; ++i)
    EXPECT_EQ(asked[i].target, base + "&cursor=2");
  EXPECT_EQ(asked[5].target, base + "&cursor=9");
}

TEST_F(Exported, ProgramGoesOnWithTheFileAndNotWithAfter) {
  put(lines({4}) + record(5).substr(0, 20));
  fake_server server([](const seen_request&) { return json_answer(200, page({5, 6})); });
  const auto ended = run(server, {"--output", file.string(), "--after", "2"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, "");
  EXPECT_EQ(content(), lines({4, 5, 6}));
  EXPECT_EQ(server.requests().at(0).target, "/audit?limit=200&cursor=4");
}

TEST_F(Exported, ProgramBeginsBehindAfterWithoutAFile) {
  fake_server server([](const seen_request&) { return json_answer(200, page({8})); });
  EXPECT_EQ(run(server, {"--after", "7"}).out, lines({8}));
  EXPECT_EQ(server.requests().at(0).target, "/audit?limit=200&cursor=7");
}

TEST_F(Exported, ProgramFollowsUntilItIsToldToEnd) {
  for (const int signal : {SIGTERM, SIGINT}) {
    fake_server server([](const seen_request& r) {
      return json_answer(200, r.target.ends_with("cursor=2") ? page({}) : page({1, 2}));
    });
    const auto ended = run(server, {"--follow"}, {.on_first_output = [signal](int pid) { ::kill(pid, signal); }});
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_EQ(ended.out, lines({1, 2}));
  }
}

TEST_F(Exported, ProgramDoesNotLookForTheBeginningAgainWhenNothingCame) {
  std::atomic<int> n = 0;
  fake_server server([&](const seen_request&) { return json_answer(200, ++n < 3 ? page({}) : page({3})); });
  const auto ended = run(server, {"--follow"}, {.on_first_output = [](int pid) { ::kill(pid, SIGTERM); }});
  EXPECT_EQ(ended.out, lines({3}));
  const auto asked = server.requests();
  EXPECT_EQ(asked.at(0).target, "/audit?limit=200");
  EXPECT_EQ(asked.at(1).target, "/audit?limit=200&cursor=0");
}

TEST_F(Exported, ProgramSaysWhatTheServerRefuses) {
  fake_server server([](const seen_request&) {
    return json_answer(
        400, R"({"error":{"code":"BAD_REQUEST","message":"no","details":[{"field":"actor","problem":"is not"}]}})");
  });
  const auto ended = run(server, {"--follow", "--actor", "x"});
  EXPECT_EQ(ended.code, 125);
  EXPECT_EQ(ended.err, "rdev: no (BAD_REQUEST); actor: is not\n");
}

TEST_F(Exported, ProgramWritesNothingOfAPageThatRepeats) {
  put(lines({4}));
  fake_server server([](const seen_request&) { return json_answer(200, page({4, 5})); });
  EXPECT_EQ(run(server, {"--output", file.string()}).code, 125);
  EXPECT_EQ(content(), lines({4}));
}

TEST_F(Exported, ProgramRefusesArgumentsThatCannotBe) {
  fake_server server([](const seen_request&) { return json_answer(200, page({})); });
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--after", "-1"}, "--after must be a whole number"},
      {{"--after", "x"}, "--after must be a whole number"},
      {{"--after", "9223372036854775808"}, "--after must be a whole number"},
      {{"--after", ""}, "--after: must not be empty"},
      {{"--project", ""}, "--project: must not be empty"},
      {{"--output", ""}, "--output: must not be empty"},
      {{"--output", "/dev/null"}, "--output: /dev/null is not a"},
      {{"--output", "/nowhere/file"}, "cannot open /nowhere/file"}};
  for (const auto& [arguments, problem] : cases) {
    const auto ended = run(server, arguments);
    EXPECT_EQ(ended.code, 125) << problem;
    EXPECT_NE(ended.err.find(problem), std::string::npos) << ended.err;
  }
  EXPECT_TRUE(server.requests().empty());
}

} // namespace
} // namespace rdev::cli
