// Projects as folders, and what commands may have left in them.
#include "tests/adapters/local/local_rig.hpp"

#include <fcntl.h>
#include <pwd.h>

#include <atomic>
#include <thread>
#include <vector>

namespace rdev::test {

namespace fs = std::filesystem;

class LocalProjects : public ::testing::Test {
protected:
  local_rig rig;
  std::string projects = rig.dir + "/projects";
};

TEST_F(LocalProjects, LinksInsideAreNotFollowedOnRemoval) {
  fs::create_directory(rig.dir + "/precious");
  std::ofstream(rig.dir + "/precious/file") << "keep me";
  fs::create_symlink(rig.dir + "/precious", projects + "/demo/link");
  fs::create_symlink(rig.dir + "/precious/file", projects + "/demo/file-link");
  fs::create_symlink("/no/where", projects + "/demo/dangling");
  fs::create_directories(projects + "/demo/a/b");
  fs::create_symlink("../..", projects + "/demo/a/b/loop");
  ASSERT_TRUE(*rig.projects->remove("demo"));
  EXPECT_TRUE(fs::exists(rig.dir + "/precious/file"));
  EXPECT_TRUE(fs::is_empty(projects));
}

TEST_F(LocalProjects, RemovesWhatIsUnreadableAndOddlyNamed) {
  fs::create_directories(projects + "/demo/shut/inner");
  std::ofstream(projects + "/demo/shut/inner/file") << "x";
  std::ofstream(projects + "/demo/\n\xff -rf *") << "x";
  ASSERT_EQ(::mkfifo((projects + "/demo/pipe").c_str(), 0600), 0);
  fs::permissions(projects + "/demo/shut/inner", fs::perms::none);
  fs::permissions(projects + "/demo/shut", fs::perms::none);
  ASSERT_TRUE(*rig.projects->remove("demo"));
  EXPECT_TRUE(fs::is_empty(projects));
}

TEST_F(LocalProjects, RemovesATreeDeeperThanThereAreDescriptors) {
  int at = ::open((projects + "/demo").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int depth = 0; depth < 1500; ++depth) {
    ASSERT_EQ(::mkdirat(at, "d", 0755), 0);
    const int next = ::openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ::close(at);
    at = next;
    ASSERT_GE(at, 0);
  }
  ::close(at);
  ASSERT_TRUE(*rig.projects->remove("demo"));
  EXPECT_TRUE(fs::is_empty(projects));
}

TEST_F(LocalProjects, ALinkIsNoProject) {
  fs::create_directory(rig.dir + "/elsewhere");
  fs::create_symlink(rig.dir + "/elsewhere", projects + "/linked");
  std::ofstream(projects + "/file") << "x";
  EXPECT_FALSE(rig.projects->find("linked")->has_value());
  EXPECT_FALSE(rig.projects->find("file")->has_value());
  EXPECT_EQ(rig.projects->list()->size(), 1U);
}

TEST_F(LocalProjects, LabelsOutliveARestartWhateverIsInThem) {
  std::map<std::string, std::string> labels{{"lines", "a\nb=c\n"}, {"back\\slash", "\\n"}, {"eq=ual", "="}};
  for (int i = 0; i < 100; ++i)
    labels["label-" + std::to_string(i)] = std::string(100, static_cast<char>('a' + i % 26));
  ASSERT_TRUE(*rig.projects->create({"labelled", labels}));
  const auto again = *make_local_projects({projects, rig.dir + "/records", rig.config.user});
  const auto found = again->find("labelled");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->labels, labels);
}

TEST_F(LocalProjects, WhatARemovalLeftBehindGoesAtTheNextStart) {
  fs::create_directories(projects + "/.removed-old-1/x");
  EXPECT_EQ(rig.projects->list()->size(), 1U) << "it is no project";
  const auto again = *make_local_projects({projects, rig.dir + "/records", rig.config.user});
  EXPECT_FALSE(fs::exists(projects + "/.removed-old-1"));
  EXPECT_TRUE(again->find("demo")->has_value());
}

TEST_F(LocalProjects, ARecordWithoutAFolderIsOverwritten) {
  std::ofstream(rig.dir + "/records/half") << "12345\nold=label\n"; // a death between the two steps of a creation
  EXPECT_FALSE(rig.projects->find("half")->has_value());
  ASSERT_TRUE(*rig.projects->create({"half", {{"new", "label"}}}));
  const auto found = *rig.projects->find("half");
  EXPECT_EQ(found->labels, (std::map<std::string, std::string>{{"new", "label"}}));
}

TEST_F(LocalProjects, TheFolderBelongsToTheUserForCommands) {
  struct stat info {};
  ASSERT_EQ(::stat((projects + "/demo").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0700U);
  if (as_root()) {
    EXPECT_EQ(info.st_uid, ::getpwnam("rdev-run")->pw_uid);
  } else {
    EXPECT_EQ(info.st_uid, ::geteuid());
  }
}

TEST_F(LocalProjects, SeveralServersThatStartOnOneFolderMakeEachProjectOnce) {
  for (int round = 0; round < 20; ++round) {
    const auto id = "p" + std::to_string(round);
    std::atomic<int> made = 0;
    std::atomic<int> failed = 0;
    {
      std::vector<std::jthread> servers;
      for (int i = 0; i < 4; ++i)
        servers.emplace_back([&] {
          auto host = make_local_projects({projects, rig.dir + "/records", rig.config.user});
          const auto outcome = host ? (*host)->create({id, {}}) : result<bool>(host.error());
          outcome ? made += *outcome ? 1 : 0 : ++failed;
        });
    }
    EXPECT_EQ(failed, 0);
    EXPECT_EQ(made, 1);
    EXPECT_TRUE(fs::is_directory(projects + "/" + id));
  }
}

TEST_F(LocalProjects, RefusesIdsThatAreNone) {
  for (const auto* id : {"", ".", "..", "a/b", "A", "-a", "a-", ".removed-a"}) {
    const auto made = rig.projects->create({id, {}});
    ASSERT_FALSE(made) << id;
    EXPECT_EQ(made.error().code, fault::invalid);
  }
}

} // namespace rdev::test
