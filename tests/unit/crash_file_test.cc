// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/crash_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "common/crash_dump.h"

namespace tcmurbd {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CrashFileTest : public ::testing::Test {
 protected:
  CrashFileTest() {
    std::string name = fs::temp_directory_path() / "crash-file-XXXXXX";
    folder_ = mkdtemp(name.data());
    state_ = folder_ + "/state";
  }
  ~CrashFileTest() override { fs::remove_all(folder_); }

  std::set<std::string> names() const {
    std::set<std::string> all;
    for (const auto& entry : fs::directory_iterator(state_)) all.insert(entry.path().filename());
    return all;
  }
  // A daemon that crashed at this second of the epoch.
  void crash(int second, const std::string& bytes) {
    const auto file = prepare_crash_file(state_);
    ASSERT_TRUE(file.has_value()) << file.error();
    std::ofstream(file->path) << bytes;
    using std::chrono::file_clock;
    fs::last_write_time(
        file->path, file_clock::from_sys(std::chrono::sys_seconds(std::chrono::seconds(second))));
  }
  static std::string whole() {
    CrashHeader header{};
    header.magic = CrashHeader::kMagic;
    const std::string reason = "SIGSEGV";
    std::ranges::copy(reason, header.reason.begin());
    return {reinterpret_cast<const char*>(&header), sizeof(header)};
  }

  std::string folder_;
  std::string state_;
};

TEST_F(CrashFileTest, OfAnEarlierCrashIsKept) {
  const auto first = prepare_crash_file(state_);
  ASSERT_TRUE(first.has_value()) << first.error();
  EXPECT_TRUE(first->fd.valid());
  EXPECT_EQ(first->path, state_ + "/crash.new");
  EXPECT_EQ(first->kept, "");
  EXPECT_EQ(prepare_crash_file(state_)->kept, "") << "killed, which is no crash";
  crash(1'000'000'000, whole());
  const auto next = prepare_crash_file(state_);
  ASSERT_TRUE(next.has_value()) << next.error();
  EXPECT_EQ(next->kept, state_ + "/crash-20010909T014640.000Z.trace");
  EXPECT_EQ(next->reason, "SIGSEGV");
  EXPECT_EQ(fs::file_size(next->path), 0U);
  EXPECT_EQ(fs::file_size(next->kept), sizeof(CrashHeader));
  crash(1'000'000'001, "cut off");
  EXPECT_EQ(prepare_crash_file(state_)->reason, "before it could say why");
}

TEST_F(CrashFileTest, TheLastFourAreKept) {
  for (int i = 0; i < 6; ++i) crash(1'000'000'000 + i, whole());
  std::ofstream(state_ + "/user_0.disk1") << "not ours";
  ASSERT_TRUE(prepare_crash_file(state_).has_value());
  EXPECT_THAT(names(),
              ElementsAre("crash-20010909T014642.000Z.trace", "crash-20010909T014643.000Z.trace",
                          "crash-20010909T014644.000Z.trace", "crash-20010909T014645.000Z.trace",
                          "crash.new", "user_0.disk1"));
}

TEST_F(CrashFileTest, WithoutAFolderThereIsNone) {
  std::ofstream{state_} << "a file";
  EXPECT_THAT(prepare_crash_file(state_).error(), HasSubstr(state_ + "/crash.new: "));
}

}  // namespace
}  // namespace tcmurbd
