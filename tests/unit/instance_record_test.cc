// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/instance_record.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "rbd_handler/device/report_line.h"

namespace tcmurbd {
namespace {

constexpr const char* kAddress = "10.0.0.1:0/3706536469";
constexpr const char* kOther = "10.0.0.1:0/17";

class InstanceRecordTest : public ::testing::Test {
 protected:
  InstanceRecordTest() {
    std::string pattern = ::testing::TempDir() + "recordXXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~InstanceRecordTest() override { std::filesystem::remove_all(directory_); }

  InstanceRecord record() const { return {directory_ + "/state", "user_0", "disk"}; }
  void scribble(const std::string& content) {
    std::filesystem::create_directories(directory_ + "/state");
    std::ofstream(directory_ + "/state/user_0.disk.instance") << content;
  }

  std::string directory_;
};

TEST_F(InstanceRecordTest, OutlivesItsWriter) {
  EXPECT_EQ(record().read().value().address, "") << "a first start has no predecessor";
  ASSERT_TRUE(record().write(kAddress));
  EXPECT_EQ(record().read().value().address, kAddress);
  ASSERT_TRUE(record().write(kOther));
  EXPECT_EQ(record().read().value().address, kOther);
  EXPECT_EQ(InstanceRecord(directory_ + "/state", "user_0", "other").read().value().address, "");
}

// A folder of the host that a container mounts outlives a boot.
TEST_F(InstanceRecordTest, KnowsTheRecordOfAnEarlierBoot) {
  const auto at_boot = [&](const char* boot) {
    return InstanceRecord(directory_ + "/state", "user_0", "disk", boot);
  };
  ASSERT_TRUE(at_boot("25ab0d68-6d9a-4f3c-8c4b-2f7f3c1f0d11").write(kAddress));
  EXPECT_EQ(at_boot("25ab0d68-6d9a-4f3c-8c4b-2f7f3c1f0d11").read(),
            (InstanceRecord::Recorded{kAddress, false}));
  EXPECT_EQ(at_boot("0c1d4d19-20c1-44b2-9d55-3f0f1c7c5a02").read(),
            (InstanceRecord::Recorded{kAddress, true}));
  at_boot("0c1d4d19-20c1-44b2-9d55-3f0f1c7c5a02").remove(kAddress);
  EXPECT_EQ(record().read(), InstanceRecord::Recorded{});
  // Of a version that did not write the boot.
  scribble(std::string(kAddress) + "\n");
  EXPECT_EQ(record().read(), (InstanceRecord::Recorded{kAddress, false}));
}

TEST_F(InstanceRecordTest, NamesTheBootOfThisMachine) {
  ASSERT_TRUE(record().write(kAddress));
  std::ifstream file(directory_ + "/state/user_0.disk.instance");
  std::ifstream kernel("/proc/sys/kernel/random/boot_id");
  std::string address;
  std::string boot;
  std::string expected;
  std::getline(file, address);
  std::getline(file, boot);
  std::getline(kernel, expected);
  EXPECT_EQ(address, kAddress);
  EXPECT_EQ(boot, expected);
  EXPECT_FALSE(boot.empty());
}

TEST_F(InstanceRecordTest, WithoutABootIdNothingIsSaidOfTheBoot) {
  ASSERT_TRUE(record().write(kAddress));
  EXPECT_EQ(InstanceRecord(directory_ + "/state", "user_0", "disk", "").read(),
            (InstanceRecord::Recorded{kAddress, false}));
}

// What a daemon left that was killed while it wrote.
TEST_F(InstanceRecordTest, APartOfANewRecordIsReplaced) {
  ASSERT_TRUE(record().write(kAddress));
  std::ofstream(directory_ + "/state/user_0.disk.instance.new") << "10.0.0.1:0/3706";
  EXPECT_EQ(record().read().value().address, kAddress);
  ASSERT_TRUE(record().write(kOther));
  EXPECT_EQ(record().read().value().address, kOther);
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/state/user_0.disk.instance.new"));
}

TEST_F(InstanceRecordTest, IsForgottenByItsOwnInstanceAlone) {
  ASSERT_TRUE(record().write(kOther));
  record().remove(kAddress);
  EXPECT_EQ(record().read().value().address, kOther);
  record().remove(kOther);
  EXPECT_EQ(record().read().value().address, "");
}

TEST_F(InstanceRecordTest, WhatIsNoAddressOfAnInstanceIsNotBlocklisted) {
  for (const char* content : {"", "\n", "10.0.0.1\n", "10.0.0.1:0/1 x\n", "10.0.0.\x01/1\n"}) {
    scribble(content);
    EXPECT_EQ(record().read().value().address, "") << content;
  }
  scribble(std::string(4096, 'x') + "/1\n");
  EXPECT_EQ(record().read().value().address, "");
}

TEST_F(InstanceRecordTest, ADirectoryThatCantBeMadeIsAnError) {
  std::ofstream(directory_ + "/state") << "a file";
  const auto written = record().write(kAddress);
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().find("/state/user_0.disk.instance"), std::string::npos)
      << written.error();
}

TEST(ReportLine, TellsAnAbort) {
  using std::chrono::milliseconds;
  EXPECT_EQ(describe({.kind = Report::Kind::kAborted,
                      .tmr_type = 5,
                      .cmd_id = 7,
                      .command = "WRITE(16)",
                      .state = task::TaskState::kInImage,
                      .range = {4096, 512},
                      .queued = milliseconds(1500),
                      .submitted = milliseconds(1250),
                      .answered = Duration{-1}}),
            "by=LUN_RESET command=\"WRITE(16)\" id=7 stage=in-librbd offset=4096 length=512 "
            "queued=1500.0ms in_librbd=1250.0ms");
}

TEST(ReportLine, TellsARealEnd) {
  using std::chrono::milliseconds;
  EXPECT_EQ(describe({.kind = Report::Kind::kEnded,
                      .cmd_id = 7,
                      .command = "UNMAP",
                      .state = task::TaskState::kDetached,
                      .range = {0, 65536},
                      .result = -108,
                      .queued = milliseconds(9000),
                      .submitted = milliseconds(8999),
                      .answered = milliseconds(4000)}),
            "command=\"UNMAP\" id=7 stage=detached offset=0 length=65536 queued=9000.0ms "
            "in_librbd=8999.0ms answered=4000.0ms result=-108");
}

}  // namespace
}  // namespace tcmurbd
