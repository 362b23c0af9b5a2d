#include "messages/values/commands.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace rdev {
namespace {

TEST(CommandNames, AreReadAsTheyAreWritten) {
  for (const auto x : {command_type::shell, command_type::git, command_type::claude})
    EXPECT_EQ(command_type_from(name_of(x)), x);
  for (const auto x : {priority::critical, priority::high, priority::normal, priority::low})
    EXPECT_EQ(priority_from(name_of(x)), x);
  for (const auto x :
       {command_status::queued, command_status::running, command_status::completed, command_status::failed,
        command_status::timed_out, command_status::cancelled, command_status::lost})
    EXPECT_EQ(command_status_from(name_of(x)), x);
}

TEST(CommandNames, AreTheContracts) {
  EXPECT_EQ(name_of(command_type::claude), "claude");
  EXPECT_EQ(name_of(priority::critical), "critical");
  EXPECT_EQ(name_of(command_status::timed_out), "timed_out");
  EXPECT_EQ(name_of(command_status::lost), "lost");
  EXPECT_EQ(name_of(stream::out), "stdout");
  EXPECT_EQ(name_of(stream::err), "stderr");
}

TEST(CommandNames, OfOtherSpellingAreUnknown) {
  for (const auto* wrong : {"", "Shell", "shell ", "bash", "urgent", "timed-out", "done"}) {
    EXPECT_FALSE(command_type_from(wrong)) << wrong;
    EXPECT_FALSE(priority_from(wrong)) << wrong;
    EXPECT_FALSE(command_status_from(wrong)) << wrong;
  }
}

TEST(CommandStatus, HasEndedUnlessItWaitsOrRuns) {
  EXPECT_FALSE(ended(command_status::queued));
  EXPECT_FALSE(ended(command_status::running));
  for (const auto x : {command_status::completed, command_status::failed, command_status::timed_out,
                       command_status::cancelled, command_status::lost})
    EXPECT_TRUE(ended(x)) << name_of(x);
}

TEST(StreamReceipt, IsTruncatedWhenLessIsStoredThanWritten) {
  EXPECT_FALSE((stream_receipt{5, "", 5}).truncated());
  EXPECT_TRUE((stream_receipt{4, "", 5}).truncated());
  EXPECT_FALSE(stream_receipt{}.truncated());
}

} // namespace
} // namespace rdev
