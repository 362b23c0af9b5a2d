// The private PostgreSQL of a data dir: made, adopted, recovered, started again, and refused with a remedy.
#include "adapters/postgres/embedded_server.hpp"
#include "tests/support/test_database.hpp"
#include "tests/support/watched.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <pqxx/pqxx>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>

namespace rdev::test {

using postgres::embedded_conninfo;
using postgres::start_embedded;

namespace {

bool comes_true(const std::function<bool()>& what) {
  for (int i = 0; i < 3000; ++i) {
    if (what())
      return true;
    ::poll(nullptr, 0, 10);
  }
  return false;
}

std::string ask(const std::string& dir, const std::string& sql) {
  try {
    pqxx::connection c(embedded_conninfo(dir) + " connect_timeout=3");
    pqxx::nontransaction tx(c);
    const auto rows = tx.exec(sql);
    return rows.empty() ? "" : rows[0][0].c_str();
  } catch (const std::exception& e) {
    return std::string("a fault: ") + e.what();
  }
}

} // namespace

class EmbeddedServer : public ::testing::Test {
protected:
  EmbeddedServer() {
    end_with_program(folder.path()); // also when a test crashes
  }
  std::unique_ptr<postgres::embedded_server> started(const std::string& where) {
    auto server = start_embedded({where, database_user}, log);
    if (!server) {
      ADD_FAILURE() << server.error().message;
      return nullptr;
    }
    return std::move(*server);
  }
  temporary_folder folder;
  std::string dir = folder.path();
  silent_log log;
};

TEST_F(EmbeddedServer, IsMadeAtTheFirstStartAndKeepsItsDataOverARestart) {
  auto server = started(dir);
  ASSERT_TRUE(server);
  EXPECT_EQ(ask(dir, "SELECT current_database() || ' ' || current_user"), "rdev rdev");
  EXPECT_EQ(ask(dir, "SHOW listen_addresses"), "");
  ask(dir, "CREATE TABLE t AS SELECT 42 AS x");
  const int pid = postmaster_of(dir);
  server.reset();
  EXPECT_NE(::kill(pid, 0), 0) << "it ends with its owner";
  EXPECT_EQ(postmaster_of(dir), 0) << "in order";
  server = started(dir);
  ASSERT_TRUE(server);
  EXPECT_EQ(ask(dir, "SELECT x FROM t"), "42");
}

TEST_F(EmbeddedServer, BringsItsLogIntoOursWithoutSecretsStatementsAndRows) {
  watched_log lines;
  auto hides = *redactor::make({});
  const auto hidden = hides.hide(secret("swordfish-and-chips"));
  auto server = start_embedded({dir, database_user, hides}, lines);
  ASSERT_TRUE(server);
  ask(dir, "CREATE TABLE kept (x text PRIMARY KEY)");
  ask(dir, "SELECT 'swordfish-and-chips'::int");
  ask(dir, "INSERT INTO kept VALUES ('what-a-row-says'), ('what-a-row-says')");
  EXPECT_TRUE(comes_true([&] { return lines.says("duplicate key value violates unique constraint"); }));
  EXPECT_TRUE(lines.says("invalid input syntax for type integer: \"[redacted]\""));
  server->reset();
  EXPECT_TRUE(lines.says("database system is shut down")) << "to its end";
  for (const auto* hid : {"swordfish", "what-a-row-says", "INSERT INTO"})
    EXPECT_FALSE(lines.says(hid)) << hid;
}

TEST_F(EmbeddedServer, IsForItsUserAndRootAlone) {
  const auto server = started(dir);
  ASSERT_TRUE(server);
  const auto conninfo = embedded_conninfo(dir);
  const auto sockets = conninfo.substr(5, conninfo.find(' ') - 5);
  EXPECT_LT(sockets.size() + 20, 107U);
  struct stat info {};
  ASSERT_EQ(::stat(sockets.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0700U);
  ASSERT_EQ(::stat((dir + "/postgres").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0700U);
  EXPECT_NE(info.st_uid, 0U) << "never as root";
}

TEST_F(EmbeddedServer, ARunningOneIsAdopted) {
  const auto first = started(dir);
  ASSERT_TRUE(first);
  const int pid = postmaster_of(dir);
  {
    const auto second = started(dir);
    ASSERT_TRUE(second);
    EXPECT_EQ(postmaster_of(dir), pid);
  }
  EXPECT_TRUE(comes_true([&] { return ask(dir, "SELECT 1") == "1"; })) << "the first one's watch starts it again";
}

TEST_F(EmbeddedServer, OneThatOutlivedItsOwnerIsAdopted) {
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    silent_log quiet;
    auto orphaned = start_embedded({dir, database_user}, quiet);
    ::_exit(orphaned ? 0 : 1); // without an orderly end
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  const int pid = postmaster_of(dir);
  ASSERT_EQ(::kill(pid, 0), 0);
  auto server = started(dir);
  ASSERT_TRUE(server);
  EXPECT_EQ(postmaster_of(dir), pid);
  EXPECT_EQ(ask(dir, "SELECT 1"), "1");
  ::kill(pid, SIGKILL);
  EXPECT_TRUE(comes_true([&] { return postmaster_of(dir) != pid && ask(dir, "SELECT 1") == "1"; }))
      << "one that is not our child is watched as well";
}

TEST_F(EmbeddedServer, ACrashedOneIsRecovered) {
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    silent_log quiet;
    auto server = start_embedded({dir, database_user}, quiet);
    ask(dir, "CREATE TABLE t AS SELECT 42 AS x");
    ::kill(postmaster_of(dir), SIGKILL); // and its owner dies at the same moment, before it can start another
    ::_exit(server ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  const auto server = started(dir);
  ASSERT_TRUE(server);
  EXPECT_EQ(ask(dir, "SELECT x FROM t"), "42");
}

TEST_F(EmbeddedServer, ACrashedOneWithSessionsStillOpenIsRecovered) {
  int pid = 0;
  {
    const auto server = started(dir);
    ASSERT_TRUE(server);
    pid = postmaster_of(dir);
    pqxx::connection busy(embedded_conninfo(dir));
    pqxx::nontransaction tx(busy);
    ::kill(pid, SIGKILL);
    const auto second = started(dir); // while backends of the dead postmaster may still be there
    EXPECT_TRUE(second);
    EXPECT_NE(postmaster_of(dir), pid);
  }
  SUCCEED();
}

TEST_F(EmbeddedServer, IsStartedAgainWhenItDies) {
  const auto server = started(dir);
  ASSERT_TRUE(server);
  ask(dir, "CREATE TABLE t AS SELECT 42 AS x");
  for (int i = 0; i < 2; ++i) {
    const int pid = postmaster_of(dir);
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    EXPECT_TRUE(comes_true([&] { return postmaster_of(dir) != pid && ask(dir, "SELECT x FROM t") == "42"; }));
  }
}

TEST_F(EmbeddedServer, AStopEndsAlsoOneThatWasStartedAgain) {
  auto server = started(dir);
  ASSERT_TRUE(server);
  const int first = postmaster_of(dir);
  ::kill(first, SIGKILL);
  EXPECT_TRUE(comes_true([&] { return postmaster_of(dir) != first && ask(dir, "SELECT 1") == "1"; }));
  const int second = postmaster_of(dir);
  server->stop();
  EXPECT_NE(::kill(second, 0), 0);
  server->stop(); // a repeat is harmless
}

TEST_F(EmbeddedServer, AHalfMadeClusterIsMadeAnew) {
  std::filesystem::create_directories(dir + "/postgres.half/base");
  const auto server = started(dir);
  ASSERT_TRUE(server);
  EXPECT_FALSE(std::filesystem::exists(dir + "/postgres.half"));
  EXPECT_EQ(ask(dir, "SELECT 1"), "1");
}

TEST_F(EmbeddedServer, TwoDataDirsHaveTwoServers) {
  temporary_folder other;
  end_with_program(other.path());
  const auto a = started(dir);
  const auto b = started(other.path());
  ASSERT_TRUE(a && b);
  EXPECT_NE(embedded_conninfo(dir), embedded_conninfo(other.path()));
  EXPECT_NE(postmaster_of(dir), postmaster_of(other.path()));
  ask(dir, "CREATE TABLE only_here (x int)");
  EXPECT_EQ(ask(other.path(), "SELECT to_regclass('only_here') IS NULL"), "t");
}

TEST_F(EmbeddedServer, ADataDirItsUserCannotEnterIsRefusedWithTheRemedy) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "only root runs it as another user";
  const auto closed = dir + "/closed";
  std::filesystem::create_directories(closed + "/data");
  ASSERT_EQ(::chmod(closed.c_str(), 0700), 0);
  const auto refused = start_embedded({closed + "/data", database_user}, log);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, fault::invalid);
  EXPECT_NE(refused.error().message.find("chmod o+x " + closed), std::string::npos) << refused.error().message;
  ASSERT_EQ(::chmod(closed.c_str(), 0701), 0);
  EXPECT_TRUE(start_embedded({closed + "/data", database_user}, log)) << "the remedy helps";
}

TEST_F(EmbeddedServer, AUserThatIsNotThereIsRefusedWithTheRemedy) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "only root runs it as another user";
  const auto nobody = start_embedded({dir, "no-such-user"}, log);
  ASSERT_FALSE(nobody);
  EXPECT_NE(nobody.error().message.find("useradd"), std::string::npos);
  const auto root = start_embedded({dir, "root"}, log);
  ASSERT_FALSE(root);
  EXPECT_EQ(root.error().code, fault::invalid);
}

} // namespace rdev::test
