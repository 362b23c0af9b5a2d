// What the embedded PostgreSQL logs comes into our log, in pieces as its file grows, without secrets.
#include "adapters/postgres/server_log.hpp"
#include "tests/support/test_database.hpp"
#include "tests/support/watched.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace rdev::test {

using postgres::server_log;

class ServerLog : public ::testing::Test {
protected:
  ServerLog() {
    grow("from before\n");
    told.emplace(path, hidden_by, log);
  }
  void grow(std::string_view text) {
    std::ofstream(path, std::ios::app) << text;
  }
  // As the file grows by pieces of so many bytes.
  void comes(std::string_view text, std::size_t bytes) {
    for (std::size_t at = 0; at < text.size(); at += bytes) {
      grow(text.substr(at, bytes));
      told->look();
    }
  }

  temporary_folder folder;
  std::string path = folder.path() + "/postgres.log";
  watched_log log;
  redactor hidden_by = *redactor::make({});
  std::optional<server_log> told;
};

TEST_F(ServerLog, BringsWholeLinesThatAreNew) {
  comes("LOG:  one\nERROR:  two\nLOG:  half", 5);
  EXPECT_TRUE(log.says("postgres line=LOG:  one"));
  EXPECT_TRUE(log.says("postgres line=ERROR:  two"));
  EXPECT_FALSE(log.says("from before"));
  EXPECT_FALSE(log.says("half"));
  comes(" a line\n", 3);
  EXPECT_TRUE(log.says("LOG:  half a line"));
}

TEST_F(ServerLog, HidesASecretHoweverItIsCut) {
  const auto hidden = hidden_by.hide(secret("swordfish-and-chips"));
  for (const std::size_t bytes : {1U, 2U, 3U, 7U, 13U, 1000U})
    comes("ERROR:  invalid input: \"swordfish-and-chips\" " + std::to_string(bytes) + "\n", bytes);
  told->finish();
  EXPECT_FALSE(log.says("swordfish"));
  EXPECT_FALSE(log.says("chips"));
  for (const auto* bytes : {"1", "2", "3", "7", "13", "1000"})
    EXPECT_TRUE(log.says("ERROR:  invalid input: \"[redacted]\" " + std::string(bytes))) << bytes;
}

TEST_F(ServerLog, HidesASecretOfSeveralLines) {
  const auto hidden = hidden_by.hide(secret("first-line-of-it\nsecond-line-of-it"));
  comes("LOG:  before\nLOG:  first-line-of-it\n\tsecond-line-of-it\nLOG:  after\n", 4); // PostgreSQL indents
  told->finish();
  EXPECT_FALSE(log.says("first-line"));
  EXPECT_FALSE(log.says("second-line"));
  EXPECT_TRUE(log.says("LOG:  before"));
  EXPECT_TRUE(log.says("LOG:  after"));
}

TEST_F(ServerLog, HidesASecretWithTabsOfItsOwn) {
  const auto hidden = hidden_by.hide(secret("one-of-three\n\ttwo-of-three\nthree-of-three"));
  for (const std::size_t bytes : {1U, 5U, 1000U})
    comes("LOG:  one-of-three\n\t\ttwo-of-three\n\tthree-of-three\nLOG:  after\n", bytes);
  told->finish();
  EXPECT_FALSE(log.says("of-three"));
  EXPECT_TRUE(log.says("LOG:  after"));
}

TEST_F(ServerLog, GoesOnWhenTheFileIsBegunAnewOrGone) {
  comes("LOG:  a long line before that\n", 100);
  std::filesystem::resize_file(path, 0);
  comes("LOG:  anew\n", 100);
  EXPECT_TRUE(log.says("LOG:  anew"));
  std::filesystem::remove(path);
  told->look();
  comes("LOG:  there again\n", 100);
  EXPECT_TRUE(log.says("LOG:  there again"));
}

TEST_F(ServerLog, TellsTheBeginningOfALineWithoutEnd) {
  grow(std::string(1'000'000, 'x'));
  for (int i = 0; i < 8; ++i)
    told->look();
  told->finish();
  EXPECT_TRUE(log.says("line=" + std::string(8 * 1024, 'x')));
  EXPECT_FALSE(log.says("line=" + std::string(8 * 1024 + 1, 'x')));
}

} // namespace rdev::test
