// SPDX-License-Identifier: Apache-2.0
// Files as in a 6.1 kernel, and invalid ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rbd_handler/kernel/configfs.h"
#include "rbd_handler/kernel/small_file.h"
#include "tests/unit/kernel_tree.h"

namespace tcmurbd::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kTarget = "/sys/kernel/config/target";
const std::string kDevice = kTarget + "/core/user_0/d0";

class ConfigfsTree : public ::testing::Test {
 protected:
  ConfigfsTree() : device_({"user_0", "d0", "rbd/p/i"}, root_.path()) {
    root_.write(kDevice + "/wwn/vpd_unit_serial", "T10 VPD Unit Serial Number: \n");
    root_.write(kDevice + "/wwn/vendor_id", "LIO-ORG\n");
    root_.write(kDevice + "/wwn/product_id", "\n");
    root_.write(kDevice + "/wwn/revision", "\n");
    group("default_tg_pt_gp", "0\n");
  }

  void group(const std::string& name, const std::string& id) {
    const std::string path = kDevice + "/alua/" + name;
    root_.write(path + "/tg_pt_gp_id", id);
    root_.write(path + "/alua_access_state", "0\n");
    root_.write(path + "/alua_access_status", "None\n");
    root_.write(path + "/preferred", "0\n");
    root_.write(path + "/alua_support_transitioning", "1\n");
    root_.write(path + "/alua_support_offline", "1\n");
    root_.write(path + "/alua_support_lba_dependent", "0\n");
    root_.write(path + "/alua_support_unavailable", "1\n");
    root_.write(path + "/alua_support_standby", "1\n");
    root_.write(path + "/alua_support_active_nonoptimized", "1\n");
    root_.write(path + "/alua_support_active_optimized", "1\n");
    root_.write(path + "/members", "");
  }
  void member(const std::string& name, const std::string& line) {
    const std::string file = kDevice + "/alua/" + name + "/members";
    root_.write(file, root_.read(file) + line + "\n" + '\0');
  }
  void port(const std::string& lun, const std::string& indx) {
    root_.write(kTarget + "/" + lun + "/statistics/scsi_port/indx", indx);
  }
  // TPGT: FABRIC/WWN/TPGT.
  void enabled(const std::string& tpgt, const std::string& text) {
    root_.write(kTarget + "/" + tpgt + "/enable", text);
  }
  scsi::TargetFacts facts() {
    const auto read = device_.read_target_facts();
    EXPECT_TRUE(read.has_value()) << read.error();
    return read.value_or(scsi::TargetFacts{});
  }

  FakeRoot root_;
  ConfigfsDevice device_;
};

TEST_F(ConfigfsTree, Attributes) {
  root_.write(kDevice + "/attrib/dev_size", "1099511627776\n");
  root_.write(kDevice + "/attrib/qfull_time_out", "-1\n");
  root_.write(kDevice + "/attrib/hw_block_size", "512 bytes\n");
  root_.write(kDevice + "/attrib/empty", "");
  root_.write(kDevice + "/attrib/huge", std::string(5000, '1'));
  root_.write(kDevice + "/attrib/wide", "99999999999999999999\n");
  EXPECT_EQ(device_.attribute("dev_size"), 1099511627776);
  EXPECT_EQ(device_.attribute("qfull_time_out"), -1);
  EXPECT_THAT(device_.attribute("hw_block_size").error(), HasSubstr("'512 bytes' is not a number"));
  EXPECT_FALSE(device_.attribute("empty").has_value());
  EXPECT_THAT(device_.attribute("huge").error(), HasSubstr("more than 4096 bytes"));
  EXPECT_FALSE(device_.attribute("wide").has_value());
  EXPECT_THAT(device_.attribute("none").error(), HasSubstr("attrib/none: No such file"));
}

TEST_F(ConfigfsTree, TheKernelsLimitOfACommandsAge) {
  using std::chrono::seconds;
  EXPECT_EQ(device_.kernel_limit(), seconds(30)) << "not there";
  for (const auto& [text, limit] : std::vector<std::pair<std::string, int>>{
           {"0\n", 0}, {"45\n", 45}, {"-1\n", 30}, {"soon\n", 30}, {"99999999999999\n", 30}}) {
    root_.write(kDevice + "/attrib/cmd_time_out", text);
    EXPECT_EQ(device_.kernel_limit(), seconds(limit)) << text;
  }
}

TEST_F(ConfigfsTree, SetsAttributesThatAskNobody) {
  root_.write(kDevice + "/attrib/tmr_notification", "");
  EXPECT_TRUE(device_.set_attribute("tmr_notification", 1).has_value());
  EXPECT_EQ(root_.read(kDevice + "/attrib/tmr_notification"), "1");
  EXPECT_THAT(device_.set_attribute("cmd_time_out", 0).error(), HasSubstr("No such file"));
  EXPECT_DEATH((void)device_.set_attribute("dev_size", 1), "CHECK failed");
  EXPECT_DEATH((void)device_.set_attribute("emulate_write_cache", 1), "CHECK failed");
}

TEST_F(ConfigfsTree, Actions) {
  EXPECT_THAT(device_.block(true).error(), HasSubstr("action/block_dev"));
  EXPECT_THAT(KeptBuffers::open(device_).error(), HasSubstr("free_kept_buf: No such file"));
  for (const char* name : {"block_dev", "reset_ring", "free_kept_buf"}) {
    root_.write(kDevice + "/action/" + name, "");
  }
  EXPECT_TRUE(device_.block(true).has_value());
  EXPECT_EQ(root_.read(kDevice + "/action/block_dev"), "1");
  EXPECT_TRUE(device_.block(false).has_value());
  EXPECT_EQ(root_.read(kDevice + "/action/block_dev"), "0");
  EXPECT_TRUE(device_.reset_ring().has_value());
  EXPECT_EQ(root_.read(kDevice + "/action/reset_ring"), "1");
  auto kept = KeptBuffers::open(device_);
  ASSERT_TRUE(kept.has_value());
  EXPECT_TRUE(kept->free(65535).has_value());
  EXPECT_EQ(root_.read(kDevice + "/action/free_kept_buf"), "65535");
}

TEST_F(ConfigfsTree, ModuleParameters) {
  EXPECT_THAT(release_netlink_waiters(root_.path()).error(), HasSubstr("block_netlink"));
  const std::string parameters = "/sys/module/target_core_user/parameters";
  root_.write(parameters + "/block_netlink", "N\n");
  EXPECT_THAT(release_netlink_waiters(root_.path()).error(), HasSubstr("reset_netlink"));
  EXPECT_EQ(root_.read(parameters + "/block_netlink")[0], '0');  // Open again in spite of it.
  root_.write(parameters + "/reset_netlink", "");
  EXPECT_TRUE(release_netlink_waiters(root_.path()).has_value());
  EXPECT_EQ(root_.read(parameters + "/reset_netlink"), "1");
}

TEST_F(ConfigfsTree, IdentityDefaults) {
  const scsi::TargetFacts read = facts();
  EXPECT_EQ(read.unit_serial, "");
  EXPECT_EQ(read.vendor, "LIO-ORG");
  EXPECT_EQ(read.product, "TCMU device");
  EXPECT_EQ(read.revision, "0002");
  root_.remove(kDevice + "/wwn");
  EXPECT_EQ(facts().vendor, "LIO-ORG");
  EXPECT_EQ(facts().product, "TCMU device");
}

TEST_F(ConfigfsTree, IdentityAsSet) {
  root_.write(kDevice + "/wwn/vpd_unit_serial", "T10 VPD Unit Serial Number: 1c3f-42\n");
  root_.write(kDevice + "/wwn/vendor_id", "ACME    \n");
  root_.write(kDevice + "/wwn/product_id", "Big Disk\n");
  root_.write(kDevice + "/wwn/revision", "0815");
  const scsi::TargetFacts read = facts();
  EXPECT_EQ(read.unit_serial, "1c3f-42");
  EXPECT_EQ(read.vendor, "ACME");
  EXPECT_EQ(read.product, "Big Disk");
  EXPECT_EQ(read.revision, "0815");
}

TEST_F(ConfigfsTree, IdentityGarbage) {
  root_.write(kDevice + "/wwn/vpd_unit_serial", "Serial: 1\n");
  EXPECT_THAT(device_.read_target_facts().error(), HasSubstr("does not begin with"));
  root_.write(kDevice + "/wwn/vpd_unit_serial",
              std::string("T10 VPD Unit Serial Number: a\0b", 31));
  EXPECT_THAT(device_.read_target_facts().error(), HasSubstr("printable"));
  root_.write(kDevice + "/wwn/vpd_unit_serial", "T10 VPD Unit Serial Number: a\n");
  root_.write(kDevice + "/wwn/vendor_id", "\xff\xfe\n");
  EXPECT_THAT(device_.read_target_facts().error(), HasSubstr("vendor_id: not printable"));
  root_.write(kDevice + "/wwn/vpd_unit_serial", "a\n\x1b[2Jb");
  EXPECT_THAT(device_.read_target_facts().error(), HasSubstr("'a\\x0a\\x1b[2Jb' does not begin"));
  root_.remove(kDevice);
  EXPECT_THAT(device_.read_target_facts().error(), HasSubstr("no such device"));
  const ConfigfsDevice impossible({"user_0", std::string(300, 'd'), ""}, root_.path());
  EXPECT_THAT(impossible.read_target_facts().error(), HasSubstr("no such device"));
}

TEST_F(ConfigfsTree, TheDefaultGroupIsThereIfNoOtherHasPorts) {
  port("loopback/naa.1/tpgt_1/lun/lun_0", "3\n");
  member("default_tg_pt_gp", "loopback/naa.1/tpgt_1/lun_0");
  group("ao", "1\n");
  auto groups = facts().groups;
  ASSERT_THAT(groups, SizeIs(2));
  EXPECT_EQ(groups[0].id, 0);
  EXPECT_THAT(groups[0].relative_ports, ElementsAre(3));
  port("iscsi/iqn.x:t/tpgt_1/lun/lun_0", "1\n");
  member("ao", "iSCSI/iqn.x:t/tpgt_1/lun_0");
  groups = facts().groups;
  ASSERT_THAT(groups, SizeIs(1));
  EXPECT_EQ(groups[0].id, 1);
}

TEST_F(ConfigfsTree, GroupsOfAGateway) {
  group("ano2", "2\n");
  root_.write(kDevice + "/alua/ano2/alua_access_state", "1\n");
  root_.write(kDevice + "/alua/ano2/alua_access_status", "Altered by Implicit ALUA\n");
  root_.write(kDevice + "/alua/ano2/alua_support_offline", "0\n");
  root_.write(kDevice + "/alua/ano2/alua_support_unavailable", "0\n");
  port("iscsi/iqn.x:t/tpgt_2/lun/lun_5", "12\n");
  port("iscsi/iqn.x:t/tpgt_2/lun/lun_6", "2\n");
  member("ano2", "iSCSI/iqn.x:t/tpgt_2/lun_5");
  member("ano2", "iSCSI/iqn.x:t/tpgt_2/lun_6");
  group("ao", "1\n");
  root_.write(kDevice + "/alua/ao/preferred", "1\n");
  root_.write(kDevice + "/alua/ao/alua_support_lba_dependent", "1\n");
  group("new", "\n");  // Made, and not yet given an id.
  const auto groups = facts().groups;
  ASSERT_THAT(groups, SizeIs(2));
  EXPECT_EQ(groups[0].id, 1);
  EXPECT_EQ(groups[0].access_state, 0);
  EXPECT_EQ(groups[0].status_code, 0);
  EXPECT_EQ(groups[0].supported_states, 0xdf);
  EXPECT_TRUE(groups[0].preferred);
  EXPECT_THAT(groups[0].relative_ports, IsEmpty());
  EXPECT_EQ(groups[1].id, 2);
  EXPECT_EQ(groups[1].access_state, 1);
  EXPECT_EQ(groups[1].status_code, 2);
  EXPECT_EQ(groups[1].supported_states, 0x87);
  EXPECT_FALSE(groups[1].preferred);
  EXPECT_THAT(groups[1].relative_ports, ElementsAre(2, 12));
}

// ceph-iscsi makes the portal groups of all gateways on each of them, and enables its own.
class GatewayTree : public ConfigfsTree {
 protected:
  GatewayTree() {
    group("ao", "1\n");
    group("ano2", "2\n");
    root_.write(kDevice + "/alua/ano2/alua_access_state", "1\n");
    member("ao", "iSCSI/iqn.x:t/tpgt_1/lun_0");
    member("ano2", "iSCSI/iqn.x:t/tpgt_2/lun_0");
    enabled("iscsi/iqn.x:t/tpgt_1", "1\n");
    enabled("iscsi/iqn.x:t/tpgt_2", "0\n");
    port("iscsi/iqn.x:t/tpgt_1/lun/lun_0", "1\n");
  }
};

TEST_F(GatewayTree, OnlyTheEnabledPortalGroupIsAWayIn) {
  port("iscsi/iqn.x:t/tpgt_2/lun/lun_0", "2\n");
  auto groups = facts().groups;
  ASSERT_THAT(groups, SizeIs(2));
  EXPECT_THAT(groups[0].relative_ports, ElementsAre(1));
  EXPECT_THAT(groups[0].enabled_ports, ElementsAre(1));
  EXPECT_THAT(groups[1].relative_ports, ElementsAre(2));
  EXPECT_THAT(groups[1].enabled_ports, IsEmpty());
  // It is read each time.
  enabled("iscsi/iqn.x:t/tpgt_1", "0\n");
  enabled("iscsi/iqn.x:t/tpgt_2", "1\n");
  groups = facts().groups;
  EXPECT_THAT(groups[0].enabled_ports, IsEmpty());
  EXPECT_THAT(groups[1].enabled_ports, ElementsAre(2));
}

// Since Linux 6.4 the number is the portal group's, and 0 until that is enabled.
TEST_F(GatewayTree, ADisabledPortalGroupHasNoNumberOnNewerKernels) {
  port("iscsi/iqn.x:t/tpgt_2/lun/lun_0", "0\n");
  const auto groups = facts().groups;
  ASSERT_THAT(groups, SizeIs(2));
  EXPECT_THAT(groups[0].enabled_ports, ElementsAre(1));
  EXPECT_FALSE(groups[0].unnumbered_port);
  EXPECT_THAT(groups[1].relative_ports, IsEmpty());
  EXPECT_THAT(groups[1].enabled_ports, IsEmpty());
  EXPECT_FALSE(groups[1].unnumbered_port);
}

TEST_F(GatewayTree, FabricsWithoutEnablingAreAWayIn) {
  port("iscsi/iqn.x:t/tpgt_2/lun/lun_0", "2\n");
  port("loopback/naa.1/tpgt_1/lun/lun_0", "3\n");
  port("vhost/naa.2/tpgt_1/lun/lun_0", "0\n");
  member("ano2", "loopback/naa.1/tpgt_1/lun_0");
  EXPECT_THAT(facts().groups[1].enabled_ports, ElementsAre(3));
  EXPECT_FALSE(facts().groups[1].unnumbered_port);
  member("ano2", "vhost/naa.2/tpgt_1/lun_0");
  EXPECT_THAT(facts().groups[1].enabled_ports, ElementsAre(3));
  EXPECT_TRUE(facts().groups[1].unnumbered_port);
}

TEST_F(GatewayTree, EachFabricHasItsOwnEnable) {
  port("iscsi/iqn.x:t/tpgt_2/lun/lun_0", "2\n");
  port("qla2xxx/21:00/tpgt_1/lun/lun_0", "4\n");
  port("qla2xxx/21:01/tpgt_1/lun/lun_0", "5\n");
  enabled("qla2xxx/21:00/tpgt_1", "1\n");
  enabled("qla2xxx/21:01/tpgt_1", "0\n");
  member("ao", "qla2xxx/21:00/tpgt_1/lun_0");
  member("ao", "qla2xxx/21:01/tpgt_1/lun_0");
  const auto groups = facts().groups;
  EXPECT_THAT(groups[0].relative_ports, ElementsAre(1, 4, 5));
  EXPECT_THAT(groups[0].enabled_ports, ElementsAre(1, 4));
}

TEST_F(GatewayTree, WhatCannotBeReadCountsAsEnabled) {
  port("iscsi/iqn.x:t/tpgt_2/lun/lun_0", "2\n");
  for (const char* garbage : {"", "\n", "yes\n", "2\n", "-1\n"}) {
    enabled("iscsi/iqn.x:t/tpgt_2", garbage);
    EXPECT_THAT(facts().groups[1].enabled_ports, ElementsAre(2)) << garbage;
  }
}

TEST_F(GatewayTree, TheDefaultGroupStaysOutWhereAnotherHasAWayIn) {
  port("iscsi/iqn.x:t/tpgt_2/lun/lun_0", "0\n");
  port("iscsi/iqn.x:t/tpgt_1/lun/lun_0", "0\n");
  enabled("iscsi/iqn.x:t/tpgt_1", "0\n");
  port("loopback/naa.1/tpgt_1/lun/lun_0", "0\n");
  EXPECT_THAT(facts().groups, SizeIs(3));
  member("ao", "loopback/naa.1/tpgt_1/lun_0");
  EXPECT_THAT(facts().groups, SizeIs(2));
}

TEST_F(ConfigfsTree, GarbageLeavesOneGroupOut) {
  port("iscsi/iqn/tpgt_1/lun/lun_0", "1\n");
  const auto with_bad = [&](const std::string& file, const std::string& content) {
    group("good", "1\n");
    member("good", "iSCSI/iqn/tpgt_1/lun_0");
    group("bad", "2\n");
    root_.write(kDevice + "/alua/bad/" + file, content);
    return facts().groups;
  };
  for (const auto& [file, content] :
       std::vector<std::pair<std::string, std::string>>{{"tg_pt_gp_id", "two\n"},
                                                        {"tg_pt_gp_id", "65536\n"},
                                                        {"tg_pt_gp_id", "-1\n"},
                                                        {"alua_access_state", "16\n"},
                                                        {"alua_access_state", "\n"},
                                                        {"alua_access_status", "Altered\n"},
                                                        {"preferred", "2\n"},
                                                        {"alua_support_standby", "yes\n"},
                                                        {"members", std::string(5000, 'x')}}) {
    const auto groups = with_bad(file, content);
    ASSERT_THAT(groups, SizeIs(1)) << file << content;
    EXPECT_EQ(groups[0].id, 1);
  }
}

TEST_F(ConfigfsTree, MembersThatLeadNowhere) {
  group("ao", "1\n");
  port("iscsi/iqn/tpgt_1/lun/lun_0", "7\n");
  port("iscsi/iqn/tpgt_1/lun/lun_1", "0\n");
  port("iscsi/iqn/tpgt_1/lun/lun_2", "65536\n");
  // Longer than a file system takes.
  const std::string long_name = std::string(300, 'x') + "/iqn/tpgt_1/lun_0";
  for (const char* line :
       {"", "/", "iSCSI", "iSCSI/iqn/tpgt_1", "iSCSI//tpgt_1/lun_0", "iSCSI/../tpgt_1/lun_0",
        "iSCSI/iqn/tpgt_1/lun_0/x", "iSCSI/iqn/tpgt_1/lun_1", "iSCSI/iqn/tpgt_1/lun_2",
        "iSCSI/iqn/tpgt_1/lun_9", "iSCSI/iqn\x1b/tpgt_1/lun_0", long_name.c_str(),
        "qla2xxx/naa/tpgt_1/lun_0", "iSCSI/iqn/tpgt_1/lun_0"}) {
    member("ao", line);
  }
  const auto groups = facts().groups;
  ASSERT_THAT(groups, SizeIs(1));
  EXPECT_THAT(groups[0].relative_ports, ElementsAre(7));
}

TEST(SmallFile, NumbersAsTheKernelPrintsThem) {
  EXPECT_EQ(parse_number("0x1100000", "x"), 0x1100000);
  EXPECT_EQ(parse_number("-5", "x"), -5);
  for (const char* bad : {"", " 5", "5 ", "+5", "0x", "0xg", "5.0", "1e3", "--5"}) {
    EXPECT_FALSE(parse_number(bad, "x").has_value()) << bad;
  }
}

}  // namespace
}  // namespace tcmurbd::kernel
