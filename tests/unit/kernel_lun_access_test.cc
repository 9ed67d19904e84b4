// SPDX-License-Identifier: Apache-2.0
// Which initiators have access to which device, with configfs trees as made by LIO.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "rbd_handler/kernel/lun_access.h"
#include "tests/unit/kernel_tree.h"

namespace tcmurbd::kernel {
namespace {

namespace fs = std::filesystem;

class LunAccess : public ::testing::Test {
 protected:
  // target/FABRIC/WWN/tpgt_1, with its attributes if it has ACLs.
  std::string portal_group(const std::string& wwn, bool demo = false, bool demo_protect = false) {
    const std::string path = fmt::format("/sys/kernel/config/target/iscsi/{}/tpgt_1", wwn);
    root_.write(path + "/attrib/generate_node_acls", demo ? "1\n" : "0\n");
    root_.write(path + "/attrib/demo_mode_write_protect", demo_protect ? "1\n" : "0\n");
    fs::create_directories(root_.path() + path + "/acls");
    return path;
  }
  void lun(const std::string& group, int number, const std::string& device) {
    const std::string path = fmt::format("{}{}/lun/lun_{}", root_.path(), group, number);
    fs::create_directories(path + "/statistics");
    fs::create_symlink("../../../../../../target/core/user_0/" + device, path + "/some-name");
  }
  void map(const std::string& group, const std::string& node, int number, bool protect = false) {
    const std::string acl = fmt::format("{}/acls/{}/lun_{}", group, node, number + 40);
    root_.write(acl + "/write_protect", protect ? "1\n" : "0\n");
    fs::create_symlink(fmt::format("../../../lun/lun_{}", number), root_.path() + acl + "/x");
  }
  bool reach(const std::string& from, const std::string& to, Reach how = Reach::kWrite) {
    return all_reach({"user_0", from, ""}, {"user_0", to, ""}, how, root_.path());
  }
  FakeRoot root_;
};

TEST_F(LunAccess, EachInitiatorByItsAcls) {
  const auto group = portal_group("iqn.a");
  for (int i = 0; i < 3; ++i) lun(group, i, fmt::format("disk{}", i));
  map(group, "iqn.one", 0);
  map(group, "iqn.one", 1);
  map(group, "iqn.two", 1);
  map(group, "iqn.two", 2);
  EXPECT_TRUE(reach("disk0", "disk1")) << "only one has disk0, and it has disk1 too";
  EXPECT_FALSE(reach("disk1", "disk0")) << "two has disk1 but not disk0";
  EXPECT_FALSE(reach("disk0", "disk2"));
  EXPECT_TRUE(reach("disk2", "disk1"));
  EXPECT_FALSE(reach("disk0", "disk9"));
}

TEST_F(LunAccess, AnInitiatorMayHaveThemByDifferentTargets) {
  const auto first = portal_group("iqn.a"), second = portal_group("iqn.b");
  lun(first, 0, "disk0");
  lun(second, 0, "disk1");
  map(first, "iqn.one", 0);
  EXPECT_FALSE(reach("disk0", "disk1"));
  map(second, "iqn.one", 0);
  EXPECT_TRUE(reach("disk0", "disk1"));
}

TEST_F(LunAccess, AWriteProtectedLunIsToBeReadOnly) {
  const auto group = portal_group("iqn.a");
  lun(group, 0, "disk0");
  lun(group, 1, "disk1");
  map(group, "iqn.one", 0);
  map(group, "iqn.one", 1, true);
  EXPECT_FALSE(reach("disk0", "disk1"));
  EXPECT_TRUE(reach("disk0", "disk1", Reach::kRead));
}

TEST_F(LunAccess, DemoModeIsEverybody) {
  const auto open = portal_group("iqn.open", true), closed = portal_group("iqn.closed"),
             read = portal_group("iqn.read", true, true);
  lun(open, 0, "open0");
  lun(open, 1, "open1");
  lun(closed, 0, "closed");
  lun(read, 0, "read");
  map(closed, "iqn.one", 0);
  EXPECT_TRUE(reach("open0", "open1"));
  EXPECT_TRUE(reach("closed", "open0")) << "who has the closed one has the open one";
  EXPECT_FALSE(reach("open0", "closed")) << "not everybody has the closed one";
  EXPECT_FALSE(reach("open0", "read"));
  EXPECT_TRUE(reach("open0", "read", Reach::kRead));
}

TEST_F(LunAccess, FabricsAreApart) {
  const std::string loop = "/sys/kernel/config/target/loopback/naa.1/tpgt_1";
  const auto group = portal_group("iqn.a", true);
  lun(loop, 0, "disk0");
  lun(loop, 1, "disk1");
  EXPECT_TRUE(reach("disk0", "disk1")) << "no ACLs: this host";
  lun(group, 0, "disk0");
  EXPECT_FALSE(reach("disk0", "disk1")) << "by iSCSI there is no disk1";
  lun(group, 1, "disk1");
  EXPECT_TRUE(reach("disk0", "disk1"));
}

TEST_F(LunAccess, AFabricWithoutDemoModeGoesByItsAcls) {
  const std::string group = "/sys/kernel/config/target/srpt/0xfe/tpgt_1";
  lun(group, 0, "disk0");
  lun(group, 1, "disk1");
  map(group, "0x11", 0);
  EXPECT_FALSE(reach("disk0", "disk1"));
  map(group, "0x11", 1);
  EXPECT_TRUE(reach("disk0", "disk1"));
}

TEST_F(LunAccess, WhatCantBeReadIsRefused) {
  EXPECT_FALSE(reach("disk0", "disk1"));
  const auto group = portal_group("iqn.a", true);
  EXPECT_FALSE(reach("disk0", "disk1")) << "neither is reachable";
  lun(group, 0, "disk0");
  lun(group, 1, "disk1");
  root_.write(group + "/attrib/demo_mode_write_protect", "what?\n");
  EXPECT_FALSE(reach("disk0", "disk1"));
  // A name is not enough: the HBA counts.
  EXPECT_FALSE(
      all_reach({"user_1", "disk0", ""}, {"user_0", "disk1", ""}, Reach::kRead, root_.path()));
  // A mapping to nothing.
  root_.write(group + "/acls/iqn.one/lun_7/write_protect", "0\n");
  EXPECT_TRUE(reach("disk0", "disk1", Reach::kRead));
}

}  // namespace
}  // namespace tcmurbd::kernel
