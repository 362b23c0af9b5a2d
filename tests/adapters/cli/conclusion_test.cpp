#include "adapters/cli/conclusion.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace rdev::cli {
namespace {

completion ended_with(command_status status, std::optional<int> code) {
  completion end;
  end.status = status;
  end.exit_code = code;
  end.complete = true;
  return end;
}

TEST(Conclusion, IsTheCommandsOwnCodeWithoutAWord) {
  for (int code : {0, 1, 7, 126, 127, 137, 255}) {
    const auto made = conclude(ended_with(code == 0 ? command_status::completed : command_status::failed, code), 0);
    EXPECT_EQ(made.code, code);
    EXPECT_TRUE(made.remarks.empty());
  }
}

TEST(Conclusion, Is124WhenTheTimeWasUp) {
  EXPECT_EQ(conclude(ended_with(command_status::timed_out, 143), 0).code, 124);
}

TEST(Conclusion, Is125WithAReasonWhenSomebodyElseCancelled) {
  auto end = ended_with(command_status::cancelled, 143);
  end.reason = "by key_1";
  const auto made = conclude(end, 0);
  EXPECT_EQ(made.code, 125);
  ASSERT_EQ(made.remarks.size(), 1U);
  EXPECT_NE(made.remarks[0].find("by key_1"), std::string::npos);
}

TEST(Conclusion, Is125WithAReasonWhenTheCommandIsLost) {
  auto end = ended_with(command_status::lost, std::nullopt);
  end.complete = false;
  end.reason = "the pod was deleted";
  const auto made = conclude(end, 0);
  EXPECT_EQ(made.code, 125);
  ASSERT_EQ(made.remarks.size(), 1U);
  EXPECT_NE(made.remarks[0].find("the pod was deleted"), std::string::npos);
}

TEST(Conclusion, FollowsTheSignalHoweverTheCommandEnded) {
  EXPECT_EQ(conclude(ended_with(command_status::cancelled, 143), SIGINT).code, 130);
  EXPECT_EQ(conclude(ended_with(command_status::completed, 0), SIGINT).code, 130);
  EXPECT_EQ(conclude(ended_with(command_status::cancelled, std::nullopt), SIGTERM).code, 143);
}

TEST(Conclusion, SaysThatAStreamWasTruncatedAndKeepsTheCode) {
  auto end = ended_with(command_status::completed, 0);
  end.complete = false;
  end.err = {10, "", 30};
  const auto made = conclude(end, 0);
  EXPECT_EQ(made.code, 0);
  ASSERT_EQ(made.remarks.size(), 1U);
  EXPECT_NE(made.remarks[0].find("stderr was truncated by the server: 10 of 30"), std::string::npos);
}

TEST(Conclusion, SaysThatOutputMayBeMissing) {
  auto end = ended_with(command_status::failed, 1);
  end.complete = false;
  const auto made = conclude(end, 0);
  EXPECT_EQ(made.code, 1);
  EXPECT_EQ(made.remarks.size(), 1U);
}

TEST(Conclusion, Is125WhenThereIsNoExitCode) {
  EXPECT_EQ(conclude(ended_with(command_status::failed, std::nullopt), 0).code, 125);
}

} // namespace
} // namespace rdev::cli
