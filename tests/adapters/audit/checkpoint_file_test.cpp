#include "adapters/audit/checkpoint_file.hpp"

#include "adapters/audit/evidence_files.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace rdev::audit_chain {
namespace {

namespace fs = std::filesystem;

class CheckpointFile : public ::testing::Test {
protected:
  CheckpointFile() {
    std::string pattern = (fs::temp_directory_path() / "rdev-checkpoints-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    file = (folder / "kept").string();
  }
  ~CheckpointFile() override {
    fs::remove_all(folder);
  }
  static audit_checkpoint checkpoint(std::int64_t seq) {
    audit_checkpoint out;
    out.seq = seq;
    out.hash.fill(0xab);
    out.at = timestamp(std::chrono::microseconds(1'795'000'000'123'456));
    out.first_seq = 3;
    out.kept_from = timestamp(std::chrono::microseconds(1'790'000'000'000'000));
    out.key = "0123456789abcdef";
    out.signature = std::string(64, '\x7f');
    return out;
  }

  fs::path folder;
  std::string file;
};

TEST_F(CheckpointFile, HoldsWhatAVerifierReads) {
  const auto kept = keep_in_file(file);
  ASSERT_TRUE(kept->keep(checkpoint(7)));
  ASSERT_TRUE(keep_in_file(file)->keep(checkpoint(9)));
  const auto read = read_checkpoints(file);
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->size(), 2U);
  const auto& first = read->front();
  const auto wanted = checkpoint(7);
  EXPECT_EQ(first.seq, 7);
  EXPECT_EQ(first.hash, wanted.hash);
  EXPECT_EQ(first.at, wanted.at);
  EXPECT_EQ(first.first_seq, 3);
  EXPECT_EQ(first.kept_from, wanted.kept_from);
  EXPECT_EQ(first.key, wanted.key);
  EXPECT_EQ(first.signature, wanted.signature);
  EXPECT_EQ(read->back().seq, 9);
}

TEST_F(CheckpointFile, GoesOnBehindALineThatWasCutOff) {
  const auto kept = keep_in_file(file);
  ASSERT_TRUE(kept->keep(checkpoint(7)));
  ASSERT_TRUE(kept->keep(checkpoint(8)));
  fs::resize_file(file, fs::file_size(file) - 20);
  ASSERT_TRUE(kept->keep(checkpoint(9)));
  const auto read = read_checkpoints(file);
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ(read->front().seq, 7);
  EXPECT_EQ(read->back().seq, 9);
}

TEST_F(CheckpointFile, MayHaveCarriageReturns) {
  ASSERT_TRUE(keep_in_file(file)->keep(checkpoint(7)));
  std::string line;
  std::getline(std::ifstream(file), line);
  std::ofstream(file) << line << "\r\n\r\n" << line << "\r\n";
  const auto read = read_checkpoints(file);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->size(), 2U);
}

TEST_F(CheckpointFile, MayHaveALastLineWithoutEndAndNoLongLine) {
  ASSERT_TRUE(keep_in_file(file)->keep(checkpoint(7)));
  std::string line;
  std::getline(std::ifstream(file), line);
  std::ofstream(file) << line << "\n" << line;
  ASSERT_TRUE(read_checkpoints(file));
  EXPECT_EQ(read_checkpoints(file)->size(), 2U);
  const std::string longest = R"({"msg":")" + std::string(64 * 1024 - 10, 'x') + R"("})";
  ASSERT_EQ(longest.size(), 64U * 1024);
  std::ofstream(file) << longest << "\n" << line << "\n";
  EXPECT_TRUE(read_checkpoints(file));
  std::ofstream(file) << line << "\n" << longest << "x\n" << line << "\n";
  const auto refused = read_checkpoints(file);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, file + ", line 2: is longer than 65536 bytes");
}

TEST_F(CheckpointFile, IsNoFolder) {
  const auto refused = read_checkpoints(folder.string());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, folder.string() + " cannot be read");
}

TEST_F(CheckpointFile, IsMadeAnewWhenItWasMovedAway) {
  const auto kept = keep_in_file(file);
  ASSERT_TRUE(kept->keep(checkpoint(1)));
  fs::rename(file, file + ".1");
  ASSERT_TRUE(kept->keep(checkpoint(2)));
  const auto read = read_checkpoints(file);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->front().seq, 2);
}

TEST_F(CheckpointFile, SaysWhichFileCannotBeWritten) {
  const auto nowhere = keep_in_file((folder / "no" / "such" / "folder").string())->keep(checkpoint(1));
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, fault::unavailable);
  EXPECT_NE(nowhere.error().message.find("audit.checkpoint_file: " + folder.string()), std::string::npos);
  const auto full = keep_in_file("/dev/full")->keep(checkpoint(1));
  ASSERT_FALSE(full);
  EXPECT_NE(full.error().message.find("/dev/full is no file that can grow"), std::string::npos) << full.error().message;
}

} // namespace
} // namespace rdev::audit_chain
