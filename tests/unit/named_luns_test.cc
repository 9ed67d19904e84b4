// SPDX-License-Identifier: Apache-2.0
// The LUNs of an EXTENDED COPY, with configfs trees as made by LIO.
#include "rbd_handler/lun/named_luns.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>

#include "tests/unit/kernel_tree.h"
#include "tests/unit/scsi_copy_fixture.h"

namespace tcmurbd {
namespace {

namespace fs = std::filesystem;
using scsi::Bytes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kTarget = "/sys/kernel/config/target";

class NamedLunsTest : public ::testing::Test {
 protected:
  // Serves 1 MiB; its serial is twenty-five times `digit`. All are in one portal group, open to
  // all, but those that are `hidden`.
  size_t lun(char digit, bool hidden = false) {
    const std::string name = fmt::format("disk{}", digit);
    const std::string core = kTarget + "/core/user_0/" + name;
    serial(name, digit);
    root_.write(core + "/attrib/cmd_time_out", "30\n");
    const std::string group = kTarget + "/iscsi/iqn.a/tpgt_1";
    root_.write(group + "/attrib/generate_node_acls", "1\n");
    root_.write(group + "/attrib/demo_mode_write_protect", "0\n");
    if (!hidden) {
      const std::string link = root_.path() + group + "/lun/lun_" + digit;
      fs::create_directories(link);
      fs::create_symlink("../../../../../../target/core/user_0/" + name, link + "/some-name");
    }
    KnownLun known{{"user_0", name, ""}, {}, scsi::DiskFacts{}};
    known.identity.unit_serial = std::string(25, digit);
    known.disk->block_size = 512;
    known.disk->blocks = 2048;
    luns_.push_back(known);
    return luns_.size() - 1;
  }
  void serial(const std::string& name, char digit) {
    root_.write(kTarget + "/core/user_0/" + name + "/wwn/vpd_unit_serial",
                "T10 VPD Unit Serial Number: " + std::string(25, digit) + "\n");
  }
  static Bytes naa(char digit) {
    const auto d = static_cast<uint8_t>(digit - '0');
    Bytes name(16, static_cast<uint8_t>(d << 4 | d));
    name[0] = 0x60, name[1] = 0x01, name[2] = 0x40, name[3] = static_cast<uint8_t>(0x50 | d);
    return name;
  }
  // A copy of 8 blocks from the first named LUN to the last.
  NamedLunsResult find(const std::string& digits) {
    std::vector<Bytes> cscds;
    for (const char digit : digits) cscds.push_back(scsi::cscd(naa(digit)));
    const auto last = static_cast<uint16_t>(digits.size() - 1);
    const Bytes list =
        scsi::copy_list(cscds, {scsi::segment({.source = 0, .destination = last, .blocks = 8})});
    const scsi::DataOut data(list);
    const auto request = scsi::read_copy_list(data.iov(), static_cast<uint32_t>(list.size()));
    if (!request) std::abort();
    return find_named_luns(*request, luns_, root_.path());
  }

  kernel::FakeRoot root_;
  std::vector<KnownLun> luns_;
};

TEST_F(NamedLunsTest, EachOnceWithItsPlace) {
  for (const char digit : {'1', '2', '3'}) lun(digit);
  const auto answer = find("313");
  ASSERT_TRUE(answer.found);
  EXPECT_THAT(answer.found->luns, ElementsAre(2, 0));
  EXPECT_THAT(answer.found->of_cscd, ElementsAre(0, 1, 0));
  EXPECT_EQ(answer.found->kernel_limit, std::chrono::seconds(30));
  EXPECT_EQ(answer.refusal, "");
}

TEST_F(NamedLunsTest, WhatConfigfsSaysNowCounts) {
  lun('1');
  lun('2');
  serial("disk2", '7');
  EXPECT_FALSE(find("12").found) << "its serial until a moment ago";
  const auto answer = find("17");
  ASSERT_TRUE(answer.found);
  EXPECT_THAT(answer.found->luns, ElementsAre(0, 1));
  const auto read =
      std::ranges::find(answer.identities, 1U, &decltype(answer.identities)::value_type::first);
  ASSERT_NE(read, answer.identities.end());
  EXPECT_EQ(read->second.unit_serial, std::string(25, '7'));
}

TEST_F(NamedLunsTest, ALunThatDoesNotServeIsNotReachable) {
  lun('1');
  luns_[lun('2')].disk.reset();
  const auto answer = find("12");
  ASSERT_FALSE(answer.found);
  EXPECT_EQ(answer.found.error().asc, scsi::kCopyTargetNotReachable.asc);
}

TEST_F(NamedLunsTest, ANameIsNoPermission) {
  lun('1');
  lun('2', true);
  const auto answer = find("12");
  ASSERT_FALSE(answer.found);
  EXPECT_EQ(answer.found.error().asc, scsi::kCopyTargetNotReachable.asc);
  EXPECT_THAT(answer.refusal, HasSubstr("disk2"));
}

TEST_F(NamedLunsTest, AnErrorOfTheSegmentsIsToldBeforeAnybodyIsAskedWhoReachesIt) {
  lun('1');
  lun('2', true);
  luns_[1].disk->blocks = 4;
  const auto answer = find("12");
  ASSERT_FALSE(answer.found);
  EXPECT_NE(answer.found.error().asc, scsi::kCopyTargetNotReachable.asc);
  EXPECT_EQ(answer.refusal, "");
}

}  // namespace
}  // namespace tcmurbd
